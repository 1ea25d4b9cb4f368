"""One question to another service over HTTP, answered within a bound or not at all."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

T = TypeVar("T")

PATIENCE_SECONDS: Final = 8.0
"""How long a request may wait for other services, all their answers together."""

ANSWER_MAX: Final = 1_000_000
"""The largest answer that is read, in bytes."""


_NAME = r"[A-Za-z\d_](?:[\w-]*\w)?"
_URL: Final = re.compile(
    rf"https?://(?:{_NAME}(?:\.{_NAME})*\.?|\[[\dA-Fa-f:.]+\])(?::\d{{1,5}})?"
    r"(?:/(?:[\w.~!$&'()*+,;=:@/-]|%[\dA-Fa-f]{2})*)?",
    re.ASCII,
)
_QUERY: Final = re.compile(r"[!-~]*", re.ASCII)
_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)")


class RemoteError(Exception):
    """No answer, or none that can be understood; the message holds no secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What another service answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Give the JSON object that the body is.

        Raises:
            RemoteError: It is none.
        """
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RemoteError("The answer is no JSON object.")
        return document


def is_url(text: str) -> bool:
    """
    Tell whether *text* is an address that can be asked, without user, query, fragment.
    """
    if not _URL.fullmatch(text):
        return False
    try:
        return urlsplit(text).port != 0
    except ValueError:  # A port above 65,535, or no address between the brackets.
        return False


def is_safe_url(text: str) -> bool:
    """Tell whether nobody in between can answer in the place of an address.

    By TLS, or as nothing leaves this machine.
    """
    is_private = text.startswith("https://") or _LOOPBACK.match(text)
    return is_url(text) and bool(is_private)


def is_query(text: str) -> bool:
    """Tell whether *text* can stand behind the `?` of an address."""
    return bool(_QUERY.fullmatch(text)) and "#" not in text


def patience() -> float:
    """
    Give the moment, on the monotonic clock, until which a request starting now waits.
    """
    return time.monotonic() + PATIENCE_SECONDS


@cache
def trust(ca_file: str | None) -> ssl.SSLContext:
    """
    Give what checks a server's certificate, by the system's authorities or a file's.
    """
    return ssl.create_default_context(cafile=ca_file)


def ask(  # noqa: PLR0913 - a request has that many parts
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    deadline: float,
    document: Any = None,  # noqa: ANN401 - any JSON
    ca_file: str | None = None,
) -> Reply:
    """Ask once, on a connection of its own, and wait until *deadline* at the most.

    A thread asks, since nothing else bounds all of a look-up of the name, a handshake
    and an answer that comes in drops. No proxy, no redirect, no second try: a kept
    connection might be dead after a frozen container's sleep, and would need one.

    Raises:
        RemoteError: There was no answer in time, or it is too large.
    """
    parts = urlsplit(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise RemoteError(f"No time is left to ask {parts.netloc}.")
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            parts.netloc, timeout=left, context=trust(ca_file)
        )
    else:
        connection = HTTPConnection(parts.netloc, timeout=left)
    body = None if document is None else json.dumps(document).encode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sockets: list[socket.socket] = []
    answers: SimpleQueue[Reply | Exception] = SimpleQueue()

    def exchange() -> None:
        try:
            connection.connect()
            sockets.append(connection.sock)
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read(ANSWER_MAX + 1)
            names = {name.lower(): value for name, value in answer.getheaders()}
            answers.put(Reply(answer.status, names, content))
        except (OSError, HTTPException, ValueError) as error:
            answers.put(error)
        finally:
            connection.close()

    Thread(target=exchange, daemon=True).start()
    try:
        got = answers.get(timeout=left)
    except Empty:
        for each in sockets:  # The thread ends with its socket.
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        raise RemoteError(f"{parts.netloc} did not answer in time.") from None
    if isinstance(got, Exception):
        # Not its text: that may quote a header.
        raise RemoteError(f"{parts.netloc}: {type(got).__name__}.") from None
    if len(got.body) > ANSWER_MAX:
        raise RemoteError(f"{parts.netloc} answers too much.")
    return got


@contextmanager
def turn(lock: Lock, deadline: float) -> Iterator[None]:
    """Take a turn at what threads do one after the other, waiting until *deadline*.

    Raises:
        RemoteError: The others took all the time.
    """
    if not lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
        raise RemoteError("Others were asking, and no time is left.")
    try:
        yield
    finally:
        lock.release()


def within(deadline: float, name: str, call: Callable[[], T]) -> T:
    """Make a call that has no bound of its own, and wait until *deadline* at the most.

    Raises:
        RemoteError: It gave nothing in time; what is named is told.
        Exception: What the call raised.
    """
    answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            answers.put((None, error))

    Thread(target=run, name="remote", daemon=True).start()
    try:
        found, error = answers.get(timeout=max(deadline - time.monotonic(), 0))
    except Empty:
        raise RemoteError(f"{name} did not answer in time.") from None
    if error is not None:
        raise error
    return cast("T", found)
