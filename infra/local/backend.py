"""AWS in this process (moto): the table, bucket and queue of `infra/resources.yaml`."""

import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import yaml
from botocore.httpsession import URLLib3Session

from chalicelib import aws
from chalicelib.aws_http import Connections
from infra.local.mended_moto import mended_moto

RESOURCES: Final = Path(__file__).parents[1] / "resources.yaml"
QUEUE_URL: Final = "https://sqs.us-east-1.amazonaws.com/123456789012/uploads"
"""Where the queue of uploads is, once it was made."""

IMPORT_QUEUE_URL: Final = "https://sqs.us-east-1.amazonaws.com/123456789012/imports"
"""Where the queue of imports is, once it was made."""

LOOPBACK: Final = ("127.0.0.1", "localhost")

_send = URLLib3Session.send
_send_kept = Connections.send
_send_in_time = aws._send  # noqa: SLF001 - it has no public name
_started = ExitStack()


def start() -> None:
    """Put moto in the place of AWS, for this process and every client made from now on.

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
    _started.enter_context(patch.object(Connections, "send", _send_here))
    _started.enter_context(patch.object(aws, "_send", _send_in_time_here))


def stop() -> None:
    """Take moto away again, with all it holds."""
    _started.close()


def create_table(client: Any, name: str, *, stream: bool = False) -> None:  # noqa: ANN401 - botocore's own
    """Create the service's table, empty, under a name.

    Without its stream, unless somebody reads that: moto gets slow with each record.
    """
    table = _resource("ImagesTable")
    same = ("BillingMode", "AttributeDefinitions", "KeySchema")
    indexes = table["GlobalSecondaryIndexes"]
    streamed = {"StreamSpecification": {"StreamEnabled": True}}
    streamed["StreamSpecification"] |= table["StreamSpecification"]
    client.create_table(
        TableName=name,
        GlobalSecondaryIndexes=indexes,
        **{field: table[field] for field in same},
        **(streamed if stream else {}),
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification=table["TimeToLiveSpecification"]
    )


def ensure_table(client: Any, name: str) -> bool:  # noqa: ANN401 - botocore's own
    """
    Create the service's table with its stream, and return whether it was not there.

    Raises:
        LayoutError: It is there, with other keys or indexes.
    """
    if name not in client.list_tables()["TableNames"]:
        create_table(client, name, stream=True)
        return True
    if _keys(client.describe_table(TableName=name)["Table"]) != _keys(
        _resource("ImagesTable")
    ):
        raise LayoutError
    return False


class LayoutError(Exception):
    """A table has not the keys and indexes of `infra/resources.yaml`."""


def _keys(table: dict[str, Any]) -> dict[str, Any]:
    indexes = table.get("GlobalSecondaryIndexes", [])
    named = {index["IndexName"]: index["KeySchema"] for index in indexes}
    return {"": table["KeySchema"], **named}


def create_queues() -> None:
    """Create the queues of uploads and of imports."""
    client = boto3.client("sqs")
    queues = {QUEUE_URL: "UploadQueue", IMPORT_QUEUE_URL: "ImportQueue"}
    for url, resource in queues.items():
        client.create_queue(
            QueueName=url.rpartition("/")[2],
            Attributes={
                "VisibilityTimeout": str(_resource(resource)["VisibilityTimeout"])
            },
        )


def create_bus(name: str) -> None:
    """Create a bus of events, under a name."""
    boto3.client("events").create_event_bus(Name=name)


def create_bucket(name: str) -> None:
    """Create the bucket of images' data, empty, under a name."""
    boto3.client("s3").create_bucket(Bucket=name)


@cache
def _resource(name: str) -> dict[str, Any]:
    template = yaml.safe_load(RESOURCES.read_text("utf-8"))
    properties: dict[str, Any] = template["Resources"][name]["Properties"]
    return properties


def _send_nowhere_else(self: URLLib3Session, request: Any) -> Any:  # noqa: ANN401 - botocore's own
    # What moto answers is never sent. Tests have an emulator on this machine.
    if urlsplit(request.url).hostname not in LOOPBACK:
        raise RuntimeError(f"Nothing is sent to {request.url} from here.")
    return _send(self, request)


def _send_here(self: Connections, request: Any, **_: Any) -> Any:  # noqa: ANN401 - botocore's own
    # Moto answers what is not for an emulator.
    if urlsplit(request.url).hostname in LOOPBACK:
        return _send_kept(self, request)
    return None


def _send_in_time_here(client: Any, request: Any, **_: Any) -> Any:  # noqa: ANN401 - botocore's own
    if urlsplit(request.url).hostname in LOOPBACK:
        return _send_in_time(client, request)
    return None
