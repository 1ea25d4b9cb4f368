"""What `make package` made: its template, its artifact, and its functions at work."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from filelock import FileLock

from chalicelib import settings
from infra.local import gateway
from infra.package.package import ARTIFACT, TEMPLATE, package
from infra.package.template import read
from tests.actors import Response, Send, checked

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).parent / "driver.py"
PREFIX = "/api"
"""What stands before the paths of the API: the name of its stage."""


@dataclass(frozen=True)
class Package:
    """A folder that `make package` filled."""

    folder: Path

    @cached_property
    def template(self) -> Any:
        """The template, read."""
        return read(self.folder / TEMPLATE)

    @property
    def resources(self) -> dict[str, Any]:
        """The template's resources, by name."""
        found: dict[str, Any] = self.template["Resources"]
        return found

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of the resources of one type, by name."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    @property
    def paths(self) -> dict[str, Any]:
        """The paths that API Gateway knows, with their methods."""
        body = self.resources["RestAPI"]["Properties"]["DefinitionBody"]
        paths: dict[str, Any] = body["paths"]
        return paths

    @property
    def artifact(self) -> Path:
        """The artifact."""
        return self.folder / ARTIFACT

    @cached_property
    def names(self) -> list[str]:
        """The names of the artifact's files."""
        with ZipFile(self.artifact) as archive:
            return archive.namelist()

    @cached_property
    def unzipped(self) -> Path:
        """The folder that has the artifact's files."""
        folder = self.folder / "unzipped"
        with FileLock(self.folder / "unzip.lock"):
            if not folder.exists():
                with ZipFile(self.artifact) as archive:
                    archive.extractall(folder)
        return folder


def made(root: Path, stage: str, architecture: str, take: str = "") -> Package:
    """Package a stage, once for all tests and processes."""
    folder = root / f"{stage}-{architecture}{take}"
    with FileLock(f"{folder}.lock"):
        if not (folder / ARTIFACT).exists():
            package(stage, folder, architecture)
    return Package(folder)


@dataclass(frozen=True)
class Lambda:
    """A process that runs packaged functions."""

    process: subprocess.Popen[str]

    def call(self, handler: str, event: Mapping[str, Any]) -> Any:
        """Run a function on an event; return its result."""
        return self._ask({"handler": handler, "event": event})

    def imported(self, *modules: str) -> dict[str, list[str | None]]:
        """
        Import modules; return the files of all that is imported, source and bytecode.
        """
        found: dict[str, list[str | None]] = self._ask({"modules": modules})
        return found

    def _ask(self, call: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        response = json.loads(self.process.stdout.readline())
        assert "result" in response, response["error"]
        return response["result"]


@contextmanager
def running(folder: Path, aws: str, **variables: str) -> Iterator[Lambda]:
    """Run the functions of an unzipped artifact, with AWS at a URL."""
    current = settings.current
    environ = {
        "TABLE_NAME": current.table_name,
        "BUCKET_NAME": current.bucket_name,
        "QUEUE_URL": current.queue_url,
        "AUTH": "development",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws,
        "AWS_ENDPOINT_URL_S3": aws,
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(DRIVER), str(folder)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )
    with process:
        yield Lambda(process)
        # What leaves the block closes its standard input, which ends it.


def through_gateway(made: Package, function: Lambda) -> Send:
    """
    Send requests to the packaged API as API Gateway does by the packaged template.
    """

    def send(
        method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        paths, whole = made.paths, f"{PREFIX}{target}"
        event = gateway.event(paths, method, whole, headers, body, prefix=PREFIX)
        known = paths[event["resource"]]
        assert method.lower() in known, f"{method} {target}: API Gateway refuses it"
        status, pairs, content = gateway.response_of(function.call("app.app", event))
        names = {name.lower(): value for name, value in pairs}
        response = Response(status, names, content)
        return checked(method, target, headers, body, response)

    return send
