"""A secret that AWS keeps, in Secrets Manager or in SSM's Parameter Store."""

import json
import re
from typing import Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.identity.http_client import RemoteError

ARN: Final = re.compile(
    r"arn:[\w-]+:(secretsmanager|ssm):([a-z]{2,}(?:-[a-z]+)+-\d+):\d*:.+"
)
"""The ARN of a secret or of a parameter: its service and its region."""


def read_secret(arn: str) -> dict[str, str]:
    """Give the names and values of the JSON object that a secret is.

    Raises:
        RemoteError: It can't be read just now, or is no object of texts; the message
            holds nothing of it.
    """
    service, region = ARN.fullmatch(arn).groups()  # type: ignore[union-attr] # checked
    client = botocore.session.get_session().create_client(
        service,
        region_name=region,
        config=Config(
            connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1}
        ),
    )
    try:
        if service == "ssm":
            found = client.get_parameter(Name=arn, WithDecryption=True)
            text = found["Parameter"]["Value"]
        else:
            text = client.get_secret_value(SecretId=arn)["SecretString"]
        values = json.loads(text)
    except (BotoCoreError, ClientError) as error:
        raise RemoteError(f"{arn} can't be read: {type(error).__name__}.") from None
    except (KeyError, ValueError):
        raise RemoteError(f"{arn} is no JSON.") from None
    if not (
        isinstance(values, dict)
        and all(isinstance(one, str) for one in values.values())
    ):
        raise RemoteError(f"{arn} is no JSON object of texts.")
    return values
