"""The schemas of the bodies of the sharing extension, and what a call takes at most."""

from typing import Final

from chalicelib.api.schemas import Json
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.offer_rules import Effect
from chalicelib.domain.profiles import CONTACT_MAX, DISPLAY_NAME_MAX
from chalicelib.domain.sharing import NOTE_MAX

PAIRS_MAX: Final = 500
"""Maximum number of pairs of image and project in a call."""


IMAGES_MAX: Final = 100
"""Maximum number of images in a call."""


ANSWERS_MAX: Final = 100
"""Maximum number of answers in a call."""


IMAGE_ID: Final = {"type": "string", "minLength": 36, "maxLength": 36}


_PROJECT_ID: Final = {"type": "string", "minLength": 1, "maxLength": 255}


_NOTE: Final = {"type": ["string", "null"], "maxLength": NOTE_MAX}


_STATUS: Final = {"enum": [str(status) for status in MemberStatus]}


_FLAG: Final = {"type": "boolean"}


_DISPLAY_NAME: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": DISPLAY_NAME_MAX,
}


_CONTACT: Final = {"type": ["string", "null"], "maxLength": CONTACT_MAX}


def _object(required: list[str], **properties: Json) -> Json:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _array(items: Json, most: int, least: int = 1) -> Json:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


SHARING_BODIES: Final[dict[str, Json]] = {
    "answer": _object(["status"], status=_STATUS),
    "answers": _object(
        ["answers"],
        answers=_array(
            {
                "type": "object",
                "required": ["image_id"],
                "properties": {
                    "image_id": IMAGE_ID,
                    "status": _STATUS,
                    "leave": {"enum": [True]},
                },
                "oneOf": [{"required": ["status"]}, {"required": ["leave"]}],
                "additionalProperties": False,
            },
            ANSWERS_MAX,
        ),
        dry_run=_FLAG,
    ),
    "share": _object([], note=_NOTE),
    "exact-members": _object(
        ["members"],
        members=_array(
            _object(["project_id"], project_id=_PROJECT_ID, note=_NOTE), PAIRS_MAX, 0
        ),
    ),
    "bulk": _object(
        ["action", "images", "projects"],
        action={"enum": ["share", "revoke"]},
        images=_array(IMAGE_ID, IMAGES_MAX),
        projects=_array(_PROJECT_ID, PAIRS_MAX),
        note=_NOTE,
        known_only=_FLAG,
        dry_run=_FLAG,
    ),
    "profile": _object(
        ["display_name"],
        display_name=_DISPLAY_NAME,
        contact=_CONTACT,
        published=_FLAG,
    ),
    "verified": _object(
        ["verified"], verified=_FLAG, display_name=_DISPLAY_NAME, contact=_CONTACT
    ),
    "offer-rule": _object(["effect"], effect={"enum": [str(one) for one in Effect]}),
}
"""The bodies of the sharing extension's requests, by the kind of request."""
