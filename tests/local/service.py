"""The whole service in a process of its own, as `make run` starts it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.actors import Actor, over_http

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "infra.local"]


@dataclass
class Run:
    """A running service, what it printed, and the file that its stderr goes to."""

    process: subprocess.Popen[str]
    greeting: str
    log: IO[str]

    @cached_property
    def url(self) -> str:
        """The address that it printed."""
        (address,) = re.findall(r"at (http://127\.0\.0\.1:\d+) ", self.greeting)
        return str(address)

    @property
    def commands(self) -> list[str]:
        """The commands that it printed."""
        return re.findall(r"^  (curl .+)$", self.greeting, re.MULTILINE)

    def actor(self, project: str) -> Actor:
        """Call it as a member of a project."""
        return Actor(over_http(self.url), project)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send it a signal; return its exit status, and what stood on its stderr."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self.log.seek(0)
        return status, self.log.read()


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a shell that has nothing but some settings."""
    return {"PATH": os.environ["PATH"], "PORT": "0", **settings}


def failing(**settings: str) -> tuple[int, str, str]:
    """Start the service where it can't; return its exit status, stdout and stderr."""
    done = subprocess.run(
        RUN,
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def running(**settings: str) -> Iterator[Run]:
    """Start the service on a free port; it is killed if it was not ended."""
    # A pipe that nobody reads would fill up, and then stop the service.
    with TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            RUN,
            cwd=ROOT,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield Run(process, _greeting(process, log), log)
            finally:
                process.kill()


def _greeting(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    while sum(line.startswith(("  curl ", "  openstack ")) for line in lines) < 3:
        line = process.stdout.readline()
        if not line:
            log.seek(0)
            raise AssertionError(log.read())
        lines.append(line)
    return "".join(lines)
