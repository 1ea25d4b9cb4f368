"""
Request bodies checked and read; answers' bodies made.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

import fastjsonschema

from chalicelib import environment
from chalicelib.domain import (
    STORE,
    Image,
    ImageStatus,
    Member,
    MemberStatus,
    Visibility,
    is_project_id,
)
from chalicelib.errors import BadRequest, Forbidden, LimitExceeded
from chalicelib.schemas import IMAGE_SCHEMA, Json

WEIGHT_MAX: Final = 384 * 1024
"""
How many bytes tags and properties may weigh together; DynamoDB ends an item at 400 KB.
"""

BASE: Final = (
    "name", "disk_format", "container_format", "visibility", "size", "virtual_size",
    "status", "checksum", "protected", "min_ram", "min_disk", "owner", "os_hidden",
    "os_hash_algo", "os_hash_value", "id", "created_at", "updated_at", "tags",
)  # fmt: skip
"""
The attributes of every image, in the order in which the API shows them.
"""

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
    """
    What a body asks for: the fields of an image that are set, and its properties.
    """

    fields: Json
    properties: dict[str, str]


def parse_new_image(raw: bytes) -> NewImage:
    """
    Read the body of a create call.

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
    """
    Check that an attribute or property is the client's to set.

    Raises:
        Forbidden: Only the service sets it.
    """
    if name in READ_ONLY or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name[:_NAME_MAX]}' is read-only.")


def field_value(name: str, value: Any) -> Any:  # noqa: ANN401 - any field of an image
    """
    Turn a checked value of a body into what the field of an image holds.
    """
    if name == "visibility":
        return Visibility(value)
    if name == "tags":
        return tuple(dict.fromkeys(value))
    return int(value) if name in _INTEGERS else value


def check_owner(owner: str | None) -> None:
    """
    Check that an image's owner is one that can be.

    Raises:
        BadRequest: It is not.
    """
    if owner is None or not is_project_id(owner):
        raise BadRequest(f"owner must be {_PROJECT_ID}.")


def check_no_body(raw: bytes) -> None:
    """
    Check that a call that takes no body got none.

    Raises:
        BadRequest: It got one.
    """
    if raw:
        raise BadRequest("This call takes no body.")


def check_image(document: Json) -> None:
    """
    Check an image's document, or as much of one as a patch changes.

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
    settings = environment.settings
    limits = (settings.tag_quota, settings.property_quota, WEIGHT_MAX)
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
    """
    Read the body of an add-member call: the project to share with.

    Unknown keys are ignored, as clients send some.

    Raises:
        BadRequest: There is no `member`, or it cannot be a project's id.
    """
    member_id = _parse_object(raw).get("member")
    if not isinstance(member_id, str) or not is_project_id(member_id):
        raise BadRequest(f"member must be {_PROJECT_ID}.")
    return member_id


def parse_member_status(raw: bytes) -> MemberStatus:
    """
    Read the body of an update-member call: the consumer's answer.

    Raises:
        BadRequest: There is no `status`, or it is not one of the three.
    """
    status = _parse_object(raw).get("status")
    if not isinstance(status, str) or status not in list(MemberStatus):
        raise BadRequest('status must be "pending", "accepted" or "rejected".')
    return MemberStatus(status)


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    """
    Read JSON, more strictly than the standard library does.

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


def present_image(image: Image) -> Json:
    """
    Make an image's document: custom properties, then every base attribute.
    """
    document: Json = dict(image.properties)
    for name in BASE:
        document[name] = getattr(image, name)
    document["created_at"] = _time(image.created_at)
    document["updated_at"] = _time(image.updated_at)
    document["tags"] = list(image.tags)
    if image.status is ImageStatus.ACTIVE:
        document["stores"] = STORE
    document["self"] = f"/v2/images/{image.id}"
    document["file"] = f"/v2/images/{image.id}/file"
    document["schema"] = "/v2/schemas/image"
    return document


def present_member(member: Member) -> Json:
    """
    Make a membership's document.
    """
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": _time(member.created_at),
        "updated_at": _time(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def present_members(members: Iterable[Member]) -> Json:
    """
    Make the document of an image's members.
    """
    return {
        "members": [present_member(member) for member in members],
        "schema": "/v2/schemas/members",
    }


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
