"""Files that browsers load: read when they are first asked for, and kept by caches.

A cold start reads none. They lie beside this module, in the folder `static`.
"""

from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

from chalice.app import Request, Response

FILES: Final = Path(__file__).parent / "static"
HTML_TYPE: Final = "text/html; charset=UTF-8"
SCRIPT_TYPE: Final = "text/javascript; charset=UTF-8"
STYLE_TYPE: Final = "text/css; charset=UTF-8"

CACHED: Final = "max-age=3600"
"""The `Cache-Control` of a file: an hour without asking whether it changed."""

CHANGEABLE: Final = "no-cache"
"""The `Cache-Control` of what a setting changes: each use asks whether it changed."""


@cache
def read_file(name: str) -> str:
    """Return the text of a file of the folder `static`."""
    return (FILES / name).read_text("utf-8")


def file_response(
    request: Request, text: str, media_type: str, policy: str, caching: str = CACHED
) -> Response:
    """Return a file under a Content-Security-Policy, or that the client has it."""
    etag = f'"{sha256((policy + text).encode()).hexdigest()[:32]}"'
    headers: dict[str, str | list[str]] = {
        "Cache-Control": caching,
        "ETag": etag,
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
    }
    known = request.headers.get("if-none-match", "")
    if etag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response("", headers=headers, status_code=HTTPStatus.NOT_MODIFIED)
    return Response(text, headers={"Content-Type": media_type, **headers})
