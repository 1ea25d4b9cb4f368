"""The bodies of the sharing extension: exact, with a pointer to what is wrong."""

from typing import TYPE_CHECKING, Any, Final

from chalicelib.api.bodies.json_body import parse_json, what_it_must
from chalicelib.api.bodies.validators import find_fault
from chalicelib.api.schemas import Json
from chalicelib.api.sharing_schemas import IMAGE_ID
from chalicelib.domain.images import is_image_id
from chalicelib.domain.projects import is_project_id
from chalicelib.domain.sharing import is_plain_text
from chalicelib.errors import BadRequest

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

SHOWN_MAX: Final = 80
"""Maximum length of what a message shows of a request, in characters."""


def parse_exactly(kind: str, raw: bytes, *, optional: bool = False) -> Json:
    """Parse a body, which must be of its kind to the last key.

    What shares something must not be misspelt.

    Raises:
        BadRequest: It is not; the message has a JSON pointer to what is wrong.
    """
    document: Any = {} if optional and not raw.strip() else parse_json(raw)
    fault = find_fault(kind, document)
    if fault is not None:
        raise BadRequest(_complaint(fault)) from fault
    parsed: Json = document
    return parsed


def _complaint(exc: "JsonSchemaValueException") -> str:
    """Return what is wrong, and a JSON pointer to it (RFC 6901)."""
    names = [str(name) for name in exc.path[1:]]
    what = what_it_must(exc)
    definition: Json = exc.definition or {}
    if exc.rule == "additionalProperties" and isinstance(exc.value, dict):
        names.append(next(iter(exc.value.keys() - definition["properties"].keys())))
        what = "is not a key of this body"
    elif exc.rule == "oneOf":
        what = "must have either status or leave"
    elif definition == IMAGE_ID:
        what = "must be an image's id"
    pointer = "".join(f"/{_escaped(name)}" for name in names)
    return f"{pointer or 'The body'} {what}."


def _escaped(name: str) -> str:
    return name[:SHOWN_MAX].replace("~", "~0").replace("/", "~1")


def check_text(pointer: str, text: str | None) -> None:
    """Check that a text has no character that hides or reorders what it says.

    Raises:
        BadRequest: It has one.
    """
    if text is not None and not is_plain_text(text):
        raise BadRequest(
            f"{pointer} must have no control characters and no characters that change"
            " the direction of text."
        )


def check_ids(pointer: str, ids: list[str], *, of_images: bool = False) -> None:
    """Check that each is an id, and none stands twice.

    Raises:
        BadRequest: One is not, or stands twice.
    """
    for number, one in enumerate(ids):
        if not (is_image_id(one) if of_images else is_project_id(one)):
            kind = "an image's id" if of_images else "a project's id"
            raise BadRequest(f"{pointer}/{number} must be {kind}.")
        if one in ids[:number]:
            raise BadRequest(f"{pointer}/{number} is repeated: {one[:SHOWN_MAX]}.")
