"""What is read of a secret of AWS, and what is said of one that cannot be used."""

import json
from typing import Any

import boto3
import pytest

from chalicelib import aws
from chalicelib.identity.http_client import UpstreamError
from chalicelib.identity.secret import read_secret

REGION = "eu-west-1"


def keep(**content: Any) -> str:
    """Have AWS keep a secret outside of the service's own region; return its ARN."""
    client = boto3.client("secretsmanager", REGION)
    name = f"s{len(client.list_secrets()['SecretList'])}"
    return str(client.create_secret(Name=name, **content)["ARN"])


VALUES = {"OS_USERNAME": "images", "OS_PASSWORD": "word"}


def test_a_secret_is_read_in_the_region_of_its_arn() -> None:
    """Once, and waited for no longer than a request may take."""
    assert read_secret(keep(SecretString=json.dumps(VALUES))) == VALUES

    config = aws.client("secretsmanager", REGION).meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 2)
    assert config.retries["total_max_attempts"] == 1


def test_a_parameter_is_read_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the region of its ARN; moto's Parameter Store takes seconds to begin."""
    arn = f"arn:aws:ssm:{REGION}:123456789012:parameter/keystone"

    class Ssm:
        def get_parameter(self, **asked: Any) -> Any:
            assert asked == {"Name": arn, "WithDecryption": True}
            return {"Parameter": {"Value": json.dumps(VALUES)}}

    clients = {("ssm", REGION): Ssm()}
    monkeypatch.setattr(aws, "client", lambda *names, **_: clients[names])

    assert read_secret(arn) == VALUES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"SecretString": "word"}, "{} is not JSON."),
        ({"SecretBinary": b"{}"}, "{} is not JSON."),
        ({"SecretString": '"word"'}, "{} is not a JSON object of strings."),
        ({"SecretString": '["word"]'}, "{} is not a JSON object of strings."),
        ({"SecretString": '{"a": "", "b": 7}'}, "{} is not a JSON object of strings."),
    ],
)
def test_a_secret_of_another_form_is_named_by_its_arn_alone(
    content: dict[str, Any], message: str
) -> None:
    """The message quotes nothing of it."""
    arn = keep(**content)

    with pytest.raises(UpstreamError) as error:
        read_secret(arn)

    assert str(error.value) == message.format(arn)


def test_a_secret_that_cannot_be_read_is_an_upstream_error() -> None:
    """With the kind of the error, for the operator."""
    arn = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:gone-abcdef"

    with pytest.raises(UpstreamError) as error:
        read_secret(arn)

    assert str(error.value) == f"{arn} cannot be read: ResourceNotFoundException."
