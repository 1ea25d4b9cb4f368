"""The JSON patch of an image, in both of its dialects."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chalicelib.api.bodies.images import (
    check_image,
    check_limits,
    check_settable,
    parse_field,
)
from chalicelib.api.bodies.json_body import parse_json
from chalicelib.api.schemas import BASE, Json
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.errors import BadRequest, Conflict, Forbidden, UnsupportedMediaType

OLD_TYPE: Final = "application/openstack-images-v2.0-json-patch"
NEW_TYPE: Final = "application/openstack-images-v2.1-json-patch"

OPERATIONS: Final = ("add", "remove", "replace")
_REMOVE: Final = "remove"
_INSERT: Final = "insert"
"""What `add` is in the old dialect: only where nothing is yet."""

_WHILE_QUEUED: Final = frozenset({"disk_format", "container_format"})
POINTER: Final = re.compile(r"/(?:[^/~]|~[01])*")


class Operation(NamedTuple):
    """One change of one attribute or custom property."""

    op: str
    name: str
    value: Any = None


def parse_patch(media_type: str, raw: bytes) -> list[Operation]:
    """Parse a patch, in the dialect that the media type names.

    `[{"op": "add", "path": "/name", "value": "x"}]` in the new one,
    `[{"replace": "/name", "value": "x"}]` in the old one, whose `add` never sets what
    is there already.

    Raises:
        UnsupportedMediaType: It is neither of the two.
        BadRequest: An operation is malformed, or its value not what may be there.
        Forbidden: An operation touches what only the service sets.
    """
    if media_type not in (OLD_TYPE, NEW_TYPE):
        types = f"{OLD_TYPE}, {NEW_TYPE}"
        raise UnsupportedMediaType(
            f"Content-Type must be one of {types}.", {"Accept-Patch": types}
        )
    document = parse_json(raw)
    if not isinstance(document, list):
        raise BadRequest("A patch must be a JSON array of operations.")
    read = _read_old if media_type == OLD_TYPE else _read_new
    return [_parse_operation(*read(operation), operation) for operation in document]


def apply_patch(image: Image, operations: list[Operation]) -> Image:
    """Return the image after all operations, in their order.

    Raises:
        Conflict: A property to replace or remove is not there, or one to add is.
        Forbidden: An attribute may not be removed, or not be changed any more.
        LimitExceeded: More tags or properties than a quota allows.
    """
    changed: Json = {}
    properties = dict(image.properties)
    for operation in operations:
        if operation.name in BASE:
            changed[operation.name] = _attribute_value(image, operation)
        else:
            _change_property(properties, operation)
    patched = image._replace(**changed, properties=properties)
    check_limits(patched, image)
    return patched


def _read_new(operation: Any) -> tuple[str, str]:  # noqa: ANN401 - any JSON
    if not isinstance(operation, dict):
        raise BadRequest("Each operation of a patch must be a JSON object.")
    op, path = operation.get("op"), operation.get("path")
    if op not in OPERATIONS:
        raise BadRequest(f"op must be one of {', '.join(OPERATIONS)}.")
    return op, _parse_pointer(path)


def _read_old(operation: Any) -> tuple[str, str]:  # noqa: ANN401 - any JSON
    named = isinstance(operation, dict) and [op for op in OPERATIONS if op in operation]
    if not named or len(named) != 1:
        raise BadRequest(
            "Each operation of a patch must be a JSON object with exactly one of"
            f" {', '.join(OPERATIONS)}."
        )
    (op,) = named
    return _INSERT if op == "add" else op, _parse_pointer(operation[op])


def _parse_pointer(path: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the name that a JSON pointer (RFC 6901) of one token points at."""
    if isinstance(path, str) and path.startswith("/locations/"):
        return "locations"  # 403, as recorded, not the 400 of a path that is too long
    if not isinstance(path, str) or not POINTER.fullmatch(path):
        raise BadRequest(
            "The path of an operation must be a JSON pointer to one attribute or"
            " property, such as /name."
        )
    return path[1:].replace("~1", "/").replace("~0", "~")


def _parse_operation(op: str, name: str, operation: Mapping[str, Any]) -> Operation:
    if op == _REMOVE and name == "stores":
        return Operation(op, name)  # 409, as recorded, not the 403 of what is read-only
    check_settable(name)
    if op == _REMOVE:
        return Operation(op, name)
    if "value" not in operation:
        raise BadRequest("The operations add and replace require a value.")
    value = operation["value"]
    check_image({name: value})
    return Operation(op, name, parse_field(name, value))


def _attribute_value(image: Image, operation: Operation) -> Any:  # noqa: ANN401 - any field
    name = operation.name
    if operation.op == _REMOVE:
        raise Forbidden(f"Attribute '{name}' cannot be removed.")
    if operation.op == _INSERT:
        raise Conflict(f"Attribute '{name}' already exists.")
    if name in _WHILE_QUEUED and image.status is not ImageStatus.QUEUED:
        raise Forbidden(
            f"Attribute '{name}' can be changed only while the image is queued."
        )
    return operation.value


def _change_property(properties: dict[str, str], operation: Operation) -> None:
    op, name = operation.op, operation.name
    if op == _INSERT and name in properties:
        raise Conflict(f"Property '{name}' already exists.")
    if op in (_REMOVE, "replace") and name not in properties:
        raise Conflict(f"Property '{name}' does not exist and cannot be {op}d.")
    if op == _REMOVE:
        del properties[name]
    else:
        properties[name] = operation.value
