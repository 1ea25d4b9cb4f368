"""Request bodies: parsers and checks."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import fastjsonschema

from chalicelib import settings
from chalicelib.api.schemas import BASE, IMAGE_SCHEMA, Json
from chalicelib.domain.images import DATA_TYPE, STORE, Image, Visibility
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.projects import is_project_id
from chalicelib.domain.uploads import IMPORT_METHODS
from chalicelib.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    LimitExceeded,
    RangeNotSatisfiable,
    UnsupportedMediaType,
)

WEIGHT_MAX: Final = 384 * 1024
"""
Maximum size of tags and properties, in bytes; an item of DynamoDB ends at 400 KB.
"""

OBJECT_MAX: Final = 5 * 1024**4
"""Maximum size of an object of S3, in bytes; AWS's documentation has 5 TiB and more."""

URLS_MAX: Final = 100
"""Maximum number of parts' URLs in a response."""

READ_ONLY: Final = frozenset(
    {
        "id", "status", "size", "virtual_size", "checksum", "created_at", "updated_at",
        "os_hash_algo", "os_hash_value",
        "self", "file", "schema", "direct_url", "stores", "location", "locations",
        "deleted", "deleted_at",
    }
)  # fmt: skip
RESERVED_PREFIX: Final = "os_glance"
_UNTOLD: Final = frozenset({"os_hash_algo", "os_hash_value"})
_SET_ON_CREATE: Final = frozenset({"id", *_UNTOLD})
_INTEGERS: Final = frozenset({"min_disk", "min_ram"})

_PROJECT_ID: Final = (
    "a project id: a string of 1 to 255 characters, at most 1000 bytes, neither . nor"
    " .., without / and control characters"
)
_NAME_MAX: Final = 255
_INTEGER: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_MESSAGE_MAX: Final = 300
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_SHA512: Final = re.compile(r"[0-9a-f]{128}")

_check_image: Final[Callable[..., Any]] = fastjsonschema.compile(
    {
        "type": "object",
        "properties": {
            **IMAGE_SCHEMA["properties"],
            "min_disk": _INTEGER,
            "min_ram": _INTEGER,
        },
        "additionalProperties": {"type": "string"},
    }
)


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
    body = _parse_object(raw)
    check_image(body)
    for name in body.keys() - _SET_ON_CREATE:
        check_settable(name)
    fields: Json = {
        name: field_value(name, body[name])
        for name in BASE
        if name in body and name not in _UNTOLD
    }
    properties = {name: body[name] for name in body if name not in BASE}
    return NewImage(fields, properties)


def check_settable(name: str) -> None:
    """Check that an attribute or property is the client's to set.

    Raises:
        Forbidden: Only the service sets it.
    """
    if name in READ_ONLY or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name[:_NAME_MAX]}' is read-only.")


def field_value(name: str, value: Any) -> Any:  # noqa: ANN401 - any field of an image
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
        raise BadRequest(f"owner must be {_PROJECT_ID}.")


def check_no_body(raw: bytes) -> None:
    """Check that a request without a body has none.

    Raises:
        BadRequest: It got one.
    """
    if raw:
        raise BadRequest("This call takes no body.")


def check_image(document: Json) -> None:
    """Check an image's document, or as much of one as a patch changes.

    Raises:
        BadRequest: The first field that is not what it may be.
    """
    try:
        _check_image(document, name_prefix="image")
    except fastjsonschema.JsonSchemaValueException as exc:
        raise BadRequest(exc.message[:_MESSAGE_MAX]) from exc
    if any(len(name) > _NAME_MAX for name in document):
        raise BadRequest(
            f"The name of a property must be at most {_NAME_MAX} characters long."
        )


def check_limits(image: Image, before: Image | None = None) -> None:
    """
    Check that an image stays within the quotas, and its item within DynamoDB's 400 KB.

    What has not grown since *before* may stay above a quota that was lowered meanwhile.

    Raises:
        LimitExceeded: It does not.
    """
    quotas = settings.current
    limits = (quotas.tag_quota, quotas.property_quota, WEIGHT_MAX)
    counts = _weigh(image)
    held = _weigh(before) if before else dict.fromkeys(counts, 0)
    for (what, count), most in zip(counts.items(), limits, strict=True):
        if count > max(most, held[what]):
            raise LimitExceeded(
                f"An image may have {most} {what} at most, not {count}."
            )


def _weigh(image: Image) -> dict[str, int]:
    # As they are stored: properties as one ASCII JSON text, tags one by one.
    properties = json.dumps(dict(image.properties))
    weight = len(properties) + sum(len(tag.encode()) for tag in image.tags)
    return {
        "tags": len(image.tags),
        "properties": len(image.properties),
        "bytes of tags and properties": weight,
    }


def parse_new_member(raw: bytes) -> str:
    """Parse the body of an add-member call: the project to share with.

    Unknown keys are ignored, as clients send some.

    Raises:
        BadRequest: There is no `member`, or it cannot be a project's id.
    """
    member_id = _parse_object(raw).get("member")
    if not isinstance(member_id, str) or not is_project_id(member_id):
        raise BadRequest(f"member must be {_PROJECT_ID}.")
    return member_id


def parse_member_status(raw: bytes) -> MemberStatus:
    """Parse the body of an update-member call: the consumer's answer.

    Raises:
        BadRequest: There is no `status`, or it is not one of the three.
    """
    status = _parse_object(raw).get("status")
    if not isinstance(status, str) or status not in list(MemberStatus):
        raise BadRequest('status must be "pending", "accepted" or "rejected".')
    return MemberStatus(status)


def check_content(headers: Mapping[str, str], content: bytes) -> None:
    """Check that a body is the whole of an image's data, and small enough.

    `X-OpenStack-Image-Size` is a client's word for its size; a body arrives complete
    from API Gateway, whose own limit is 10 MB, and Lambda's is 6 MB of base64.

    Raises:
        UnsupportedMediaType: It is not said to be plain bytes.
        LimitExceeded: It is too large; the message names the ways for larger data.
        BadRequest: It has not the size that it is said to have.
    """
    if headers.get("content-type", "").strip().lower() != DATA_TYPE:
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
        told = headers.get(name)
        if told is not None and told.strip() != str(len(content)):
            raise BadRequest(
                f"{name} says {told[:_NAME_MAX]}, but {len(content)} bytes came."
            )


def check_formats(image: Image, failure: type[ApiError] = BadRequest) -> None:
    """Check that an image's formats are set.

    Raises:
        ApiError: It is not; of the kind that the reference answers to the call.
    """
    for name in ("disk_format", "container_format"):
        if getattr(image, name) is None:
            raise failure(f"{name} must be set before the image gets its data.")


def check_range(header: str | None, size: int) -> None:
    """Check that a `Range` asks for one range that lies, in part at least, in the data.

    S3 cuts it out, but answers in a form of its own where it cannot.

    Raises:
        RangeNotSatisfiable: It does not.
    """
    if header is None:
        return
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise RangeNotSatisfiable("Range must be one range of bytes: bytes=0-1023.")
    first, last = (int(text) if text else None for text in match.groups())
    if first is None:
        fits = bool(last) and size > 0
    else:
        fits = first < size and (last is None or first <= last)
    if not fits:
        raise RangeNotSatisfiable(f"The range is not in the data of {size} bytes.")


def parse_import(raw: bytes) -> tuple[str, str | None]:
    """Parse the body of an import call: the method, and the URL where it needs one.

    Raises:
        BadRequest: There is no method that is known, or a store that is not there.
    """
    asked = _parse_object(raw)
    method = asked.get("method")
    method = method if isinstance(method, dict) else {}
    name, uri = method.get("name"), method.get("uri")
    if name not in IMPORT_METHODS:
        raise BadRequest(f"method.name must be {' or '.join(IMPORT_METHODS)}.")
    stores = asked.get("stores", [STORE])
    if stores != [STORE]:
        raise BadRequest(f'stores, if given, must be ["{STORE}"].')
    return name, uri if isinstance(uri, str) else None


def parse_new_upload(raw: bytes) -> tuple[int, str | None]:
    """
    Parse the body of a call that begins a direct upload: the size, and perhaps SHA-512.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    asked = _parse_object(raw)
    size = asked.get("size")
    if type(size) is not int or not 1 <= size <= OBJECT_MAX:
        raise BadRequest(f"size must be a number of bytes, 1 to {OBJECT_MAX}.")
    return size, _sha512_of(asked)


def parse_part_numbers(raw: bytes, count: int) -> list[int]:
    """Parse the body of a call that asks for parts' URLs: their numbers, from 1 on.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    numbers = _parse_object(raw).get("part_numbers")
    if (
        not isinstance(numbers, list)
        or not 1 <= len(numbers) <= URLS_MAX
        or not all(type(one) is int and 1 <= one <= count for one in numbers)
        or len(set(numbers)) != len(numbers)
    ):
        raise BadRequest(
            f"part_numbers must be a list of 1 to {URLS_MAX} different numbers, each 1"
            f" to {count}."
        )
    return numbers


def parse_completion(raw: bytes) -> tuple[list[str] | None, str | None]:
    """Parse the body of a call to complete a direct upload: the parts' ETags, SHA-512.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    asked = _parse_object(raw) if raw.strip() else {}
    etags = asked.get("etags")
    if etags is not None and not (
        isinstance(etags, list) and all(isinstance(one, str) for one in etags)
    ):
        raise BadRequest("etags, if given, must be a list of the parts' ETags.")
    tags = None if etags is None else [one.strip('"') for one in etags]
    return tags, _sha512_of(asked)


def _sha512_of(asked: Json) -> str | None:
    sha512 = asked.get("sha512")
    if sha512 is None or (isinstance(sha512, str) and _SHA512.fullmatch(sha512)):
        return sha512
    raise BadRequest("sha512, if given, must be 128 hexadecimal digits, lower case.")


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON, more strictly than the standard library does.

    Raises:
        BadRequest: There is none; it is malformed or not UTF-8; it is nested too deep;
            a key stands twice; a number is not finite; a text is half a surrogate pair.
    """
    if not raw.strip():
        raise BadRequest("Body expected in request.")
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_constant=_not_finite
        )
        half = b"\\u" in raw and _SURROGATE.search(_text(value))
    except (ValueError, RecursionError) as exc:
        raise BadRequest("Malformed JSON in request body.") from exc
    if half:
        raise BadRequest("The body has a text with half a surrogate pair.")
    return value


def _parse_object(raw: bytes) -> Json:
    body = parse_json(raw)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"The key {twice[:_NAME_MAX]!r} stands twice in the body.")
    return document


def _not_finite(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a JSON number.")


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False)
