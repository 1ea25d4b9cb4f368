"""The ways to fail, each with its one HTTP status and its one word for why."""

import html
from http import HTTPStatus
from typing import ClassVar, Final

from chalice.app import ChaliceUnhandledError

ERROR_TYPE: Final = "text/html; charset=UTF-8"
"""The media type of errors that are not JSON, as the reference sends it."""

_ERROR_PAGE: Final = """<html>
 <head>
  <title>{code}</title>
 </head>
 <body>
  <h1>{code}</h1>
  {message}
 </body>
</html>
"""
"""One text a line: openstacksdk and glanceclient take the tags off, and join lines."""

_TITLES: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Request Entity Too Large",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Request Range Not Satisfiable",
}


def title_of(status: HTTPStatus) -> str:
    """Return a status's title in the reference's words; Python 3.13 changed its own."""
    return _TITLES.get(status, status.phrase)


def error_page(status: HTTPStatus, message: str) -> str:
    """Return the page of an error, with the message escaped."""
    code = f"{status.value} {title_of(status)}"
    return _ERROR_PAGE.format(code=code, message=html.escape(message, quote=False))


class ApiError(ChaliceUnhandledError):
    """A refusal that the client sees; the middleware renders it.

    `reason` is for programs, the message for people, and neither says more than the
    caller may know. A `ChaliceUnhandledError`, as Chalice hides every other exception
    from middleware.
    """

    status: ClassVar[HTTPStatus]
    reason: ClassVar[str]

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}


class BadRequest(ApiError):
    """The request is malformed; the message names the field and what is allowed."""

    status = HTTPStatus.BAD_REQUEST
    reason = "invalid"


class Unauthorized(ApiError):
    """The request carries no valid token."""

    status = HTTPStatus.UNAUTHORIZED
    reason = "unauthenticated"


class Forbidden(ApiError):
    """The caller may know of the thing, but not do this to it."""

    status = HTTPStatus.FORBIDDEN
    reason = "forbidden"


class NotFound(ApiError):
    """The thing does not exist, or must look to the caller as if it did not."""

    status = HTTPStatus.NOT_FOUND
    reason = "not-found"


class MethodNotAllowed(ApiError):
    """The path exists, without this method; `Allow` lists the methods it has."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    reason = "method-not-allowed"


class Conflict(ApiError):
    """What was asked for contradicts what is there."""

    status = HTTPStatus.CONFLICT
    reason = "conflict"


class LimitExceeded(ApiError):
    """More than a quota or a size limit allows."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = "limit-exceeded"


class RangeNotSatisfiable(ApiError):
    """The range of data that was asked for is malformed, or outside the data."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    reason = "range-not-satisfiable"


class UnsupportedMediaType(ApiError):
    """The body's media type is not one that the call takes."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    reason = "unsupported-media-type"


class Unavailable(ApiError):
    """The service is unavailable for the moment; a retry may succeed."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, {"Retry-After": "1"})


class StaleError(ChaliceUnhandledError):
    """What a write relied on changed between its read and the write.

    The client never sees it: the route runs again, and the rules decide.
    """
