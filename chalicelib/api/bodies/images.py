"""The bodies of the calls on images, and the checks of an image they result in."""

import json
from typing import Any, Final, NamedTuple

from chalicelib import settings
from chalicelib.api.bodies.json_body import (
    QUOTED_MAX,
    parse_object,
    what_it_must,
)
from chalicelib.api.bodies.validators import find_fault
from chalicelib.api.schemas import BASE, PROJECT_ID, Json
from chalicelib.domain.images import Image, ImageStatus, Visibility, with_lower_case_ids
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    LimitExceeded,
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
ALLOWED_ON_CREATE: Final = frozenset({"id", *_IGNORED_ON_CREATE})
_INTEGERS: Final = frozenset({"min_disk", "min_ram"})

NAME_MAX: Final = 255
_NAME_SHOWN_MAX: Final = 300
"""Maximum length of the name of a field in a message, in characters."""


class NewImage(NamedTuple):
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
    for name in body.keys() - ALLOWED_ON_CREATE:
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
    if name == "id":
        return with_lower_case_ids(value)
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
    fault = find_fault("new-image", document, "image")
    if fault is not None:
        name = (fault.name or "image")[:_NAME_SHOWN_MAX]
        raise BadRequest(f"{name} {what_it_must(fault)}.") from fault
    if any(len(name) > NAME_MAX for name in document):
        raise BadRequest(
            f"The name of a property must have at most {NAME_MAX} characters."
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
                f"An image can have at most {most} {what}, not {count}."
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


def check_formats(image: Image, failure: type[ApiError] = BadRequest) -> None:
    """Check that an image's formats are set.

    Raises:
        ApiError: It is not; of the kind that the reference answers to the call.
    """
    for name in ("disk_format", "container_format"):
        if getattr(image, name) is None:
            raise failure(f"{name} must be set before data is uploaded or imported.")


def check_queued(image: Image) -> None:
    """Check that an image waits for data.

    Raises:
        Conflict: It has data, or another upload goes on.
    """
    if image.status is not ImageStatus.QUEUED:
        raise Conflict(
            f"The image is {image.status}; data is accepted only while it is queued."
        )
