"""A user's program: the calls of a client's library, and their results."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.terminal import environment

DRIVER = Path(__file__).parent / "driver.py"


@dataclass(frozen=True)
class Library:
    """Where the program of one project's user makes its calls."""

    process: subprocess.Popen[str]
    token: str

    def do(self, name: str, /, *words: Any, **options: Any) -> Any:
        """Make a call that succeeds; return its result."""
        response = self._call(name, words, options)
        assert "result" in response, f"{name}: {response}"
        return response["result"]

    def refused(self, name: str, /, *words: Any, **options: Any) -> str:
        """Make a call that raises an error; return the error's name."""
        response = self._call(name, words, options)
        assert "error" in response, f"{name}: {response}"
        return str(response["error"])

    def complaint(self, name: str, /, *words: Any, **options: Any) -> str:
        """Make a call that raises an error; return what the error says."""
        response = self._call(name, words, options)
        assert "error" in response, f"{name}: {response}"
        return str(response["message"])

    def _call(self, name: str, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        call = {"token": self.token, "name": name, "words": words, "options": options}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"{name} ended the program: see its stderr"
        return json.loads(line)


@contextmanager
def started(
    programs: Path, name: str, url: str, home: Path
) -> Iterator[subprocess.Popen[str]]:
    """Start the program that uses a library, in the environment of its own."""
    process = subprocess.Popen(
        # -P: what stands beside the driver is not to be imported.
        [str(programs / "python"), "-P", str(DRIVER), name, url],
        cwd=home,
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
