"""The console in a real browser: both sides see and act, and nothing else does."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.local.environments import install
from tests.local.service import running

HERE = Path(__file__).parent
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
APT = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def chromium() -> str:
    """Return the path of Chromium; install it where that can be."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None and os.geteuid() == 0 and shutil.which(APT[0]):
        subprocess.run(APT, capture_output=True, check=False)
        found = shutil.which(PROGRAMS[0])
    if found is None:
        pytest.skip("The console's test needs Chromium, which is not installed.")
    return found


def walked(folder: str = "") -> Any:
    """Walk through the console of a new service; return what was seen."""
    browser = chromium()
    python = install(HERE / "playwright.txt") / "python"
    with running() as run:
        producer = run.actor("producer")
        producer.make_image(name="fedora-43")
        producer.make_image(name='<img src=x onerror="document.title=1">\u202eevil')
        if not folder:
            deceiving = {"display_name": "ACME (verified)", "published": True}
            producer.put("/ext/v1/profile", deceiving)
        done = subprocess.run(
            [str(python), str(HERE / "walk.py"), run.url, browser, folder],
            capture_output=True,
            check=False,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    """Take the pictures of docs/console.md again."""
    folder = Path(__file__).parents[2] / "docs" / "console"
    folder.mkdir(exist_ok=True)
    walked(str(folder))


def test_both_sides_see_and_act_in_a_browser() -> None:
    """From the offer to the end of the share, by mouse and by keyboard."""
    seen = walked()

    assert seen["errors"] == []
    assert seen["elsewhere"] == []
    assert {name: found for name, found in seen["axe"].items() if found} == {}
    assert seen["review"] == [
        "fedora-43 consumer will be shared",
        "fedora-43 newcomer not known to you: check the id will be shared",
    ]
    assert seen["banner"] == "2 offers wait for your answer."
    assert seen["offer"] is True
    assert seen["accepted"] == "fedora-43: accepted."
    assert seen["copied"] == "consumer"
    assert seen["answered"] == 1
    assert seen["revoked"].startswith("No image found with ID")
    assert seen["hostile"] == {
        "title": "Cloud Images",
        "text": True,
        "elements": 0,
        "fits": True,
        "badge": "not verified",
    }
    assert seen["empty"].startswith("Your project shares no image.")
    assert seen["expired"] == "The token is missing, wrong or expired. Sign in again."


if __name__ == "__main__":
    main()
