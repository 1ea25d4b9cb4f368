"""The console: a page on which both sides of a share see and act."""

import json
import os
from typing import Final
from urllib.parse import urlsplit

from chalice.app import Blueprint, Response

from chalicelib import settings
from chalicelib.api.app import NO_RESOURCE
from chalicelib.api.discovery import READ
from chalicelib.api.files import (
    CHANGEABLE,
    HTML_TYPE,
    SCRIPT_TYPE,
    STYLE_TYPE,
    file_response,
    read_file,
)
from chalicelib.api.requests import ANY_TYPE
from chalicelib.api.responses import JSON_TYPE
from chalicelib.errors import NotFound

CONSOLE: Final = "/console"
CONFIGURATION: Final = "config.json"
TYPES: Final = {
    "console.js": SCRIPT_TYPE,
    "sign-in.js": SCRIPT_TYPE,
    "console.css": STYLE_TYPE,
    "preact.js": SCRIPT_TYPE,
    CONFIGURATION: JSON_TYPE,
}
"""The files below `/console/`, with their media types."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{};"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""
The Content-Security-Policy: nothing of another origin is loaded or called, except the
issuer at which the page signs in, or may frame the page, and no markup can bring a
script or a style.
"""

EXAMPLE_TOKENS: Final = (
    "alice:producer:member",
    "bob:consumer:member",
    "erin:partner:member",
    "carol:operators:admin",
)
"""What the page offers to sign in with where the tokens are those of development."""

console = Blueprint(__name__)


@console.route(CONSOLE, methods=READ, content_types=ANY_TYPE)
def show_console() -> Response:
    """Share images, and answer what is offered, in a browser."""
    _check_served()
    return _response(read_file("console.html"), HTML_TYPE, CHANGEABLE)


@console.route(CONSOLE + "/{name}", methods=READ, content_types=ANY_TYPE)
def show_console_file(name: str) -> Response:
    """Get a script or the style of the console, or how to sign in to it."""
    _check_served()
    if name not in TYPES:
        raise NotFound(NO_RESOURCE)
    if name == CONFIGURATION:
        return _response(_configuration(), JSON_TYPE, CHANGEABLE)
    return _response(read_file(name), TYPES[name])


def _check_served() -> None:
    if settings.current.extension == "off":
        raise NotFound(NO_RESOURCE)


def _configuration() -> str:
    auth = settings.current.auth
    tokens = EXAMPLE_TOKENS if auth == "development" else ()
    sign_in = _sign_in()
    more = {"sign_in": sign_in} if sign_in else {}
    return json.dumps({"auth": auth, "tokens": tokens, **more})


def _sign_in() -> dict[str, str] | None:
    """Return what the page needs to sign in at the issuer, or None if it cannot."""
    client_id = os.environ.get("CONSOLE_CLIENT_ID")
    if settings.current.auth != "oidc" or not client_id:
        return None
    return {
        "issuer": os.environ["OIDC_ISSUER"],
        "audience": os.environ["OIDC_AUDIENCE"],
        "client_id": client_id,
        "scope": os.environ.get("CONSOLE_SCOPE") or "openid",
    }


def _policy() -> str:
    sign_in = _sign_in()
    if sign_in is None:
        return POLICY.format("")
    issuer = urlsplit(sign_in["issuer"])
    return POLICY.format(f" {issuer.scheme}://{issuer.netloc}")


def _response(text: str, media_type: str, *caching: str) -> Response:
    return file_response(console.current_request, text, media_type, _policy(), *caching)
