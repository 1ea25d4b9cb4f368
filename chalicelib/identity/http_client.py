"""An HTTP client for the identity service, with one deadline for each request."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from chalicelib.deadline import call_within, seconds_left

T = TypeVar("T")

WAIT_SECONDS_MAX: Final = 8.0
"""Time limit of all requests to other services for one of a client, in seconds."""

RESPONSE_BYTES_MAX: Final = 1_000_000
"""Maximum size of a response's body, in bytes."""

PEM_START: Final = "-----BEGIN CERTIFICATE-----"
"""The start of certificates in PEM."""

_NAME = r"[A-Za-z\d_](?:[\w-]*\w)?"
_URL: Final = (
    rf"https?://(?:{_NAME}(?:\.{_NAME})*\.?|\[[\dA-Fa-f:.]+\])(?::\d{{1,5}})?"
    r"(?:/(?:[\w.~!$&'()*+,;=:@/-]|%[\dA-Fa-f]{2})*)?"
)
_QUERY: Final = r"[!-~]*"
_LOOPBACK: Final = r"http://(127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)"


class UpstreamError(Exception):
    """Another service sent no valid response; the message has no secret."""


class Response(NamedTuple):
    """A response of another service; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Return the JSON object of the body.

        Raises:
            UpstreamError: The body is something else.
        """
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UpstreamError("The response is not a JSON object.")
        return document


def is_url(text: str) -> bool:
    """Return whether *text* is an http(s) URL without user, query and fragment."""
    if not re.fullmatch(_URL, text, re.ASCII):
        return False
    try:
        return urlsplit(text).port != 0
    except ValueError:  # A port above 65,535, or no IPv6 address in brackets.
        return False


def is_safe_url(text: str) -> bool:
    """Return whether a URL is safe from interception: of https, or of this machine."""
    is_private = text.startswith("https://") or re.match(_LOOPBACK, text)
    return is_url(text) and bool(is_private)


def is_query(text: str) -> bool:
    """Return whether *text* is a valid query of a URL."""
    return bool(re.fullmatch(_QUERY, text)) and "#" not in text


def new_deadline() -> float:
    """Return the deadline of a request that starts now, on the monotonic clock."""
    return time.monotonic() + min(WAIT_SECONDS_MAX, seconds_left())


@cache
def tls_context(authorities: str | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs of a file or in PEM, or the system's."""
    if authorities and authorities.startswith(PEM_START):
        return ssl.create_default_context(cadata=authorities)
    return ssl.create_default_context(cafile=authorities)


def send_request(  # noqa: PLR0913 - a request has that many parts
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    deadline: float,
    document: Any = None,  # noqa: ANN401 - any JSON
    authorities: str | None = None,
) -> Response:
    """Send a request on a new connection, and return its response before *deadline*.

    The request runs in a thread, since nothing else bounds name resolution, handshake
    and a response that drips. No proxy, redirect or retry: a connection that is kept
    might be dead after Lambda froze the container, and would need a retry.

    Raises:
        UpstreamError: There was no response in time, or it is too large.
    """
    parts = urlsplit(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise UpstreamError(
            f"The deadline passed before the request to {parts.netloc}."
        )
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            parts.netloc, timeout=left, context=tls_context(authorities)
        )
    else:
        connection = HTTPConnection(parts.netloc, timeout=left)
    body = None if document is None else json.dumps(document).encode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sockets: list[socket.socket] = []
    results: SimpleQueue[Response | Exception] = SimpleQueue()

    def exchange() -> None:
        try:
            connection.connect()
            sockets.append(connection.sock)
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            content = response.read(RESPONSE_BYTES_MAX + 1)
            names = {name.lower(): value for name, value in response.getheaders()}
            results.put(Response(response.status, names, content))
        except (OSError, HTTPException, ValueError) as error:
            results.put(error)
        finally:
            connection.close()

    Thread(target=exchange, daemon=True).start()
    try:
        result = results.get(timeout=left)
    except Empty:
        for sock in sockets:  # Closing its socket ends the thread.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        raise UpstreamError(f"{parts.netloc} did not respond in time.") from None
    if isinstance(result, Exception):
        # Without its text, which may quote a header.
        raise UpstreamError(f"{parts.netloc}: {type(result).__name__}.") from None
    if len(result.body) > RESPONSE_BYTES_MAX:
        raise UpstreamError(f"{parts.netloc} sent too large a response.")
    return result


@contextmanager
def acquired(lock: Lock, deadline: float) -> Iterator[None]:
    """Hold a lock, after waiting for it until *deadline* at most.

    Raises:
        UpstreamError: Other threads held it until then.
    """
    if not lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
        raise UpstreamError("Another request to the service took all the time.")
    try:
        yield
    finally:
        lock.release()


def call_with_deadline(deadline: float, name: str, call: Callable[[], T]) -> T:
    """Run a call that has no time limit of its own in a thread, until *deadline*.

    Raises:
        UpstreamError: It did not return in time; the message has *name*.
        Exception: The call raised it.
    """
    try:
        return call_within(deadline - time.monotonic(), call)
    except TimeoutError:
        raise UpstreamError(f"{name} did not respond in time.") from None
