"""What the tools of others say about the template."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.local.environments import install
from tests.package.cloudformation import transformed
from tests.package.packaged import Package

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "stage",
    [pytest.param("dev", marks=pytest.mark.thorough), "prod"],  # Alike but in values.
)
def test_cfn_lint_has_nothing_to_say(
    stage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Neither of the template nor of what CloudFormation makes of it."""
    package: Package = request.getfixturevalue(stage)
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps(transformed(package)), "utf-8")
    lint = [str(Path(sys.executable).parent / "cfn-lint"), "--non-zero-exit-code"]

    done = subprocess.run(
        [*lint, "informational", str(package.folder / "sam.yaml"), str(plain)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.clients
def test_checkov_finds_nothing_that_is_not_meant(prod: Package, tmp_path: Path) -> None:
    """Each check that is skipped has its reason in checkov.yaml."""
    template: Any = json.loads(json.dumps(prod.template))
    # It has no checks for paths, and takes long to read them.
    template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"] = {}
    file = tmp_path / "template.json"
    file.write_text(json.dumps(template, indent=1), "utf-8")
    config = str(HERE / "checkov.yaml")
    checkov = install(HERE / "checkov.txt") / "checkov"

    done = subprocess.run(
        [str(checkov), "--config-file", config, "--output", "json", "-f", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    found = json.loads(done.stdout)
    assert [one["check_id"] for one in found["results"]["failed_checks"]] == []
    assert found["summary"]["passed"] > 0
    assert found["summary"]["parsing_errors"] == 0
