"""The README's own commands, run as they are printed."""

import json
import re
import shutil
import subprocess

import pytest

from tests.local.service import ROOT, running

ADDRESS = "http://127.0.0.1:8000"


def commands() -> str:
    """Give the shell commands that call the service by curl, in their order."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if "curl" in block]
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            lines.append(line.removeprefix("$ "))
        elif lines[-1].endswith(("\\", "|")):
            lines[-1] += "\n" + line
    return "\n".join(lines)


@pytest.mark.xdist_group("run")
def test_its_commands_tell_the_story_of_a_share() -> None:
    """Offered, accepted, listed, seen by the producer, and ended."""
    if shutil.which("curl") is None:
        pytest.skip("The README's commands need curl, which is not installed.")
    with running() as run:
        script = commands().replace(ADDRESS, run.url)
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )

    decoder = json.JSONDecoder()
    answers, text = [], done.stdout
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:]
    shared, offers, accepted, listed, members = answers
    assert (shared["status"], accepted["status"]) == ("pending", "accepted")
    assert "fedora-43" in [image["name"] for image in offers["images"]]
    assert [image["name"] for image in listed["images"]] == ["fedora-43"]
    assert members["members"] == [accepted]
