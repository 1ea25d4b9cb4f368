"""moto with its faults mended: DynamoDB's races, the size of items, and slowness.

Its stream can be read without end, as moto keeps each record for good.
"""

import json
from contextlib import ExitStack
from functools import cache
from threading import RLock
from typing import Any, Final
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws
from moto.core import responses
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.core.utils import method_names_from_class
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.responses import DynamoHandler
from werkzeug.datastructures import Headers

from infra.local.mended_storage import mended_storage
from infra.local.quick_moto import quick_moto

ITEM_BYTES_MAX: Final = 400 * 1024
"""Where DynamoDB ends an item."""

ITEM_OPERATIONS: Final = {
    f"DynamoDB_20120810.{operation}"
    for operation in (
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactWriteItems",
        "UpdateItem",
    )
}
"""Operations on items, as a request's header names them."""

_lock = RLock()
_call_action = DynamoHandler.call_action
_serialized = DynamoHandler.serialized
_process_request = BotocoreStubber.process_request


def mended_moto() -> ExitStack:
    """Put moto in the place of AWS, until what is returned is closed."""
    mended = ExitStack()
    mended.enter_context(mock_aws())
    mended.enter_context(mended_storage())
    mended.enter_context(quick_moto())
    for owner, name, mend in (
        (DynamoHandler, "call_action", _one_at_a_time),
        (LimitedSizeDict, "__setitem__", _put_attribute),
        (DynamoHandler, "serialized", _write_items),
        (BotocoreStubber, "process_request", _call_handler),
        (responses, "method_names_from_class", cache(method_names_from_class)),
    ):
        mended.enter_context(patch.object(owner, name, mend))
    return mended


def take_records(table_name: str) -> list[dict[str, Any]]:
    """Take the records off a table's stream that it has by now, in order."""
    with _lock:
        (backends,) = dynamodb_backends.values()
        shards = [
            backend.tables[table_name].stream_shard
            for backend in backends.values()
            if table_name in backend.tables
        ]
        (shard,) = shards
        if shard is None:
            return []
        records = shard.get(shard.starting_sequence_number, len(shard.items))
        shard.starting_sequence_number += len(records)
        del shard.items[: len(records)]
        return records


def _one_at_a_time(self: DynamoHandler) -> Any:  # noqa: ANN401 - moto's own
    # moto's transactions are not atomic under threads.
    with _lock:
        return _call_action(self)


def _put_attribute(self: LimitedSizeDict, key: str, value: DynamoType) -> None:
    # moto's limit is lower than DynamoDB's, and counts what is replaced, too.
    after = {**self, key: value}
    size = sum(
        len(name.encode()) + _bytes_of(attribute) for name, attribute in after.items()
    )
    if size > ITEM_BYTES_MAX:
        raise ItemSizeTooLarge
    dict.__setitem__(self, key, value)


def _bytes_of(value: DynamoType) -> int:
    """Return the bytes that DynamoDB counts for a value, rounded up."""
    if value.type == "S":
        return len(value.value.encode())
    if value.is_list():
        return 3 + sum(_bytes_of(element) + 1 for element in value.value)
    return 21 if value.is_number() else int(value.size())


def _call_handler(self: BotocoreStubber, request: AWSPreparedRequest) -> Any:  # noqa: ANN401 - moto's own
    # moto tries the URLs of every service, makes a request of the request, and reads it
    # by the shapes of the API: half of the time of a call.
    headers = Headers({name: _text(value) for name, value in request.headers.items()})
    is_of_moto = ".amazonaws.com" in request.url  # Not an emulator on this machine.
    if not is_of_moto or headers.get("X-Amz-Target") not in ITEM_OPERATIONS:
        return _process_request(self, request)
    handler = DynamoHandler()
    handler.headers = headers
    handler.region = handler.get_region_from_url(handler, request.url)
    handler.current_account = DEFAULT_ACCOUNT_ID
    handler.querystring = handler.response_headers = {}
    handler.params = json.loads(request.body)
    return handler.call_action()


def _write_items(self: DynamoHandler, result: ActionResult) -> Any:  # noqa: ANN401 - moto's own
    # Items are JSON as they are. moto walks through them by the shapes of the API.
    if (
        isinstance(result.result, dict)
        and self.headers["X-Amz-Target"] in ITEM_OPERATIONS
    ):
        return 200, {}, json.dumps(result.result)
    return _serialized(self, result)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
