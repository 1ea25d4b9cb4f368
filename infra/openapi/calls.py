"""What each call takes and answers, by method and path.

A row of docs/api.md has the same statuses: `tests/test_docs.py` compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chalicelib.api.console import CONSOLE
from chalicelib.api.data import IMAGE
from chalicelib.api.extension import EXTENSION
from chalicelib.api.images import ACTIONS, TAG
from chalicelib.api.incoming import INCOMING, OFFER
from chalicelib.api.members import MEMBER, MEMBERS
from chalicelib.api.outgoing import IMAGE_SHARES, OUTGOING, RECIPIENT, SHARE
from chalicelib.api.patch import NEW_TYPE, OLD_TYPE
from chalicelib.api.profiles import PROFILE, RULE, RULES, VERIFIED
from chalicelib.api.responses import JSON_TYPE
from chalicelib.api.uploads import UPLOAD, UPLOADS
from chalicelib.domain.images import DATA_TYPE
from infra.openapi.documents import DATA

TEXT: Final = "text"
PAGE: Final = "page"
FILE_OF_PAGE: Final = "file"
"""The names of documents that are not JSON, or not all of them."""

_CHANGE: Final = (400, 403, 404, 409)


@dataclass(frozen=True)
class Call:
    """The statuses of a call, and the names of its documents.

    `answers` has the document of each success, `refusals` the statuses of failures
    besides those that any call has. `bodies` has a document for each media type;
    without `needs_body` there may be none.
    """

    answers: Mapping[int, str | None]
    refusals: tuple[int, ...] = ()
    bodies: Mapping[str, str] = field(default_factory=dict)
    needs_body: bool = True


def _json(name: str) -> dict[str, str]:
    return {JSON_TYPE: name}


CALLS: Final[dict[tuple[str, str], Call]] = {
    ("GET", "/"): Call({300: "versions"}),
    ("GET", "/versions"): Call({200: "versions"}),
    ("GET", "/v2"): Call({200: "versions"}),
    ("GET", "/healthcheck"): Call({200: TEXT}),
    ("GET", "/docs"): Call({200: PAGE, 304: None}),
    ("GET", "/docs/{name}"): Call({200: FILE_OF_PAGE, 304: None}, (404,)),
    ("GET", CONSOLE): Call({200: PAGE, 304: None}, (404,)),
    ("GET", CONSOLE + "/{name}"): Call({200: FILE_OF_PAGE, 304: None}, (404,)),
    ("GET", "/v2/schemas/{name}"): Call({200: "schema"}, (404,)),
    ("GET", "/v2/info/import"): Call({200: "import-info"}),
    ("GET", "/v2/info/stores"): Call({200: "stores-info"}),
    ("GET", "/v2/info/usage"): Call({200: "usage-info"}),
    ("POST", "/v2/images"): Call(
        {201: "image"}, (400, 403, 409, 413), _json("new-image")
    ),
    ("GET", "/v2/images"): Call({200: "images"}, (400,)),
    ("GET", IMAGE): Call({200: "image"}, (404,)),
    ("PATCH", IMAGE): Call(
        {200: "image"},
        (*_CHANGE, 413, 415),
        {NEW_TYPE: "patch", OLD_TYPE: "old-patch"},
    ),
    ("DELETE", IMAGE): Call({204: None}, _CHANGE),
    ("PUT", TAG): Call({204: None}, (*_CHANGE, 413)),
    ("DELETE", TAG): Call({204: None}, _CHANGE),
    ("POST", f"{ACTIONS}/deactivate"): Call({204: None}, _CHANGE),
    ("POST", f"{ACTIONS}/reactivate"): Call({204: None}, _CHANGE),
    ("PUT", f"{IMAGE}/file"): Call(
        {204: None}, (*_CHANGE, 413, 415), {DATA_TYPE: DATA}
    ),
    ("GET", f"{IMAGE}/file"): Call(
        {200: DATA, 204: None, 206: DATA, 307: None}, (403, 404, 416)
    ),
    ("PUT", f"{IMAGE}/stage"): Call(
        {204: None}, (*_CHANGE, 413, 415), {DATA_TYPE: DATA}
    ),
    ("POST", f"{IMAGE}/import"): Call({202: None}, (*_CHANGE, 413), _json("import")),
    ("GET", f"{IMAGE}/tasks"): Call({200: "tasks"}, (403, 404)),
    ("POST", UPLOADS): Call(
        {201: "begun-upload"}, (*_CHANGE, 413), _json("new-upload")
    ),
    ("GET", UPLOADS): Call({200: "uploads"}, (403, 404)),
    ("GET", UPLOAD): Call({200: "upload"}, (403, 404, 409)),
    ("POST", f"{UPLOAD}/urls"): Call(
        {200: "part-urls"}, _CHANGE, _json("part-numbers")
    ),
    ("POST", f"{UPLOAD}/complete"): Call({202: "upload"}, _CHANGE, _json("completion")),
    ("DELETE", UPLOAD): Call({204: None}, _CHANGE),
    ("POST", MEMBERS): Call({200: "member"}, (*_CHANGE, 413), _json("new-member")),
    ("GET", MEMBERS): Call({200: "members"}, (403, 404, 409)),
    ("GET", MEMBER): Call({200: "member"}, (404,)),
    ("PUT", MEMBER): Call({200: "member"}, _CHANGE, _json("member-update")),
    ("DELETE", MEMBER): Call({204: None}, _CHANGE),
    ("GET", EXTENSION): Call({200: "extension-limits"}),
    ("GET", INCOMING): Call({200: "offers"}, (400, 403)),
    ("POST", INCOMING): Call({200: "answer-results"}, (400, 403), _json("answers")),
    ("GET", OFFER): Call({200: "offer"}, (400, 403, 404)),
    ("PUT", OFFER): Call({200: "answered-offer"}, _CHANGE, _json("answer")),
    ("DELETE", OFFER): Call({204: None}, _CHANGE),
    ("GET", OUTGOING): Call({200: "shares"}, (400, 403, 404)),
    ("POST", OUTGOING): Call({200: "share-results"}, (400, 403), _json("bulk")),
    ("GET", IMAGE_SHARES): Call({200: "image-shares"}, (400, 403, 404)),
    ("PUT", IMAGE_SHARES): Call(
        {200: "share-results"}, _CHANGE, _json("exact-members")
    ),
    ("PUT", SHARE): Call(
        dict.fromkeys((200, 201), "share-result"),
        (*_CHANGE, 413),
        _json("share"),
        needs_body=False,
    ),
    ("DELETE", SHARE): Call({204: None}, _CHANGE),
    ("GET", RECIPIENT): Call({200: "recipient"}, (400, 403, 404)),
    ("GET", PROFILE): Call({200: "own-profile"}, (400, 403, 404)),
    ("PUT", PROFILE): Call({200: "own-profile"}, (400, 403, 409), _json("profile")),
    ("DELETE", PROFILE): Call({204: None}, (400, 403)),
    ("PUT", VERIFIED): Call({200: "own-profile"}, _CHANGE, _json("verified")),
    ("GET", RULES): Call({200: "producer-rules"}, (400, 403)),
    ("GET", RULE): Call({200: "producer-rule"}, (400, 403, 404)),
    ("PUT", RULE): Call(
        {200: "producer-rule"}, (400, 403, 404, 413), _json("offer-rule")
    ),
    ("DELETE", RULE): Call({204: None}, (400, 403, 404)),
}
