"""The sharing extension in the OpenAPI document: its documents and parameters."""

from typing import Any, Final

from chalicelib.api.extension import LIMIT_MAX
from chalicelib.api.schemas import Json
from chalicelib.api.sharing_schemas import SHARING_BODIES
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.offer_rules import Effect
from chalicelib.domain.sharing import Result

_TEXT: Final[Json] = {"type": "string"}
_NULLABLE: Final[Json] = {"type": ["string", "null"]}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_FLAG: Final[Json] = {"type": "boolean"}
_STATUS: Final[Json] = {"$ref": "#/components/schemas/member-status"}
_NEXT: Final[Json] = {**_NULLABLE, "description": "The path of the next page, or null"}
_TIMES: Final[Json] = dict.fromkeys(("offered_at", "updated_at"), _TEXT)


def _object(properties: Json, *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _words(*words: str) -> Json:
    return {"type": "string", "enum": [str(word) for word in words]}


_PROFILE: Final[Json] = {
    "display_name": _TEXT,
    "contact": _NULLABLE,
    "verified": {**_FLAG, "description": "Whether an administrator verified it"},
}
_MEMBERSHIP: Final[Json] = {
    "image_id": _TEXT,
    "status": _STATUS,
    **_TIMES,
    "usable": {**_FLAG, "description": "Whether the image is shared at the moment"},
}
_IMAGE: Final[Json] = {"anyOf": [_ref("image-summary"), {"type": "null"}]}
_OFFER: Final[Json] = {**_MEMBERSHIP, "note": _NULLABLE, "image": _IMAGE}
_MEMBER: Final[Json] = {
    "project_id": _TEXT,
    "status": _STATUS,
    **_TIMES,
    "usable": _FLAG,
    "note": _NULLABLE,
}
_RESULT: Final[Json] = {
    "image_id": _TEXT,
    "project_id": _TEXT,
    "result": _words(*Result),
    "reason": {**_TEXT, "description": "Why it was refused"},
    "known": {**_FLAG, "description": "Whether your project knows that project"},
}
_PAIR: Final[Json] = {
    "anyOf": [
        _object({"image_id": _TEXT, "project_id": _TEXT}, "project_id"),
        {"type": "null"},
    ],
    "description": "The first pair that the call had no time for, or null",
}
_CHANGED: Final[Json] = {"result": _words(Result.CHANGED, Result.UNCHANGED)}

SHARING_DOCUMENTS: Final[dict[str, Json]] = {
    **SHARING_BODIES,
    "extension-limits": _object({"project_id": _TEXT, "limits": {"type": "object"}}),
    "image-summary": _object(
        {
            "name": _NULLABLE,
            "size": {"type": ["integer", "null"]},
            "min_disk": _COUNT,
            "min_ram": _COUNT,
            "disk_format": _NULLABLE,
            "status": _TEXT,
        }
    ),
    "producer": _object(
        {"project_id": _TEXT, **_PROFILE}, "display_name", "contact", "verified"
    ),
    "offer": _object({**_OFFER, "producer": _ref("producer"), "muted": _FLAG}, "muted"),
    "offers": _object(
        {
            "memberships": _list("offer"),
            "counts": _object(
                {"pending": _COUNT, "muted": _COUNT, "approximate": _FLAG}
            ),
            "next": _NEXT,
            "truncated": {
                **_FLAG,
                "description": "There are offers of older images than all sorted",
            },
        },
        "truncated",
    ),
    "answered-offer": _object({**_CHANGED, **_MEMBERSHIP}),
    "answer-results": _object(
        {
            "results": {
                "type": "array",
                "items": _object(
                    {name: _RESULT[name] for name in ("image_id", "result", "reason")},
                    "reason",
                ),
            },
            "next": _PAIR,
        }
    ),
    "shares": _object(
        {
            "memberships": {
                "type": "array",
                "items": _object({**_OFFER, "project_id": _TEXT}),
            },
            "next": _NEXT,
        }
    ),
    "image-shares": _object(
        {
            "image_id": _TEXT,
            "visibility": _ref("visibility"),
            "image": _ref("image-summary"),
            "members": {"type": "array", "items": _object(_MEMBER)},
        }
    ),
    "share-result": _object(_RESULT, "reason"),
    "share-results": _object({"results": _list("share-result"), "next": _PAIR}),
    "recipient": _object(
        {
            "project_id": _TEXT,
            "known": _FLAG,
            "profile": {"anyOf": [_object(_PROFILE), {"type": "null"}]},
        }
    ),
    "own-profile": _object(
        {
            **_CHANGED,
            "project_id": _TEXT,
            **_PROFILE,
            "published": _FLAG,
            "updated_at": _TEXT,
        },
        "result",
    ),
    "producer-rule": _object(
        {**_CHANGED, "producer_id": _TEXT, "effect": _words(*Effect)}, "result"
    ),
    "producer-rules": _object({"rules": _list("producer-rule"), "next": _NEXT}),
}
"""The schemas of the extension's documents, by name."""


def _parameter(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_OF_PROJECT: Final = _parameter(
    "project_id", _TEXT, "For administrators: see what this project sees"
)
_PAGING: Final[list[Json]] = [
    _parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
        "The number of entries on a page, at most",
    ),
    _parameter("marker", _TEXT, "Where the page begins: of an earlier page's next"),
    _OF_PROJECT,
]
_BY_STATUS: Final = _parameter(
    "status", _words(*MemberStatus, "all"), "The status that the consumer set"
)

_READS: Final = (
    "show_offer",
    "show_shares",
    "show_recipient",
    "show_profile",
    "list_rules",
    "show_rule",
)
SHARING_QUERIES: Final[dict[str, list[Any]]] = {
    "list_offers": [
        _BY_STATUS,
        _parameter("producer_id", _TEXT, "The project whose offers to list"),
        _parameter("muted", _FLAG, "Whether to list what a rule mutes, and only that"),
        *_PAGING,
    ],
    "list_shares": [
        _BY_STATUS,
        _parameter("member_id", _TEXT, "The project that is a member"),
        _parameter("image_id", _TEXT, "The image that is shared"),
        *_PAGING,
    ],
    **{name: [_OF_PROJECT] for name in _READS},
}
"""The query parameters of the extension's calls, by operation."""
