"""The tools of operators: each wrong use ends in one line that says what to do."""

import json
import subprocess
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

import app as service
from infra.local.server import serve
from tests.readme import ROOT

SMOKE = [sys.executable, "infra/tools/smoke"]
RECORDS = [sys.executable, "-m", "infra.tools.records"]
ONE_PROJECT = "smoke: Both tokens are for the project producer."
ALONE = {
    "AWS_CONFIG_FILE": "none",
    "AWS_SHARED_CREDENTIALS_FILE": "none",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""An environment that knows of no account."""

COPY = [sys.executable, "-m", "infra.tools.copy_table"]
QUOTA = [sys.executable, "-m", "infra.tools.quota"]
RESTORE = [sys.executable, "-m", "infra.tools.restore"]


def refusal(
    command: list[str],
    given: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> str:
    """Run a command that must fail; return the one line that it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {1, 2}
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "smoke: Pass three arguments: infra/tools/smoke URL TOKEN OTHER_TOKEN."),
        (["api", "a", "b"], "smoke: URL must start with https://, not be 'api'."),
        (
            ["https://api/v2/", "a", "b"],
            "smoke: URL must be the address without /v2: https://api",
        ),
        (
            ["https://api", "secret\n", "b"],
            "smoke: TOKEN must be one token, without blanks.",
        ),
        (
            ["https://api", "a", ""],
            "smoke: OTHER_TOKEN must be one token, without blanks.",
        ),
    ],
)
def test_a_wrong_smoke_test_is_refused(words: list[str], said: str) -> None:
    """Before anything is sent, and without showing the token."""
    assert refusal([*SMOKE, *words]) == said


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("b:producer:member", f"{ONE_PROJECT} Pass OTHER_TOKEN for another project."),
        ("b", "the token is wrong or expired. Pass a new one."),
    ],
)
def test_a_smoke_test_needs_two_projects(other: str, said: str) -> None:
    """Two tokens of one project share nothing; nothing is left behind."""
    with serve(service.app) as url:
        line = refusal([*SMOKE, url, "a:producer:member", other])

    assert line.endswith(said)


@pytest.mark.parametrize("given", ["", "{}", "[]", '{"Records": [1]}', "An error"])
def test_records_needs_the_output_of_aws(given: str) -> None:
    """Nothing, or anything else, is named as that."""
    assert refusal(RECORDS, given).endswith(
        "Run that command first and pass what it prints."
    )


def test_records_that_are_gone_are_reported() -> None:
    """No event is made of none."""
    line = refusal(RECORDS, json.dumps({"Records": []}))

    assert line.startswith("records: the input has no records.")


def test_records_takes_no_arguments() -> None:
    """The usage says how to pass the input."""
    assert refusal([*RECORDS, "found.json"]).startswith("Usage: ")


@pytest.mark.parametrize("tool", [RESTORE, COPY], ids=["restore", "copy_table"])
@pytest.mark.parametrize("words", [[], ["one"], ["one", "one"], ["a", ""]])
def test_two_tables_are_needed(tool: list[str], words: list[str]) -> None:
    """The old one and that of the stack."""
    assert refusal([*tool, *words]).startswith("Usage: ")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            [*RESTORE, "one", "other"],
            "restore: no region is set. Set AWS_DEFAULT_REGION.",
        ),
        ([*COPY, "one", "other"], "copy_table: You must specify a region."),
        ([*QUOTA, "table", "project"], "quota: You must specify a region."),
    ],
    ids=["restore", "copy_table", "quota"],
)
def test_a_region_is_needed(command: list[str], said: str) -> None:
    """The message names it."""
    assert refusal(command, environment=ALONE).startswith(said)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            [*RESTORE, "one", "other"],
            "Check both names, the region and the credentials.",
        ),
        ([*COPY, "one", "other"], "Check both names, the region and the credentials."),
        (
            [*QUOTA, "table", "project"],
            "Check the table, the region and the credentials.",
        ),
    ],
    ids=["restore", "copy_table", "quota"],
)
def test_what_aws_refuses_is_one_line(command: list[str], said: str) -> None:
    """With what to check."""
    somewhere = ALONE | {"AWS_DEFAULT_REGION": "us-east-1"}

    assert refusal(command, environment=somewhere).endswith(said)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["table"],
        ["table", "project", "image_count_total"],
        ["table", "project", "none=1"],
        ["table", "project", "image_count_total=-1"],
    ],
)
def test_a_wrong_quota_is_refused(words: list[str]) -> None:
    """Before AWS is asked."""
    line = refusal([*QUOTA, *words], environment=ALONE)

    assert line.startswith(("Usage: ", "quota: '"))


def test_a_damaged_file_of_a_copy_is_named(tmp_path: Path) -> None:
    """It can be removed: a copy writes nothing twice."""
    (tmp_path / "copy-one-other.json").write_text("{")
    environment = ALONE | {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(ROOT)}

    line = refusal([*COPY, "one", "other"], environment=environment, folder=tmp_path)

    assert line.startswith("copy_table: copy-one-other.json is damaged. Remove it")


class _OtherService(BaseHTTPRequestHandler):
    """Anything but this API: it answers each request with a page of several lines."""

    def do_POST(self) -> None:
        status = int(self.path.split("/")[1])
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"<html>\n<p>Hello\n</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (201, "smoke: URL answers, but not as this API does. Check URL."),
        (404, "Check URL and the log of the service."),
        (None, "smoke: No answer: Connection refused. Check URL and the network."),
    ],
)
def test_a_smoke_test_of_something_else_is_one_line(
    status: int | None, said: str
) -> None:
    """Of another service, or of none."""
    server = HTTPServer(("127.0.0.1", 0), _OtherService)
    url = f"http://127.0.0.1:{server.server_port}/{status}"
    thread = Thread(target=server.handle_request)
    if status is None:
        server.server_close()
    else:
        thread.start()

    line = refusal([*SMOKE, url, "a", "b"])

    server.server_close()
    assert line.endswith(said)
