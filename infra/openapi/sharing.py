"""The sharing extension in the OpenAPI document: its documents and parameters."""

from typing import Any, Final

from chalicelib.api.extension import LIMIT_MAX
from chalicelib.api.schemas import Json
from chalicelib.api.sharing_schemas import SHARING_BODIES
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.offer_rules import Effect
from chalicelib.domain.sharing import Result
from infra.openapi.schemas import (
    COUNT,
    FLAG,
    NULLABLE,
    STRING,
    list_of,
    object_of,
    one_of,
    query_parameter,
    ref,
)

_STATUS: Final = ref("member-status")
_NEXT: Final[Json] = {**NULLABLE, "description": "The path of the next page, or null"}
_TIMES: Final[Json] = dict.fromkeys(("offered_at", "updated_at"), STRING)


_PROFILE: Final[Json] = {
    "display_name": STRING,
    "contact": NULLABLE,
    "verified": {**FLAG, "description": "Whether an administrator verified it"},
}
_MEMBERSHIP: Final[Json] = {
    "image_id": STRING,
    "status": _STATUS,
    **_TIMES,
    "usable": {**FLAG, "description": "Whether the image is shared at the moment"},
}
_IMAGE: Final[Json] = {"anyOf": [ref("image-summary"), {"type": "null"}]}
_OFFER: Final[Json] = {**_MEMBERSHIP, "note": NULLABLE, "image": _IMAGE}
_MEMBER: Final[Json] = {
    "project_id": STRING,
    "status": _STATUS,
    **_TIMES,
    "usable": FLAG,
    "note": NULLABLE,
}
_RESULT: Final[Json] = {
    "image_id": STRING,
    "project_id": STRING,
    "result": one_of(*Result),
    "reason": {**STRING, "description": "Why it was refused"},
    "known": {**FLAG, "description": "Whether your project knows that project"},
}
_PAIR: Final[Json] = {
    "anyOf": [
        object_of({"image_id": STRING, "project_id": STRING}, "project_id"),
        {"type": "null"},
    ],
    "description": "The first pair that the call had no time for, or null",
}
_CHANGED: Final[Json] = {"result": one_of(Result.CHANGED, Result.UNCHANGED)}

SHARING_DOCUMENTS: Final[dict[str, Json]] = {
    **SHARING_BODIES,
    "extension-limits": object_of({"project_id": STRING, "limits": {"type": "object"}}),
    "image-summary": object_of(
        {
            "name": NULLABLE,
            "size": {"type": ["integer", "null"]},
            "min_disk": COUNT,
            "min_ram": COUNT,
            "disk_format": NULLABLE,
            "status": STRING,
        }
    ),
    "producer": object_of(
        {"project_id": STRING, **_PROFILE}, "display_name", "contact", "verified"
    ),
    "offer": object_of({**_OFFER, "producer": ref("producer"), "muted": FLAG}, "muted"),
    "offers": object_of(
        {
            "memberships": list_of("offer"),
            "counts": object_of(
                {"pending": COUNT, "muted": COUNT, "approximate": FLAG}
            ),
            "next": _NEXT,
            "truncated": {
                **FLAG,
                "description": "There are offers of older images than all sorted",
            },
        },
        "truncated",
    ),
    "answered-offer": object_of({**_CHANGED, **_MEMBERSHIP}),
    "answer-results": object_of(
        {
            "results": {
                "type": "array",
                "items": object_of(
                    {name: _RESULT[name] for name in ("image_id", "result", "reason")},
                    "reason",
                ),
            },
            "next": _PAIR,
        }
    ),
    "shares": object_of(
        {
            "memberships": {
                "type": "array",
                "items": object_of({**_OFFER, "project_id": STRING}),
            },
            "next": _NEXT,
        }
    ),
    "image-shares": object_of(
        {
            "image_id": STRING,
            "visibility": ref("visibility"),
            "image": ref("image-summary"),
            "members": {"type": "array", "items": object_of(_MEMBER)},
        }
    ),
    "share-result": object_of(_RESULT, "reason"),
    "share-results": object_of({"results": list_of("share-result"), "next": _PAIR}),
    "recipient": object_of(
        {
            "project_id": STRING,
            "known": FLAG,
            "profile": {"anyOf": [object_of(_PROFILE), {"type": "null"}]},
        }
    ),
    "own-profile": object_of(
        {
            **_CHANGED,
            "project_id": STRING,
            **_PROFILE,
            "published": FLAG,
            "updated_at": STRING,
        },
        "result",
    ),
    "producer-rule": object_of(
        {**_CHANGED, "producer_id": STRING, "effect": one_of(*Effect)}, "result"
    ),
    "producer-rules": object_of({"rules": list_of("producer-rule"), "next": _NEXT}),
}
"""The schemas of the extension's documents, by name."""


_OF_PROJECT: Final = query_parameter(
    "project_id", STRING, "For administrators: see what this project sees"
)
_PAGING: Final[list[Json]] = [
    query_parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
        "The number of entries on a page, at most",
    ),
    query_parameter(
        "marker", STRING, "Where the page begins: of an earlier page's next"
    ),
    _OF_PROJECT,
]
_BY_STATUS: Final = query_parameter(
    "status", one_of(*MemberStatus, "all"), "The status that the consumer set"
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
        query_parameter("producer_id", STRING, "The project whose offers to list"),
        query_parameter(
            "muted", FLAG, "Whether to list what a rule mutes, and only that"
        ),
        *_PAGING,
    ],
    "list_shares": [
        _BY_STATUS,
        query_parameter("member_id", STRING, "The project that is a member"),
        query_parameter("image_id", STRING, "The image that is shared"),
        *_PAGING,
    ],
    **{name: [_OF_PROJECT] for name in _READS},
}
"""The query parameters of the extension's calls, by operation."""
