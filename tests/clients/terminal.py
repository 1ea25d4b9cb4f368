"""
A user's terminal: the commands of a client as they are typed, and what they print.
"""

import json
import os
import pty
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Terminal:
    """
    Where a user types the commands of one client, with their home and their settings.
    """

    program: Path
    home: Path
    settings: Mapping[str, str]

    def do(self, line: str) -> str:
        """Type a command that succeeds; return what it printed."""
        done = self._run(line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, line: str) -> str:
        """Type a command that fails; return what it complained of."""
        done = self._run(line)
        assert done.returncode == 1, f"{line}: {done.stdout}{done.stderr}"
        return done.stderr.strip()

    def json(self, line: str) -> Any:
        """Type a command of `openstack`; return the document that it printed."""
        return json.loads(self.do(f"{line} -f json"))

    def prompt(self, *lines: str) -> list[Any]:
        """
        Type commands at the prompt of `openstack`; return the documents printed.

        It starts once for all of them, and so takes less time.
        """
        done = subprocess.run(
            [self.program],
            input="".join(f"{line}\n" for line in lines),
            check=False,  # Its exit status is 1 even where all went well.
            **self._surroundings(),
        )
        assert done.stderr == ""
        documents = []
        rest = done.stdout.strip()
        while rest:
            document, end = json.JSONDecoder().raw_decode(rest)
            documents.append(document)
            rest = rest[end:].strip()
        return documents

    def rows(self, line: str) -> list[dict[str, str]]:
        """Type a command of `glance`; return the rows of the table that it printed."""
        cells = [
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in self.do(line).splitlines()
            if row.startswith("|")
        ]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]

    def fields(self, line: str) -> dict[str, str]:
        """Type a command of `glance` that describes one thing; return its fields."""
        return {row["Property"]: row["Value"] for row in self.rows(line)}

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        # Where stdin is no terminal, `create` reads an image's data from it.
        ours, theirs = pty.openpty()
        try:
            return subprocess.run(
                [self.program, *shlex.split(line)],
                stdin=theirs,
                check=False,
                **self._surroundings(),
            )
        finally:
            os.close(ours)
            os.close(theirs)

    def _surroundings(self) -> dict[str, Any]:
        return {
            "cwd": self.home,
            "env": environment(self.home, **self.settings),
            "capture_output": True,
            "text": True,
            "timeout": 60,
        }


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a user who has some settings, and a home of their own.

    No request leaves this machine: it would go by a proxy that is not there.
    """
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "127.0.0.1",
        **settings,
    }
