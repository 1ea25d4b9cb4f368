"""Indexes and eventually consistent reads that lag, as an emulator's never do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.store import dynamodb
from infra.local import backend
from tests.aws_faults import on, stored


@contextmanager
def lagging_indexes() -> Iterator[None]:
    """Let every index show the table as it is now, while the context lasts."""
    with _snapshot() as now:

        def redirect(params: dict[str, Any], **_: Any) -> None:
            if "IndexName" in params:
                params["TableName"] = now

        with on("provide-client-params.dynamodb.Query", redirect):
            yield


@contextmanager
def lagging_table() -> Iterator[None]:
    """Answer each read that is not strongly consistent from the table as it is now.

    This holds while the context lasts, for the indexes and for the table itself.
    """
    table = dynamodb.connection.table_name
    with _snapshot() as now:

        def redirect(params: dict[str, Any], **_: Any) -> None:
            if not params.get("ConsistentRead"):
                params["TableName"] = now

        def redirect_batch(params: dict[str, Any], **_: Any) -> None:
            keys = params["RequestItems"][table]
            if not keys.get("ConsistentRead"):
                params["RequestItems"] = {now: keys}

        def name_table(parsed: dict[str, Any], **_: Any) -> None:
            responses = parsed["Responses"]
            if now in responses:
                responses[table] = responses.pop(now)

        with (
            on("provide-client-params.dynamodb.GetItem", redirect),
            on("provide-client-params.dynamodb.Query", redirect),
            on("provide-client-params.dynamodb.BatchGetItem", redirect_batch),
            on("after-call.dynamodb.BatchGetItem", name_table),
        ):
            yield


@contextmanager
def _snapshot() -> Iterator[str]:
    """Copy the table as it is now; return the copy's name."""
    client = dynamodb.connection.connection.client
    now = f"{dynamodb.connection.table_name}-before"
    items = stored()
    backend.create_table(client, now)
    try:
        for item in items:
            client.put_item(TableName=now, Item=item)
        yield now
    finally:
        client.delete_table(TableName=now)
