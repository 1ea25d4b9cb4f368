"""The tools of operators: each wrong use ends in one line that says what to do."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

import app as service
from infra.local.server import serve
from tests.readme import ROOT

SMOKE = [sys.executable, "infra/tools/smoke"]
RECORDS = [sys.executable, "-m", "infra.tools.records"]
ONE_PROJECT = "smoke: Both tokens are for the project producer."
RESTORE = [sys.executable, "-m", "infra.tools.restore"]


def refusal(
    command: list[str],
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command that must fail; return the one line that it prints."""
    done = subprocess.run(
        command,
        cwd=ROOT,
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


@pytest.mark.parametrize("words", [[], ["one"], ["one", "one"], ["a", ""]])
def test_restore_needs_two_tables(words: list[str]) -> None:
    """The restored one and that of the stack."""
    assert refusal([*RESTORE, *words]).startswith("Usage: ")


def test_restore_needs_a_region() -> None:
    """The message names the variable."""
    nowhere = {"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"}

    line = refusal([*RESTORE, "one", "other"], environment=nowhere)

    assert line == "restore: no region is set. Set AWS_DEFAULT_REGION."


def test_restore_from_no_table_is_refused() -> None:
    """What AWS refuses is one line, with what to check."""
    alone = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    line = refusal([*RESTORE, "one", "other"], environment=alone)

    assert line.endswith("Check both names, the region and the credentials.")
