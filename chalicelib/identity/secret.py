"""A secret in AWS Secrets Manager or in SSM's Parameter Store."""

import json
import re
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import aws
from chalicelib.identity.http_client import UpstreamError

ARN: Final = re.compile(
    r"arn:[\w-]+:(secretsmanager|ssm):([a-z]{2,}(?:-[a-z]+)+-\d+):\d*:.+"
)
"""The ARN of a secret or of a parameter: its service and its region."""


def read_secret(arn: str) -> dict[str, str]:
    """Return the JSON object of strings that a secret contains.

    Raises:
        UpstreamError: It cannot be read, or contains something else; the message has
            nothing of it.
    """
    service, region = ARN.fullmatch(arn).groups()  # type: ignore[union-attr] # checked
    client = aws.client(
        service, region, read_timeout=2, retries={"total_max_attempts": 1}
    )
    try:
        if service == "ssm":
            response = client.get_parameter(Name=arn, WithDecryption=True)
            text = response["Parameter"]["Value"]
        else:
            text = client.get_secret_value(SecretId=arn)["SecretString"]
        values = json.loads(text)
    except (BotoCoreError, ClientError) as error:
        raise UpstreamError(f"{arn} cannot be read: {type(error).__name__}.") from None
    except (KeyError, ValueError):
        raise UpstreamError(f"{arn} is not JSON.") from None
    if not (
        isinstance(values, dict)
        and all(isinstance(value, str) for value in values.values())
    ):
        raise UpstreamError(f"{arn} is not a JSON object of strings.")
    return values
