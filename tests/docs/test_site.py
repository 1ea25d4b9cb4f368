"""The documents are a site: MkDocs builds it without a warning."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.local.environments import install
from tests.readme import ROOT

HERE = Path(__file__).parent


@pytest.mark.clients
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Each link and each anchor of a document leads somewhere."""
    mkdocs = install(HERE / "mkdocs-material.txt") / "mkdocs"

    done = subprocess.run(
        [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        # The theme's makers advertise their next product on each run.
        env={"PATH": os.environ["PATH"], "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    page = (tmp_path / "architecture.html").read_text("utf-8")
    assert re.search(r'<pre class="mermaid"><code>flowchart', page)


def test_the_site_has_every_document() -> None:
    """The navigation names each page; the decisions have a page that lists them."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]

    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r"- ([\w-]+\.md)$", navigation, re.MULTILINE))


def test_a_block_of_a_list_is_indented_by_four() -> None:
    """By less it ends the list on the site, and the next item is number 1 again."""
    problems = [
        path.name
        for path in (ROOT / "docs").rglob("*.md")
        if re.search(r"^ {1,3}```", path.read_text("utf-8"), re.MULTILINE)
    ]

    assert problems == []
