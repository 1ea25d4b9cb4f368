"""Indexes that lag, as DynamoDB's do and an emulator's never."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.store import dynamodb
from infra.local import backend
from tests.aws_faults import on, stored


@contextmanager
def lagging_indexes() -> Iterator[None]:
    """Let every index show the table as it is now, while the context lasts."""
    client = dynamodb.connection.connection.client
    now = f"{dynamodb.connection.table_name}-before"
    items = stored()
    backend.create_table(client, now)
    for item in items:
        client.put_item(TableName=now, Item=item)

    def redirect(params: dict[str, Any], **_: Any) -> None:
        if "IndexName" in params:
            params["TableName"] = now

    try:
        with on("provide-client-params.dynamodb.Query", redirect):
            yield
    finally:
        client.delete_table(TableName=now)
