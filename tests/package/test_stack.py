"""
A stack of the packaged template, as far as moto creates one, and the service on it.
"""

import json
from typing import Any

import boto3
import pytest

from tests.actors import Actor
from tests.package.cloudformation import stack
from tests.package.packaged import Package, running, through_gateway


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_service_runs_on_what_the_template_makes(
    stage: str, aws: str, request: pytest.FixtureRequest
) -> None:
    """
    With the variables that its functions have there: a share, and an image's data.
    """
    package: Package = request.getfixturevalue(stage)
    dev: Package = request.getfixturevalue("dev")
    with stack(package, f"images-{stage}") as outputs:
        functions: Any = boto3.client("lambda").list_functions()["Functions"]
        ours = [
            one
            for one in functions
            if one["FunctionName"].startswith(f"images-{stage}-APIHandler")
        ]
        # CloudFormation makes text of a number; moto does not.
        found = ours[0]["Environment"]["Variables"].items()
        variables = {name: str(value) for name, value in found}
        variables["AUTH"] = "development"
        # The processor of this machine; the code is the same.
        with running(dev.unzipped, aws, **variables) as function:
            send = through_gateway(package, function)
            producer, consumer = Actor(send, "producer"), Actor(send, "consumer")
            image_id = producer.make_image(
                name="ubuntu", disk_format="raw", container_format="bare"
            )
            uploaded = producer.upload(image_id, b"data")
            producer.share(image_id, "consumer")
            consumer.set_status(image_id, "accepted")
            listed, data = consumer.listed(), consumer.download(image_id)

    assert (uploaded.status, listed, data.body) == (204, [image_id], b"data")
    table = boto3.client("dynamodb").describe_table(TableName=outputs["Table"])["Table"]
    assert table["ItemCount"] >= 2
    assert table["DeletionProtectionEnabled"] is (stage == "prod")
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    bucket = boto3.client("s3").list_objects_v2(Bucket=outputs["Bucket"])
    assert [one["Key"].partition("/")[0] for one in bucket["Contents"]] == [image_id]


def test_two_stages_fit_into_one_account(dev: Package, prod: Package) -> None:
    """Nothing has a name but after its stack, so nothing collides."""
    named = {
        (name, key): value
        for package in (dev, prod)
        for name, resource in package.resources.items()
        for key, value in resource["Properties"].items()
        if key in NAMES.get(resource["Type"], ())
    }

    assert {json.dumps(value) for value in named.values()} == {
        json.dumps({"Ref": "AWS::StackName"}),
        json.dumps({"Fn::Sub": "${AWS::StackName}"}),
        json.dumps({"Ref": "DomainName"}),
        json.dumps({"Ref": "Domain"}),
    }


NAMES = {
    "AWS::ApiGateway::BasePathMapping": ("DomainName",),
    "AWS::ApiGateway::DomainName": ("DomainName",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
    "AWS::DynamoDB::Table": ("TableName",),
    "AWS::Events::EventBus": ("Name",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SNS::Topic": ("TopicName",),
    "AWS::SQS::Queue": ("QueueName",),
    "AWS::Serverless::Api": ("Name",),
    "AWS::Serverless::Function": ("FunctionName",),
}
"""The properties that name a resource, by its type."""
