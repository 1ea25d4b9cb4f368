"""The mapping between a record and its item: an attribute for each field.

The domain's type hints say how an attribute is read, straight from DynamoDB's form: an
object of PynamoDB for each item and attribute would cost several times as much.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from chalicelib.store.keys import moment

Raw = dict[str, dict[str, Any]]
_T = TypeVar("_T")


class ItemMapping(Generic[_T]):
    """The attributes of a record; a field may be *renamed* to another attribute."""

    def __init__(self, kind: type[_T], **renamed: str) -> None:
        self._kind = kind
        fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined] # a record
        self.names = {field: renamed.get(field, field) for field in fields}
        hints = get_type_hints(kind)
        self._readers = [
            (field, name, _reader_of(hints[field]))
            for field, name in self.names.items()
        ]

    def attributes(self, thing: _T) -> dict[str, Any]:
        """Return the attributes of an item, as PynamoDB takes them."""
        return {
            name: stored(getattr(thing, field)) for field, name in self.names.items()
        }

    def parse(self, raw: Raw) -> _T:
        """Parse an item; a field without an attribute has its default."""
        values = {
            field: read(raw[name]) for field, name, read in self._readers if name in raw
        }
        return self._kind(**values)


def stored(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    """Return the form in which a field is stored."""
    if isinstance(value, datetime):
        return moment(value)
    if _is_record(value):
        return value._asdict()
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _reader_of(hint: Any) -> Callable[[dict[str, Any]], Any]:  # noqa: ANN401 - a type
    """Return how an attribute of a field of this type is read."""
    if NoneType in get_args(hint):
        (hint,) = set(get_args(hint)) - {NoneType}
    origin = get_origin(hint) or hint
    if _is_record(origin):
        return lambda attribute: _parse_document(hint, attribute["S"])
    if issubclass(origin, StrEnum):
        members = {member.value: member for member in origin}
        return lambda attribute: members[attribute["S"]]
    return _READERS[origin]


def _parse_document(kind: Any, text: str) -> Any:  # noqa: ANN401 - a record
    """Parse what was stored as one document; ignore what a later version added."""
    document = json.loads(text)
    return kind(**{name: document[name] for name in kind._fields if name in document})


def _is_record(thing: Any) -> bool:  # noqa: ANN401 - a value, or its type
    return hasattr(thing, "_fields")


_READERS: dict[Any, Callable[[dict[str, Any]], Any]] = {
    bool: itemgetter("BOOL"),
    int: lambda attribute: int(attribute["N"]),
    str: itemgetter("S"),
    datetime: lambda attribute: datetime.fromisoformat(attribute["S"]),
    tuple: lambda attribute: tuple(one["S"] for one in attribute["L"]),
    Mapping: lambda attribute: json.loads(attribute["S"]),
}
