"""CloudFormation's half of a deployment: SAM's transform, and a stack in moto."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from samtranslator.translator.transform import transform

from tests.package.packaged import Package

PARAMETERS = {"Auth": "keystone"}
NOT_IN_MOTO = (
    "AWS::ApiGateway::",  # It takes no paths from a definition, and so has no stage.
    "AWS::Budgets::",
    "AWS::CloudWatch::",
    "AWS::Events::Rule",  # It would run the function at any event, in Docker.
    "AWS::Lambda::EventSourceMapping",  # As above.
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::WAFv2::",
)


class _NoPolicies:
    def load(self) -> dict[str, str]:
        """Return the managed policies that SAM may name: none is used."""
        return {}


def transformed(package: Package) -> dict[str, Any]:
    """Return what CloudFormation makes of the packaged template."""
    template = json.loads(json.dumps(package.template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/deployment.zip"
    plain: dict[str, Any] = transform(template, PARAMETERS, _NoPolicies())
    return plain


def supported(template: dict[str, Any]) -> dict[str, Any]:
    """Return what moto can make of a template."""
    template["Resources"] = {
        key: resource
        for key, resource in template["Resources"].items()
        if not resource["Type"].startswith(NOT_IN_MOTO)
    }
    template["Outputs"] = {
        key: output
        for key, output in template["Outputs"].items()
        if "API" not in json.dumps(output) and "Condition" not in output
    }
    return template


@contextmanager
def stack(package: Package, name: str) -> Iterator[dict[str, str]]:
    """Create what moto can of a package; return the outputs, then delete it."""
    template = supported(transformed(package))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="artifacts")
    s3.put_object(
        Bucket="artifacts",
        Key="deployment.zip",
        Body=package.artifact.read_bytes(),
    )
    client = boto3.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in PARAMETERS.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    (made,) = client.describe_stacks(StackName=name)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    yield {one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]}
