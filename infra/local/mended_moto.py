"""moto with its faults mended: DynamoDB's races, the size of items, and slowness.

Its stream can be read without end, as moto keeps each record for good.
"""

from contextlib import ExitStack
from threading import RLock
from typing import Any, Final
from unittest.mock import patch

from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.responses import DynamoHandler

from infra.local.mended_storage import mended_storage

ITEM_BYTES_MAX: Final = 400 * 1024
"""Where DynamoDB ends an item."""

_lock = RLock()
_call_action = DynamoHandler.call_action
_serialize = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001 - to be mended


def mended_moto() -> ExitStack:
    """Put moto in the place of AWS, until what is given is closed."""
    mended = ExitStack()
    mended.enter_context(mock_aws())
    mended.enter_context(mended_storage())
    for owner, name, mend in (
        (DynamoHandler, "call_action", _one_at_a_time),
        (LimitedSizeDict, "__setitem__", _put_attribute),
        (BaseJSONSerializer, "_serialize_type_structure", _write_value),
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
    size = sum(len(name.encode()) + _bytes_of(one) for name, one in after.items())
    if size > ITEM_BYTES_MAX:
        raise ItemSizeTooLarge
    dict.__setitem__(self, key, value)


def _bytes_of(value: DynamoType) -> int:
    """Return the bytes that DynamoDB counts for a value, rounded up."""
    if value.is_list():
        return 3 + sum(_bytes_of(one) + 1 for one in value.value)
    return 21 if value.is_number() else int(value.size())


def _write_value(
    self: BaseJSONSerializer,
    serialized: Any,  # noqa: ANN401 - moto's own
    value: Any,  # noqa: ANN401 - moto's own
    shape: Any,  # noqa: ANN401 - moto's own
    key: str,
) -> None:
    # An attribute's value is JSON as it is. moto walks through it by its shape, which
    # takes nearly half of the time that tests take.
    if shape.name == "AttributeValue" and isinstance(value, dict):
        self._default_serialize(serialized, value, shape, key)
    else:
        _serialize(self, serialized, value, shape, key)
