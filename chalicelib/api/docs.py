"""The API's own documentation: a page to read and try it, and its OpenAPI document.

Files beside this module, read when they are first asked for: a cold start reads none.
"""

import json
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib.api.app import NO_RESOURCE
from chalicelib.api.discovery import READ
from chalicelib.api.requests import ANY_TYPE, base_url
from chalicelib.api.responses import JSON_TYPE
from chalicelib.errors import NotFound

FILES: Final = Path(__file__).parent / "static"
PAGE: Final = "docs.html"
DOCUMENT: Final = "openapi.json"
TYPES: Final = {
    DOCUMENT: JSON_TYPE,
    "rapidoc-min.js": "text/javascript; charset=UTF-8",
}
"""The files below `/docs/`, with their media types."""

SERVERS: Final = '"url": "/"'
"""Where the document names the service; it gets the URL that the client used."""

MAX_AGE_SECONDS: Final = 3600
"""How long a cache may use a file without asking whether it changed, in seconds."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""
The Content-Security-Policy: nothing of another origin is loaded or called, or may frame
the page. RapiDoc sets style attributes, so that styles may be inline.
"""

docs = Blueprint(__name__)


@docs.route("/docs", methods=READ, content_types=ANY_TYPE)
def show_docs() -> Response:
    """Read about the API, and try its calls, in a browser."""
    return _file_response(_read(PAGE), "text/html; charset=UTF-8")


@docs.route("/docs/{name}", methods=READ, content_types=ANY_TYPE)
def show_docs_file(name: str) -> Response:
    """Get the OpenAPI document, or the script of the page."""
    if name not in TYPES:
        raise NotFound(NO_RESOURCE)
    text = _read(name)
    if name == DOCUMENT:
        url = json.dumps(base_url(docs.current_request))
        text = text.replace(SERVERS, f'"url": {url}', 1)
    return _file_response(text, TYPES[name])


@cache
def _read(name: str) -> str:
    return (FILES / name).read_text("utf-8")


def _file_response(text: str, media_type: str) -> Response:
    etag = f'"{sha256(text.encode()).hexdigest()[:32]}"'
    headers: dict[str, str | list[str]] = {
        "Cache-Control": f"max-age={MAX_AGE_SECONDS}",
        "ETag": etag,
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    known = docs.current_request.headers.get("if-none-match", "")
    if etag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response("", headers=headers, status_code=HTTPStatus.NOT_MODIFIED)
    return Response(text, headers={"Content-Type": media_type, **headers})
