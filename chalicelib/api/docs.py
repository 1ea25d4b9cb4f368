"""The API's own documentation: a page to read and try it, and its OpenAPI document."""

import json
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib.api.app import NO_RESOURCE
from chalicelib.api.discovery import READ
from chalicelib.api.files import HTML_TYPE, SCRIPT_TYPE, file_response, read_file
from chalicelib.api.requests import ANY_TYPE, base_url
from chalicelib.api.responses import JSON_TYPE
from chalicelib.errors import NotFound

PAGE: Final = "docs.html"
DOCUMENT: Final = "openapi.json"
TYPES: Final = {
    DOCUMENT: JSON_TYPE,
    "rapidoc-min.js": SCRIPT_TYPE,
}
"""The files below `/docs/`, with their media types."""

SERVERS: Final = '"url": "/"'
"""Where the document names the service; it gets the URL that the client used."""

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
    return file_response(docs.current_request, read_file(PAGE), HTML_TYPE, POLICY)


@docs.route("/docs/{name}", methods=READ, content_types=ANY_TYPE)
def show_docs_file(name: str) -> Response:
    """Get the OpenAPI document, or the script of the page."""
    if name not in TYPES:
        raise NotFound(NO_RESOURCE)
    text = read_file(name)
    if name == DOCUMENT:
        url = json.dumps(base_url(docs.current_request))
        text = text.replace(SERVERS, f'"url": {url}', 1)
    return file_response(docs.current_request, text, TYPES[name], POLICY)
