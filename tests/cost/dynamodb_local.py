"""
DynamoDB Local, which tells the units that DynamoDB would charge.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from infra.local import dynamodb_local


@contextmanager
def running() -> Iterator[Any]:
    """
    Run the emulator in memory; return a client of it.
    """
    try:
        dynamodb_local.install()
    except dynamodb_local.MissingError as missing:
        pytest.skip(str(missing))
    with dynamodb_local.running() as url:
        yield boto3.client(
            "dynamodb",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
