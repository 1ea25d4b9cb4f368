"""A source of an image's data: requested over http or https, and read to its end.

Nothing of its response is trusted. Each connection is made to an address that
`addresses` has checked. http.client parses status and headers, but not the body: it
accepts `-1` as the size of a chunk, and a truncated line as a whole one.

The image shows messages to all who see it: they state the reason, and nothing of the
URI, whose host and query may be secret. Until a source responds over HTTP every failure
has the same message, so that nobody can scan ports by it.
"""

import io
import math
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple, NoReturn, Self, cast

from chalicelib.background.addresses import SourceBroken, resolve
from chalicelib.domain.import_uris import (
    Place,
    SourceRefused,
    Target,
    parse_uri,
    resolve_redirect,
)

CONNECT_SECONDS: Final = 10.0
"""Time limit of the connection to one address, in seconds."""

OPEN_SECONDS: Final = 20.0
"""Time limit from the first connection to the last response's headers, in seconds."""

READ_SECONDS: Final = 30.0
"""Time limit of one `read`, in seconds, where its caller has none that is shorter."""

SURPLUS_SECONDS: Final = 0.5
"""Wait for the end of a connection after the end of the body, in seconds."""

REDIRECTS_MAX: Final = 10
"""Maximum number of redirects that are followed."""

_STRONG_TAG = re.compile(r'"[!#-~]{0,254}"')
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_CHUNK_HEADER = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r\n")
_LINE_BYTES_MAX = 4096
_TRAILERS_MAX = 100
_BUFFER_BYTES = 1 << 16
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_RETRIED_STATUSES = frozenset({408, 425, 429})


class _Rest(NamedTuple):
    """The rest of a source from the byte `start`, of the version of `validator`."""

    start: int
    validator: str
    length: int | None


def open_source(
    uri: str,
    allowed: frozenset[Place],
    start: int = 0,
    validator: str | None = None,
    length: int | None = None,
) -> "Source":
    """Request a source, follow its redirects, and return it from the byte *start* on.

    *validator* and *length* are those of the response whose first bytes were read. A
    source without a validator, or that does not resume, is read from its first byte.

    Raises:
        SourceRefused: It must not or cannot be fetched.
        SourceBroken: It fails at the moment.
    """
    target = parse_uri(uri)
    rest = _Rest(start, validator, length) if start > 0 and validator else None
    deadline = time.monotonic() + OPEN_SECONDS
    for _ in range(REDIRECTS_MAX + 1):
        with ExitStack() as opened:
            connection, response = _request(target, rest, allowed, deadline, opened)
            if response.status in _REDIRECT_STATUSES:
                target = resolve_redirect(
                    target, str(response.headers.get("Location", ""))
                )
                continue
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and rest:
                break
            source = Source(connection, response, rest)
            opened.pop_all()
            return source
    else:
        raise SourceRefused(f"The source redirects more than {REDIRECTS_MAX} times.")
    # The source became shorter, or does not tell: read it from its first byte.
    return open_source(uri, allowed)


class Source:
    """A response with the data of an image, read from its start to its end.

    `length` is that of the whole source, or None until its end. `validator` identifies
    its version (RFC 9110, 8.8), if it has one. `resumes` is false if it is read from
    its first byte although a later one was requested.
    """

    def __init__(
        self, connection: "_Connection", response: HTTPResponse, rest: _Rest | None
    ) -> None:
        self._connection = connection
        self._response = response  # Garbage collection would close the connection.
        self._chunk = 0
        self._ended = False
        headers = response.headers
        self.resumes = (
            response.status == HTTPStatus.PARTIAL_CONTENT and rest is not None
        )
        if not self.resumes and response.status != HTTPStatus.OK:
            _refuse_status(response.status)
        if headers.defects:
            raise SourceRefused("The source sends malformed headers.")
        if set(_values(headers, "Content-Encoding")) - {"identity", ""}:
            raise SourceRefused(
                "The source sends a Content-Encoding that was not requested; use a URI"
                " that serves the image's own bytes."
            )
        left, self._chunked = _framing(headers)
        self.length = left
        if rest and self.resumes:
            self.length = _check_rest(headers, rest)
            if left not in (None, self.length - rest.start):
                raise SourceRefused(
                    "The source sends another range than was requested."
                )
            left = self.length - rest.start
        self._left = left
        self.validator = _validator(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
        self._connection.close()

    def read(self, n: int, seconds: float = math.inf) -> bytes:
        """Return the next *n* bytes; fewer only at the end of a complete body.

        It takes *seconds* at most, and never more than `READ_SECONDS`.

        Raises:
            SourceBroken: The body is truncated, or arrives too slowly.
            SourceRefused: The source sends more than its Content-Length.
        """
        if n < 1:
            raise ValueError("At least one byte must be requested.")
        self._connection.deadline = time.monotonic() + min(seconds, READ_SECONDS)
        data = bytearray()
        with _translated_errors(has_responded=True):
            while len(data) < n and not self._ended:
                if self._chunked and not self._begin_chunk():
                    break
                data += self._read_some(n - len(data))
        return bytes(data)

    def _read_some(self, most: int) -> bytes:
        bounds = [most, self._left, self._chunk if self._chunked else None]
        data = self._read_exactly(min(bound for bound in bounds if bound is not None))
        if self._left is not None:
            self._left -= len(data)
        if self._chunked:
            self._chunk -= len(data)
            if self._chunk == 0 and self._read_exactly(2) != b"\r\n":
                raise SourceBroken("The source sends malformed chunks.")
            if self._left == 0:
                self._begin_chunk()
        elif self._left == 0:
            self._end()
        return data

    def _begin_chunk(self) -> bool:
        """Read the header of the next chunk, if due; return False at the end."""
        if self._chunk == 0 and not self._ended:
            size = _CHUNK_HEADER.fullmatch(self._read_line())
            if size is None:
                raise SourceBroken("The source sends malformed chunks.")
            self._chunk = int(size[1], 16)
            if self._chunk == 0:
                for _ in range(_TRAILERS_MAX):
                    if self._read_line() in (b"\r\n", b"\n"):
                        self._end()
                        return False
                raise SourceRefused("The source sends too many trailers.")
        if self._left is not None and self._chunk > self._left:
            raise SourceRefused("The source sends more than its Content-Length.")
        return not self._ended

    def _end(self) -> None:
        if self._ended:
            return
        if self._left:
            raise SourceBroken("The source sends less than its Content-Length.")
        self._ended = True
        self._connection.deadline = time.monotonic() + SURPLUS_SECONDS
        try:
            surplus = self._connection.reader.read(1)
        except OSError:
            return  # The connection stays open, or broke: the body is complete.
        if surplus:
            raise SourceRefused("The source sends more than its Content-Length.")

    def _read_exactly(self, count: int) -> bytes:
        data = self._connection.reader.read(count)
        if len(data) < count:
            raise SourceBroken(
                "The source closed the connection before the end of its data."
            )
        return data

    def _read_line(self) -> bytes:
        line = self._connection.reader.readline(_LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise SourceBroken(
                "The source closed the connection before the end of its data."
            )
        return line


class _Connection(io.RawIOBase):
    """A connection whose every read ends at a deadline, however slowly bytes arrive."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline
        self.ended = False
        self.reader = io.BufferedReader(self, _BUFFER_BYTES)

    def makefile(self, _mode: str) -> "io.BufferedReader[_Connection]":
        """Return the reader, as http.client asks for it."""
        return self.reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever holds bytes
        self._sock.settimeout(_seconds_until(self.deadline))
        count = self._sock.recv_into(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._sock.close()
        super().close()


def _request(
    target: Target,
    rest: _Rest | None,
    allowed: frozenset[Place],
    deadline: float,
    opened: ExitStack,
) -> tuple[_Connection, HTTPResponse]:
    """Send one request, and read the response's status and headers."""
    headers = {
        "Host": target.authority,
        "User-Agent": "cloud-images",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if rest:
        headers |= {"Range": f"bytes={rest.start}-", "If-Range": rest.validator}
    lines = [f"GET {target.path} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
    addresses = resolve(target, allowed, deadline - time.monotonic())
    with _translated_errors(has_responded=False):
        sock = opened.enter_context(_connect(addresses, deadline))
        sock.settimeout(_seconds_until(deadline))
        if target.scheme == "https":
            tls = ssl.create_default_context()
            tls.set_alpn_protocols(["http/1.1"])
            sock = tls.wrap_socket(sock, server_hostname=target.host)
        connection = _Connection(sock, deadline)
        opened.callback(connection.close)
        sock.sendall("\r\n".join(lines).encode("ascii"))
        response = HTTPResponse(cast("socket.socket", connection), method="GET")
        opened.callback(response.close)
        try:
            response.begin()
        except HTTPException:
            if not connection.ended:
                raise
        if connection.ended:  # http.client takes it for the end of the headers.
            raise ConnectionResetError
    return connection, response


def _connect(addresses: list[tuple[Any, Any]], deadline: float) -> socket.socket:
    last: OSError = ConnectionRefusedError()
    for family, address in addresses:
        with ExitStack() as opened:
            seconds = min(CONNECT_SECONDS, _seconds_until(deadline))
            try:
                sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.settimeout(seconds)
                sock.connect(address)
                peer = sock.getpeername()
            except OSError as exc:
                last = exc
                continue
            if peer[:2] != address[:2]:
                raise SourceRefused(
                    "The source's connection has an unexpected address."
                )
            opened.pop_all()
            return sock
    raise last


def _seconds_until(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@contextmanager
def _translated_errors(*, has_responded: bool) -> Iterator[None]:
    """Raise the source's errors in the words of the image's owner.

    A port that is closed, silent, or not of HTTP has one message, and is retried.
    """
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        # After a comma OpenSSL names whom the certificate should be for.
        reason = exc.verify_message.partition(",")[0].rstrip(".")
        raise SourceRefused(f"The source has no valid certificate: {reason}.") from exc
    except (OSError, HTTPException) as exc:
        if not has_responded:
            # Without its cause, which may repeat the request.
            raise SourceBroken(
                "The source did not respond over HTTP; check its URI."
            ) from None
        if isinstance(exc, TimeoutError):
            raise SourceBroken("The source is too slow.") from exc
        raise SourceBroken("The source broke the connection.") from exc


def _refuse_status(status: int) -> NoReturn:
    message = f"The source responds with status {status}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRIED_STATUSES:
        raise SourceBroken(message)
    raise SourceRefused(message)


def _values(headers: Message, name: str) -> list[str]:
    return [str(value).strip().lower() for value in headers.get_all(name, [])]


def _framing(headers: Message) -> tuple[int | None, bool]:
    """Return the body's length, or None and that it is chunked (RFC 9112, 6.3)."""
    lengths = set(_values(headers, "Content-Length"))
    codings = _values(headers, "Transfer-Encoding")
    if codings == ["chunked"] and not lengths:
        return None, True
    if not codings and len(lengths) == 1 and _LENGTH.fullmatch(text := lengths.pop()):
        return int(text), False
    raise SourceRefused("The source does not send one valid Content-Length.")


def _check_rest(headers: Message, rest: _Rest) -> int:
    """Return the length of the whole source, after a check of the requested range."""
    match = _RANGE.fullmatch(str(headers.get("Content-Range", "")).strip())
    first, last, length = map(int, match.groups()) if match else (0, 0, 0)
    if not match or (first, last) != (rest.start, length - 1) or first > last:
        raise SourceRefused("The source sends another range than was requested.")
    # RFC 9110, 15.3.7: the ETag must be repeated, the date need not be.
    is_tag = rest.validator.startswith('"')
    validator = headers.get("ETag" if is_tag else "Last-Modified", None)
    is_same = validator == rest.validator or (validator is None and not is_tag)
    if not is_same or rest.length not in (None, length):
        raise SourceRefused("The source changed while it was read.")
    return length


def _validator(headers: Message) -> str | None:
    """Return the value of `If-Range`: a strong ETag, else a strong date, else None.

    A date is strong if it is older than the response (RFC 9110, 13.1.5 and 8.8.2.2).
    """
    tag, modified, date = (
        str(headers.get(name, "")).strip() for name in ("ETag", "Last-Modified", "Date")
    )
    if tag:
        return tag if _STRONG_TAG.fullmatch(tag) else None
    if not (_DATE.fullmatch(modified) and _DATE.fullmatch(date)):
        return None
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except ValueError:
        return None
    return modified if age >= timedelta(seconds=1) else None
