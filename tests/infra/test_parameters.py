"""The parameters of the stack: each setting is one, and wrong ones are refused."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chalicelib.identity import oidc
from chalicelib.settings import Settings
from infra.package.template import merged
from tests.readme import ROOT

MADE_BY_THE_STACK = {
    *(
        "TABLE_NAME",
        "BUCKET_NAME",
        "QUEUE_URL",
        "IMPORT_QUEUE_URL",
        "EVENT_BUS",
        "LOG_KEY",
    )
}
IN_THE_TEMPLATE = {*oidc.SETTINGS, "OS_AUTH_URL", "KEYSTONE_CREDENTIAL"}
"""Settings of the identities; the secret has the other ones of Keystone."""

SET_BY_THE_STACK = {
    "image_count_total": 1_000,
    "image_size_total": 10 * 2**20,
    "image_stage_total": 100 * 2**10,
    "image_count_uploading": 100,
    "offer_count_total": 10_000,
    "offer_count_per_consumer": 1_000,
}
"""The quotas of projects, which are off by default: the stack's defaults."""

ENVIRONMENT_BYTES_MAX = 4096
"""How many bytes all variables of a function may have: a limit of Lambda."""

RESOURCE_NAME_BYTES_MAX = 200
"""How many bytes the name or the URL of one of the stack's resources has at most."""

BARE = {"Auth": "oidc", "OidcIssuer": "https://id", "OidcAudience": "images"}

INSIDE = {
    "SubnetIds": "subnet-0a,subnet-0b",
    "SecurityGroupIds": "sg-0",
    "VpcEndpoints": "existing",
}
"""In a network whose endpoints are there."""

CREATED = {"VpcEndpoints": "create", "VpcId": "vpc-0", "RouteTableIds": "rtb-0"}


@pytest.fixture(scope="module")
def template() -> Any:
    """The template of a stage, without the part of Chalice."""
    return merged("prod")


def variables(template: Any, function: str) -> dict[str, Any]:
    """Return the environment of a function."""
    own = template["Resources"][function]["Properties"].get("Environment", {})
    shared: dict[str, Any] = template["Globals"]["Function"]["Environment"]["Variables"]
    return {**shared, **own.get("Variables", {})}


def test_every_setting_is_a_parameter(template: Any) -> None:
    """It has the name of the setting, in capitalised words."""
    environment = variables(template, "APIHandler")

    wanted = {name.upper() for name in Settings.__annotations__} | IN_THE_TEMPLATE
    assert set(environment) == wanted
    for name in wanted - MADE_BY_THE_STACK:
        parameter = name.title().replace("_", "")
        assert environment[name] == {"Ref": parameter}
        assert parameter in template["Parameters"]


def test_a_parameter_has_the_default_of_its_setting(template: Any) -> None:
    """A stack without parameters behaves as `make run`, but for projects' quotas."""
    settings = Settings(table_name="", bucket_name="", queue_url="", auth="")
    for field in Settings.__annotations__:
        parameter = template["Parameters"].get(field.title().replace("_", ""), {})
        if "Default" in parameter:
            default = getattr(settings, field)
            assert parameter["Default"] == SET_BY_THE_STACK.get(field, default), field
            assert field not in SET_BY_THE_STACK or default == -1


@pytest.mark.parametrize(
    "function", ["APIHandler", "Importer", "Worker", "Stream", "Sweep"]
)
def test_all_variables_fit_into_the_environment(template: Any, function: str) -> None:
    """However long each parameter is."""

    def longest(value: Any) -> int:
        parameter = template["Parameters"].get(value.get("Ref"))
        if parameter is None:
            # `LOG_KEY` is a UUID.
            return 36 if "Fn::Select" in value else RESOURCE_NAME_BYTES_MAX
        if parameter["Type"] == "Number":
            return len(str(parameter["MaxValue"]))
        if "AllowedValues" in parameter:
            return max(map(len, parameter["AllowedValues"]))
        return int(parameter["MaxLength"])

    environment = variables(template, function)

    size = sum(len(name) + longest(value) for name, value in environment.items())
    assert size <= ENVIRONMENT_BYTES_MAX


def refusals(template: Any, given: dict[str, str]) -> list[str]:
    """Return what CloudFormation says to parameters before it makes anything."""

    def value(term: Any) -> Any:
        if not isinstance(term, dict):
            return term
        ((function, argument),) = term.items()
        if function == "Ref":
            default = template["Parameters"][argument].get("Default")
            return given.get(argument, str(default))  # CloudFormation's are all text.
        if function == "Fn::Not":
            return not value(argument[0])
        assert function == "Fn::Equals"
        return value(argument[0]) == value(argument[1])

    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if value(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not value(assertion["Assert"])
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (BARE, None),
        ({"Auth": "oidc", "OidcAudience": "images"}, "OidcIssuer"),
        ({"Auth": "oidc", "OidcIssuer": "https://id"}, "OidcAudience"),
        ({"Auth": "keystone", "KeystoneCredential": "arn"}, "OsAuthUrl"),
        ({"Auth": "keystone", "OsAuthUrl": "https://id"}, "KeystoneCredential"),
        ({**BARE, "DomainName": "images.example.org"}, "CertificateArn"),
        ({**BARE, "BasePath": "images"}, "DomainName"),
        ({**BARE, "ExecuteApi": "off"}, "DomainName"),
        ({**BARE, **INSIDE}, None),
        ({**BARE, **INSIDE, "SecurityGroupIds": ""}, "SecurityGroupIds"),
        ({**BARE, **INSIDE, "VpcEndpoints": ""}, "VpcEndpoints"),
        ({**BARE, "SecurityGroupIds": "sg-0"}, "SubnetIds"),
        ({**BARE, **INSIDE, **CREATED}, None),
        ({**BARE, **INSIDE, **CREATED, "VpcId": ""}, "VpcId"),
        ({**BARE, **INSIDE, **CREATED, "RouteTableIds": ""}, "RouteTableIds"),
        ({**BARE, **CREATED}, "SubnetIds"),
        ({**BARE, "MonthlyBudget": "100"}, "AlarmEmail"),
    ],
)
def test_parameters_that_cannot_work_are_refused(
    template: Any, given: dict[str, str], said: str | None
) -> None:
    """Before anything is made, in one sentence that names what is missing."""
    messages = refusals(template, given)

    assert len(messages) == (said is not None)
    assert all(f"needs {said}" in message for message in messages)


def test_the_example_names_parameters_of_the_stack(template: Any) -> None:
    """And is refused by no rule."""
    example = json.loads((ROOT / "infra/stages/example.json").read_text("utf-8"))

    assert set(example["Parameters"]) <= set(template["Parameters"])
    assert refusals(template, example["Parameters"]) == []


def made(
    tmp_path: Path, *words: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run make with programs that only write down how they were called."""
    log = tmp_path / "log"
    log.touch()
    ready = tmp_path / "ready"
    ready.touch()
    for name in ("aws", "python"):
        program = tmp_path / name
        response = "echo the-bucket" if name == "aws" else ":"
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n{response}\n')
        program.chmod(0o755)
    done = subprocess.run(
        ["make", f"READY={ready}", f"BIN={tmp_path}", *words],  # noqa: S607 - any make
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    # The Makefile asks each Python for its version first.
    lines = [line for line in log.read_text("utf-8").splitlines() if line[-2:] != "-V"]
    return done, lines


def test_one_command_deploys_a_stage(tmp_path: Path) -> None:
    """It packages into the stage's folder, and deploys with the stage's parameters."""
    parameters = tmp_path / "prod.json"
    parameters.write_text("{}")

    done, log = made(tmp_path, "deploy", "STAGE=prod", f"PARAMETERS={parameters}")

    assert done.returncode == 0, done.stderr
    asked, packaged, uploaded, deployed = log
    assert "describe-stacks --stack-name cloud-images-account" in asked
    assert packaged == "python -m infra.package prod dist/prod arm64"
    assert "package --template-file dist/prod/sam.yaml" in uploaded
    assert "deploy --stack-name cloud-images-prod" in deployed
    # GitHub's role of the other stage may not write there.
    assert "--s3-prefix prod" in uploaded
    assert "--s3-prefix prod" in deployed
    assert deployed.endswith(f"--parameter-overrides file://{parameters}")


def test_what_was_packaged_elsewhere_is_deployed_as_it_is(tmp_path: Path) -> None:
    """As the workflow does: it packages without the rights to deploy."""
    parameters = tmp_path / "prod.json"
    parameters.write_text("{}")

    words = ("STAGE=prod", f"PARAMETERS={parameters}", "PACKAGED=yes")
    done, log = made(tmp_path, "deploy", *words)

    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in log] == ["aws"] * 3


def test_a_stage_without_parameters_is_not_deployed(tmp_path: Path) -> None:
    """The message names the file and where to begin."""
    done, log = made(tmp_path, "deploy", "STAGE=prod", "PARAMETERS=none.json")

    assert done.returncode != 0
    assert "none.json is missing: copy infra/stages/example.json" in done.stderr
    assert log == []
