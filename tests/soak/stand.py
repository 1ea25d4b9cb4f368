"""What a soak stands on: the service on DynamoDB Local, and what follows its writes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import boto3

import app as service
from chalicelib import settings
from chalicelib.background import functions
from chalicelib.store import dynamodb
from infra.local import backend
from infra.local.server import per_thread
from infra.local.streams import LocalStream
from infra.local.worker import Pump
from tests.actors import Send, in_process

SETTLING_SECONDS: Final = 20
"""How long what follows from writes may take, in seconds."""

SOURCE: Final = "127.0.0.1:9"
_QUOTAS: Final[Any] = {
    "image_count_total": 10_000,
    "image_size_total": 10_000,
    "image_stage_total": 10_000,
    "image_count_uploading": 1_000,
    "offer_count_total": 10_000,
    "offer_count_per_consumer": 10_000,
}
"""So high that none is reached: what is counted is compared with what is there."""


@dataclass
class Stand:
    """The service in this process, its table in the emulator, and its other functions.

    `embedded` is the client of the table that is in this process, too. `tables` counts
    the tables that were made.
    """

    client: Any
    embedded: Any
    send: Send
    folder: Path
    tables: int = 0

    def clear(self) -> None:
        """Begin with an empty table, a stream of its own, and empty queues."""
        name = dynamodb.connection.table_name
        if self.tables:
            self.client.delete_table(TableName=name)
        backend.create_table(self.client, name, stream=True)
        sqs = boto3.client("sqs")
        for url in (backend.QUEUE_URL, backend.IMPORT_QUEUE_URL):
            sqs.delete_queue(QueueUrl=url)
        backend.create_queues()
        self.tables += 1

    def settle(self, check: Callable[[], None]) -> None:
        """Have the other functions do what follows from all writes, then check.

        Raises:
            AssertionError: The check fails until a bound.
        """
        stream = LocalStream(
            dynamodb.connection.table_name, self.folder / f"{self.tables}.json"
        )
        pump = Pump(stream, functions.stream, functions.worker, functions.importer)
        give_up = time.monotonic() + SETTLING_SECONDS
        while True:
            pump.drain()
            try:
                check()
            except AssertionError:
                # The emulator's stream has a record a moment after its write.
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
            else:
                return

    def items(self) -> list[dict[str, Any]]:
        """Return every item of the table, page by page."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=dynamodb.connection.table_name, ConsistentRead=True
        )
        return [item for page in pages for item in page["Items"]]

    def items_of(self, *partitions: str) -> list[dict[str, Any]]:
        """Return the items of some partitions of the table."""
        return [
            item
            for partition in partitions
            for item in self.client.query(
                TableName=dynamodb.connection.table_name,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": partition}},
                ConsistentRead=True,
            )["Items"]
        ]


@contextmanager
def on_emulator(client: Any) -> Iterator[Stand]:
    """Put the service on DynamoDB Local, for any number of threads, with quotas set."""
    per_thread(service.app)
    # Nothing listens there: an import begins, and waits for its source.
    limited = settings.current._replace(import_allow=SOURCE, **_QUOTAS)
    url = client.meta.endpoint_url
    urls = {
        f"AWS_ENDPOINT_URL_{name}": url for name in ("DYNAMODB", "DYNAMODB_STREAMS")
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(patch.dict(os.environ, urls))
        stack.enter_context(patch.object(settings, "current", limited))
        connection = dynamodb.connection.connection
        embedded = connection.client
        stack.enter_context(patch.object(connection, "_client", client))
        # Nothing here is about how fast the machine is.
        stack.enter_context(patch.object(dynamodb, "CONFLICT_SECONDS", 20))
        stand = Stand(client, embedded, in_process(service.app), folder)
        stand.clear()
        yield stand
        client.delete_table(TableName=dynamodb.connection.table_name)
