"""Running `tools/upload`, and what tests of it ask of the service and of S3."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.actors import Actor, Response, over_http
from tests.local.keystone import PASSWORD
from tests.local.service import ROOT

UPLOAD = ROOT / "tools" / "upload"
SECRET = "5ecret"  # noqa: S105 - it is nobody's
TOKEN = f"{SECRET}:producer:member"
FORMATS = {"disk_format": "raw", "container_format": "bare"}


@dataclass(frozen=True)
class Done:
    """How a run ended, and what it said: neither a token nor a signed URL."""

    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for secret in (SECRET, PASSWORD, "X-Amz-", "Signature", "Traceback"):
            assert secret not in self.out + self.err

    @property
    def image_id(self) -> str:
        """The image that its output names."""
        match = re.search(r"(?m)^Image (\S{36}) was created\.$", self.err)
        assert match, self.err
        return match[1]

    @property
    def command(self) -> list[str]:
        """The command to resume with, printed last."""
        return shlex.split(self.err.splitlines()[-1])


@dataclass(frozen=True)
class Tool:
    """Where the tool is run: in a folder, against a service."""

    home: Path
    url: str
    command: tuple[str | Path, ...] = (sys.executable, UPLOAD)

    def by(self, *command: str | Path) -> "Tool":
        """Start it by another command."""
        return replace(self, command=command)

    def start(self, *words: str | Path, **settings: str) -> subprocess.Popen[str]:
        """Start it, with what it says going to files, so that it is no terminal."""
        with (self.home / "out").open("w") as out, (self.home / "err").open("w") as to:
            return subprocess.Popen(
                [*self.command, *words],
                cwd=self.home,
                env=self.environment(**settings),
                stdout=out,
                stderr=to,
                text=True,
            )

    def ended(self, process: subprocess.Popen[str]) -> Done:
        """Wait until it ended; return what it said."""
        with process:
            try:
                status = process.wait(timeout=60)
            finally:
                process.kill()
        out, err = ((self.home / name).read_text("utf-8") for name in ("out", "err"))
        return Done(status, out, err)

    def run(self, *words: str | Path, **settings: str) -> Done:
        """Run it to its end."""
        return self.ended(self.start(*words, **settings))

    def environment(self, **settings: str) -> dict[str, str]:
        """
        Return the environment of a user who has a token, unless the settings say else.
        """
        access = {
            "OS_AUTH_TYPE": "admin_token",
            "OS_ENDPOINT": f"{self.url}/v2",
            "OS_TOKEN": TOKEN,
        }
        given = {} if any(name.startswith("OS_") for name in settings) else access
        home = str(self.home)
        return {"PATH": os.environ["PATH"], "HOME": home, **given, **settings}


def downloaded(owner: Actor, image_id: str) -> bytes:
    """Download an image's data."""
    response = owner.get(f"/v2/images/{image_id}/file")
    assert response.status == 307
    data = at_s3("GET", response.headers["location"])
    assert data.headers["content-type"] == "application/octet-stream"
    return data.body


def begun(owner: Actor, image_id: str, **document: Any) -> Any:
    """Begin an upload of an image; return its document."""
    response = owner.post(f"/ext/v1/images/{image_id}/uploads", document)
    assert response.status == 201
    return response.document


def at_s3(method: str, url: str, content: bytes = b"") -> Response:
    """Use a signed URL."""
    parts = urlsplit(url)
    send = over_http(f"{parts.scheme}://{parts.netloc}")
    response = send(method, f"{parts.path}?{parts.query}", {}, content)
    assert response.status == 200
    return response
