"""
DynamoDB in this process (moto), and the table as `infra/resources.yaml` defines it.
"""

import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import yaml
from botocore.httpsession import URLLib3Session

from infra.local.mended_moto import mended_moto

RESOURCES: Final = Path(__file__).parents[1] / "resources.yaml"
LOOPBACK: Final = ("127.0.0.1", "localhost")

_send = URLLib3Session.send
_started = ExitStack()


def start() -> None:
    """
    Put moto in the place of AWS, for this process and every client made from now on.

    Whatever the environment says about AWS is gone: no request can reach it.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - moto takes any
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    _started.enter_context(mended_moto())
    _started.enter_context(patch.object(URLLib3Session, "send", _send_nowhere_else))


def stop() -> None:
    """
    Take moto away again, with all it holds.
    """
    _started.close()


def create_table(client: Any, name: str) -> None:  # noqa: ANN401 - botocore's own
    """
    Create the service's table, empty, under a name.
    """
    table = _table()
    same = ("BillingMode", "AttributeDefinitions", "KeySchema")
    indexes = table["GlobalSecondaryIndexes"]
    client.create_table(
        TableName=name,
        GlobalSecondaryIndexes=indexes,
        **{field: table[field] for field in same},
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification=table["TimeToLiveSpecification"]
    )


@cache
def _table() -> dict[str, Any]:
    template = yaml.safe_load(RESOURCES.read_text("utf-8"))
    properties: dict[str, Any] = template["Resources"]["ImagesTable"]["Properties"]
    return properties


def _send_nowhere_else(self: URLLib3Session, request: Any) -> Any:  # noqa: ANN401 - botocore's own
    # What moto answers is never sent. Tests have an emulator on this machine.
    if urlsplit(request.url).hostname not in LOOPBACK:
        raise RuntimeError(f"Nothing is sent to {request.url} from here.")
    return _send(self, request)
