"""Request bodies: parsers and checks."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import fastjsonschema

from chalicelib import settings
from chalicelib.api.bodies.json_body import (
    QUOTED_MAX,
    parse_body,
    parse_object,
    validator,
)
from chalicelib.api.schemas import BASE, PROJECT_ID, Json
from chalicelib.domain.images import DATA_TYPE, STORE, Image, Visibility
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    LimitExceeded,
    RangeNotSatisfiable,
    UnsupportedMediaType,
)

READ_ONLY: Final = frozenset(
    {
        "id", "status", "size", "virtual_size", "checksum", "created_at", "updated_at",
        "os_hash_algo", "os_hash_value",
        "self", "file", "schema", "direct_url", "stores", "location", "locations",
        "deleted", "deleted_at",
    }
)  # fmt: skip
RESERVED_PREFIX: Final = "os_glance"
_IGNORED_ON_CREATE: Final = frozenset({"os_hash_algo", "os_hash_value"})
_ALLOWED_ON_CREATE: Final = frozenset({"id", *_IGNORED_ON_CREATE})
_INTEGERS: Final = frozenset({"min_disk", "min_ram"})

_NAME_MAX: Final = 255
_MESSAGE_MAX: Final = 300

_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
_POSITION_DIGITS: Final = 20
"""Digits of a number that is beyond the end of any data."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a body asks for: the fields of an image that are set, and its properties."""

    fields: Json
    properties: dict[str, str]


def parse_new_image(raw: bytes) -> NewImage:
    """Parse the body of a create call.

    Raises:
        BadRequest: A field is not what it may be; the message says what it may.
        Forbidden: It sets what only the service sets.
    """
    body = parse_object(raw)
    check_image(body)
    for name in body.keys() - _ALLOWED_ON_CREATE:
        check_settable(name)
    fields: Json = {
        name: parse_field(name, body[name])
        for name in BASE
        if name in body and name not in _IGNORED_ON_CREATE
    }
    properties = {name: body[name] for name in body if name not in BASE}
    return NewImage(fields, properties)


def check_settable(name: str) -> None:
    """Check that an attribute or property is the client's to set.

    Raises:
        Forbidden: Only the service sets it.
    """
    if name in READ_ONLY or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name[:QUOTED_MAX]}' is read-only.")


def parse_field(name: str, value: Any) -> Any:  # noqa: ANN401 - any field of an image
    """Turn a checked value of a body into what the field of an image holds."""
    if name == "visibility":
        return Visibility(value)
    if name == "tags":
        return tuple(dict.fromkeys(value))
    return int(value) if name in _INTEGERS else value


def check_owner(owner: str | None) -> None:
    """Check that an image's owner is one that can be.

    Raises:
        BadRequest: It is not.
    """
    if owner is None or not is_project_id(owner):
        raise BadRequest(f"owner must be {PROJECT_ID}.")


def check_image(document: Json) -> None:
    """Check an image's document, or as much of one as a patch changes.

    Raises:
        BadRequest: The first field that is not what it may be.
    """
    try:
        validator("new-image")(document, name_prefix="image")
    except fastjsonschema.JsonSchemaValueException as exc:
        raise BadRequest(exc.message[:_MESSAGE_MAX]) from exc
    if any(len(name) > _NAME_MAX for name in document):
        raise BadRequest(
            f"The name of a property must be at most {_NAME_MAX} characters long."
        )


def check_limits(image: Image, before: Image | None = None) -> None:
    """
    Check that an image's tags and properties stay within the quotas.

    What has not grown since *before* may stay above a quota that was lowered meanwhile.
    The write has the condition that *before* still is the image.

    Raises:
        LimitExceeded: It does not.
    """
    quotas = settings.current
    limits = (quotas.tag_quota, quotas.property_quota, quotas.property_bytes_max)
    counts = _sizes_of(image)
    held = _sizes_of(before) if before else dict.fromkeys(counts, 0)
    for (what, count), most in zip(counts.items(), limits, strict=True):
        if count > max(most, held[what]):
            raise LimitExceeded(
                f"An image may have {most} {what} at most, not {count}."
            )


def _sizes_of(image: Image) -> dict[str, int]:
    # As they are stored: properties as one ASCII JSON text, tags one by one.
    properties = json.dumps(dict(image.properties)) if image.properties else ""
    weight = len(properties) + sum(len(tag.encode()) for tag in image.tags)
    return {
        "tags": len(image.tags),
        "properties": len(image.properties),
        "bytes of tags and properties": weight,
    }


def check_content(media_type: str, headers: Mapping[str, str], content: bytes) -> None:
    """Check that a body is the whole of an image's data, and small enough.

    `X-OpenStack-Image-Size` is a client's word for its size; a body arrives complete
    from API Gateway, whose own limit is 10 MB, and Lambda's is 6 MB of base64.

    Raises:
        UnsupportedMediaType: It is not said to be plain bytes.
        LimitExceeded: It is too large; the message names the ways for larger data.
        BadRequest: It has not the size that it is said to have.
    """
    if media_type != DATA_TYPE:
        raise UnsupportedMediaType(f"Data is sent as {DATA_TYPE}.")
    most = settings.current.upload_bytes_max
    if len(content) > most:
        raise LimitExceeded(
            f"A request takes {most} bytes of data at most. For more, import from a URL"
            " (POST /v2/images/{image_id}/import with the method web-download), or send"
            " parts to S3, as tools/upload does (POST"
            " /ext/v1/images/{image_id}/uploads)."
        )
    for name in ("content-length", "x-openstack-image-size"):
        announced = headers.get(name)
        if announced is not None and announced.strip() != str(len(content)):
            raise BadRequest(
                f"{name} says {announced[:QUOTED_MAX]}, but {len(content)} bytes came."
            )


def check_formats(image: Image, failure: type[ApiError] = BadRequest) -> None:
    """Check that an image's formats are set.

    Raises:
        ApiError: It is not; of the kind that the reference answers to the call.
    """
    for name in ("disk_format", "container_format"):
        if getattr(image, name) is None:
            raise failure(f"{name} must be set before the image gets its data.")


def check_range(headers: Mapping[str, str], size: int) -> None:
    """Check that a `Range` asks for one range that lies, in part at least, in the data.

    S3 cuts it out, but answers in a form of its own where it cannot. `Content-Range`,
    which the reference takes for a `Range`, it would ignore.

    Raises:
        RangeNotSatisfiable: It does not, or the range is in `Content-Range`.
    """
    header = headers.get("range")
    if header is None:
        if "content-range" in headers:
            raise RangeNotSatisfiable("Use Range instead of Content-Range.")
        return
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise RangeNotSatisfiable("Range must be one range of bytes: bytes=0-1023.")
    first, last = map(_position, match.groups())
    if first is None:
        fits = bool(last) and size > 0
    else:
        fits = first < size and (last is None or first <= last)
    if not fits:
        raise RangeNotSatisfiable(f"The range is not in the data of {size} bytes.")


def _position(digits: str) -> int | None:
    """Return a position in a range, cut where it is beyond the end of any data."""
    return int(digits.lstrip("0")[:_POSITION_DIGITS] or "0") if digits else None


def check_store(headers: Mapping[str, str]) -> None:
    """Check that a request's data goes to the store that is there.

    Raises:
        BadRequest: `X-Image-Meta-Store` names another one.
    """
    if headers.get("x-image-meta-store", STORE) != STORE:
        raise BadRequest(f'X-Image-Meta-Store, if given, must be "{STORE}".')


def parse_import(raw: bytes) -> tuple[str, str | None]:
    """Parse the body of an import call: the method, and the URL where it needs one.

    Raises:
        BadRequest: There is no method that is known, or a store that is not there.
    """
    method = parse_body("import", raw)["method"]
    uri = method.get("uri")
    return method["name"], uri if isinstance(uri, str) else None
