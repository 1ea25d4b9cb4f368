"""The current request: its caller, its path, its body."""

import re
from functools import cache
from typing import Final

from chalice.app import Blueprint, Request

from chalicelib import settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.list_queries import Params
from chalicelib.errors import BadRequest
from chalicelib.identity.http_client import is_url
from chalicelib.settings import SettingError

ANY_TYPE: Final = ["*/*"]
"""
For every route: clients send odd media types (glanceclient on GET), ours to judge.
"""

EXTENSION_PREFIX: Final = "/ext/"
"""The prefix of the paths that are no part of the Images API."""

PROXY_ROUTE: Final = "/{proxy+}"
"""The route of every path that has no route of its own."""

RAW_PATH_PARAMETERS: Final = "pathParametersAsSent"
"""The key of an event under which its path parameters stand as sent, not decoded."""

_NOT_UTF8: Final = "\N{REPLACEMENT CHARACTER}"


def caller_of(blueprint: Blueprint) -> Caller:
    """Return the caller of the current request."""
    caller: Caller = blueprint.current_request.context["caller"]
    return caller


def body(blueprint: Blueprint) -> bytes:
    """Return the body of the current request, as sent."""
    raw = blueprint.current_request.raw_body
    return raw.encode() if isinstance(raw, str) else raw


def media_type(blueprint: Blueprint) -> str:
    """Return the media type of the current request's body, without its parameters."""
    text: str = blueprint.current_request.headers.get("content-type", "")
    return text.partition(";")[0].strip().lower()


def query_params(blueprint: Blueprint) -> Params:
    """Return the query string of the current request as pairs of key and value.

    Raises:
        BadRequest: It is not UTF-8: API Gateway hands on what it could not decode as
            U+FFFD.
    """
    query = blueprint.current_request.query_params
    if query is None:
        return []
    pairs = [(key, value) for key in query for value in query.getlist(key)]
    if any(_NOT_UTF8 in text for pair in pairs for text in pair):
        raise BadRequest("The query must be percent-encoded UTF-8.")
    return pairs


def path_of(request: Request) -> str:
    """Return the path that the API sees: without a stage's or a domain's prefix."""
    path = _app_path(request)
    slash = "/" if request.context["path"].endswith("/") else ""
    return path if path == "/" else path + slash


def base_url(request: Request) -> str:
    """Return the URL of the API's root, without a final slash.

    It is `PUBLIC_ENDPOINT`, or else as the client reached it.
    """
    endpoint = parse_endpoint(settings.current.public_endpoint)
    if endpoint:
        return endpoint
    scheme = request.headers.get("x-forwarded-proto", "http").partition(",")[0]
    host = request.headers.get("host", "localhost")
    prefix = (
        request.context["path"].rstrip("/").removesuffix(_app_path(request).rstrip("/"))
    )
    return f"{scheme}://{host}{prefix}"


@cache
def parse_endpoint(text: str) -> str:
    """Parse the setting `PUBLIC_ENDPOINT`: the API's URL with its path, or nothing.

    Raises:
        SettingError: It is something else.
    """
    endpoint = text.rstrip("/")
    if endpoint and (not is_url(endpoint) or endpoint.endswith("/v2")):
        raise SettingError(
            "The setting PUBLIC_ENDPOINT must be the URL of the API without /v2, like"
            f" https://images.example.org/image, not {text!r}."
        )
    return endpoint


def _app_path(request: Request) -> str:
    event = request.to_original_event()
    template: str = event["requestContext"]["resourcePath"]
    sent: dict[str, str] = event[RAW_PATH_PARAMETERS]
    if template == PROXY_ROUTE:
        return "/" + sent["proxy"].rstrip("/")
    return re.sub(r"{(\w+)}", lambda match: sent[match[1]], template)
