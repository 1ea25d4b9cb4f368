"""The role by which GitHub deploys: one stage's, and never more than it is given."""

from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.package.template import INFRA, read
from tests.infra.rights import as_list

STAGES = ("dev", "prod")


@pytest.fixture(scope="module")
def template() -> Any:
    """The template of the role."""
    return read(INFRA / "github.yaml")


def filled(value: Any, stage: str) -> str:
    """Return what CloudFormation makes of an ARN for a stage."""
    text = value["Fn::Sub"]
    other = "prod" if stage == "dev" else "dev"
    if isinstance(text, list):
        text = text[0]
    known = {"Stage": stage, "Other": other, "Repository": "owner/name"}
    known |= {"AWS::Partition": "aws", "AWS::AccountId": "1"}
    for name, word in known.items():
        text = text.replace(f"${{{name}}}", word)
    return str(text)


def statements(template: Any) -> dict[str, Any]:
    """Return the statements of the role's own policy, by their names."""
    (policy,) = template["Resources"]["DeployRole"]["Properties"]["Policies"]
    return {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize("stage", STAGES)
def test_it_changes_the_roles_of_its_stage_alone(template: Any, stage: str) -> None:
    """Neither itself, whose name begins with its own stack's, nor the other stage's."""
    other = "prod" if stage == "dev" else "dev"
    arn = "arn:aws:iam::1:role/cloud-images-{}-Role-X1"

    for name in ("BoundedRoles", "RolesOfTheStage", "FunctionsOfTheStage"):
        pattern = filled(statements(template)[name]["Resource"], stage)
        assert fnmatchcase(arn.format(stage), pattern)
        assert not fnmatchcase(arn.format(other), pattern)
        assert not fnmatchcase(arn.format(f"github-{stage}"), pattern)


def test_it_makes_no_role_without_the_boundary(template: Any) -> None:
    """Nor changes what one may, nor takes a boundary off."""
    by_name = statements(template)
    bounded = by_name["BoundedRoles"]
    widening = {
        *("iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePolicy"),
        "iam:PutRolePermissionsBoundary",
    }

    assert bounded["Condition"] == {
        "StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}
    }
    assert widening <= set(bounded["Action"])
    others = [
        action
        for name, one in by_name.items()
        if name != "BoundedRoles" and one["Effect"] == "Allow"
        for action in as_list(one["Action"])
    ]
    assert widening & set(others) == set()
    assert "iam:DeleteRolePermissionsBoundary" not in {*others, *bounded["Action"]}
    assert not any("Policy" in one and one.startswith("iam:Create") for one in others)


@pytest.mark.parametrize("stage", STAGES)
def test_it_touches_nothing_of_the_other_stage(template: Any, stage: str) -> None:
    """Nor what makes it itself, nor what the other stage deploys."""
    other = "prod" if stage == "dev" else "dev"
    denied = [
        filled(pattern, stage)
        for name in ("NoOtherStack", "NoOtherStage")
        for pattern in statements(template)[name]["Resource"]
    ]
    foreign = [
        f"arn:aws:cloudformation:eu-central-1:1:stack/cloud-images-{other}/x",
        "arn:aws:cloudformation:eu-central-1:1:stack/cloud-images-account/x",
        f"arn:aws:cloudformation:eu-central-1:1:stack/cloud-images-github-{stage}/x",
        f"arn:aws:dynamodb:eu-central-1:1:table/cloud-images-{other}-ImagesTable-X1",
        f"arn:aws:s3:::cloud-images-{other}-databucket-x1",
        f"arn:aws:s3:::cloud-images-account-artifactbucket-x1/{other}/0",
    ]
    own = [
        f"arn:aws:cloudformation:eu-central-1:1:stack/cloud-images-{stage}/x",
        f"arn:aws:dynamodb:eu-central-1:1:table/cloud-images-{stage}-ImagesTable-X1",
        f"arn:aws:s3:::cloud-images-account-artifactbucket-x1/{stage}/0",
    ]

    def is_denied(arn: str) -> bool:
        return any(fnmatchcase(arn, pattern) for pattern in denied)

    assert all(map(is_denied, foreign))
    assert not any(map(is_denied, own))


@pytest.mark.parametrize("stage", STAGES)
def test_the_boundary_has_all_that_a_function_may(template: Any, stage: str) -> None:
    """Each action that a role of the stage's functions allows is within it."""
    document = template["Resources"]["Boundary"]["Properties"]["PolicyDocument"]
    allowed = [
        action for one in document["Statement"] for action in as_list(one["Action"])
    ]
    resources = read(INFRA / "functions.yaml")["Resources"].values()
    policies = [
        policy
        for one in resources
        if one.get("Type") in {"AWS::IAM::Role", "AWS::IAM::RolePolicy"}
        for policy in one["Properties"].get("Policies", [one["Properties"]])
    ]
    needed = {
        action
        for policy in policies
        for one in policy["PolicyDocument"]["Statement"]
        for action in as_list(one["Action"])
    }

    assert needed
    assert [
        one for one in needed if not any(fnmatchcase(one, may) for may in allowed)
    ] == []
    ours = [filled(one, stage) for one in document["Statement"][0]["Resource"]]
    assert all(f"cloud-images-{stage}" in one for one in ours)


def test_the_role_is_for_one_environment_of_the_repository(template: Any) -> None:
    """Which the repository protects."""
    role = template["Resources"]["DeployRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    claims = trust["Condition"]["StringEquals"]

    subject = claims["token.actions.githubusercontent.com:sub"]
    assert filled(subject, "prod") == "repo:owner/name:environment:prod"


def test_the_bucket_of_artifacts_refuses_plain_http() -> None:
    """As that of images' data does."""
    resources: Any = read(INFRA / "account.yaml")["Resources"]
    policy = resources["ArtifactBucketPolicy"]["Properties"]["PolicyDocument"]

    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [
        {"Fn::GetAtt": ["ArtifactBucket", "Arn"]},
        {"Fn::Sub": "${ArtifactBucket.Arn}/*"},
    ]
