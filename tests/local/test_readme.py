"""The documents' own commands, run in one shell in the order in which they stand."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import disks
from tests.clients.environments import install
from tests.local.service import ROOT, environment, running

ADDRESS = "http://127.0.0.1:8000"
MARK = "# next"
"""What is printed between the outputs of two commands."""


def commands(heading: str, document: str = "README.md") -> list[tuple[str, str]]:
    """Return the commands of a section's last console block, each with its output."""
    text = (ROOT / document).read_text("utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    block = re.findall(r"```console\n(.*?)```", section, re.DOTALL)[-1]
    examples: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            examples.append((line.removeprefix("$ "), ""))
            continue
        command, output = examples[-1]
        if not output and command.rstrip().endswith(("\\", "|")):
            examples[-1] = (command + line, "")
        else:
            examples[-1] = (command, output + line)
    return examples


def comparable(output: str) -> str:
    """Replace what differs from run to run; join the lines of a wrapped document."""
    output = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", output)
    output = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ)?", "TIME", output)
    return output.replace(",\n ", ", ")


@pytest.mark.xdist_group("run")
def test_its_commands_print_what_it_says(tmp_path: Path) -> None:
    """Quickstart, clients, large files, sharing: as it says, and no file is left."""
    programs = [
        str(install(client))
        for client in ("python-openstackclient", "python-glanceclient")
    ]
    examples = [
        *commands("Quickstart"),
        *commands("Clients"),
        *commands("Large files", "docs/data.md"),
        *commands("The whole story, by curl", "docs/sharing.md"),
        *commands("The command", "docs/sharing.md"),
    ]
    (tmp_path / "ubuntu.qcow2").write_bytes(disks.qcow2())
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    before = set(tmp_path.glob("[!.]*"))
    path = os.pathsep.join([*programs, os.environ["PATH"]])
    with running() as run:
        script = f"\necho '{MARK}'\n".join(command for command, _ in examples)
        done = subprocess.run(
            ["/bin/sh", "-euc", script.replace(ADDRESS, run.url)],
            cwd=tmp_path,
            env=environment(PATH=path, HOME=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{MARK}\n")
    others = [
        (command, output)
        for (command, wanted), output in zip(examples, printed, strict=True)
        if comparable(output) != comparable(wanted)
    ]
    assert others == []
    assert set(tmp_path.glob("[!.]*")) == before  # A clone stays as it was.
