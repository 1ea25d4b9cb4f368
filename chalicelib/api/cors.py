"""
CORS: the origins whose pages may read the responses. None, unless set.

A page sends its token in a header that it sets itself, so a browser's own credentials,
as cookies, are never asked for.
"""

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Final

from chalice.app import Request, Response

from chalicelib import settings
from chalicelib.settings import SettingError

ALLOWED_HEADERS: Final = (
    *("Authorization", "Content-Type", "Range", "X-Auth-Token"),
    *("X-Image-Meta-Store", "X-OpenStack-Image-Size"),
)
"""
The headers of requests that the service reads, but for those that any page may send.
"""

EXPOSED_HEADERS: Final = (
    *("Allow", "Location", "OpenStack-image-import-methods"),
    *("OpenStack-image-store-ids", "Retry-After"),
    *("WWW-Authenticate", "X-OpenStack-Request-Id", "X-Reason"),
    "X-Amzn-Remapped-WWW-Authenticate",  # The challenge, as API Gateway names it.
)
"""
The headers of responses that the service sends, but for those that any page may read.
"""

MAX_AGE_SECONDS: Final = 3600
"""How long a browser may cache the response to a preflight request, in seconds."""

ANY_ORIGIN: Final = "*"

_ORIGIN: Final = (
    r"(?:http(?!.*:80$)|https(?!.*:443$))"  # A browser leaves the usual port out.
    r"://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?"
)


@cache
def parse_origins(text: str) -> frozenset[str]:
    """Parse the setting `CORS_ORIGINS`: origins, separated by commas, or `*` alone.

    Raises:
        SettingError: It is something else.
    """
    if not text:
        return frozenset()
    origins = text.split(",")
    if origins == [ANY_ORIGIN] or all(
        re.fullmatch(_ORIGIN, origin) for origin in origins
    ):
        return frozenset(origins)
    raise SettingError(
        "The setting CORS_ORIGINS must be origins as browsers send them, like"
        " https://app.example.org or http://localhost:3000, separated by commas,"
        f" or * alone, not {text!r}."
    )


def response_headers(origin: str | None) -> dict[str, str]:
    """Return the headers that let a page of an origin read a response, or not."""
    origins = parse_origins(settings.current.cors_origins)
    if not origins:
        return {}
    exposed = {"Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS)}
    if ANY_ORIGIN in origins:
        return {"Access-Control-Allow-Origin": ANY_ORIGIN, **exposed}
    vary = {"Vary": "Origin"}  # A cache must not hand it to another origin's page.
    if origin is None or origin not in origins:
        return vary
    return {"Access-Control-Allow-Origin": origin, **exposed, **vary}


def preflight(request: Request, methods: Iterable[str]) -> Response | None:
    """
    Return the response to a preflight request, which has no token; None for others.

    The path has some methods; the request itself still has to be allowed.
    """
    if request.method != "OPTIONS":
        return None
    if "access-control-request-method" not in request.headers:
        return None
    if "Access-Control-Allow-Origin" not in response_headers(
        request.headers.get("origin")
    ):
        return None
    headers: dict[str, str | list[str]] = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ", ".join(ALLOWED_HEADERS),
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
    }
    return Response("", headers=headers, status_code=HTTPStatus.NO_CONTENT)
