"""A source of an image's data: asked for over http or https, and read to its end.

What it answers is anyone's choice: none of it is believed. Each connection is made to
just what `targets` has checked. http.client reads status and headers, but not the body,
as it takes `-1` for the size of a chunk and a cut line for a whole one.

Messages are for the image's owner, but the image shows them to all who see it: they
tell the reason, and nothing of the URI, whose host and query may be nobody else's.
"""

import io
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NoReturn, Self, cast

from chalicelib.background.addresses import SourceBroken, look_up
from chalicelib.domain.import_uris import (
    Place,
    SourceRefused,
    Target,
    follow,
    parse_uri,
)

CONNECT_SECONDS: Final = 10.0
"""How long the connection to one address may take."""
OPEN_SECONDS: Final = 60.0
"""How long all may take from the first connection to the last answer's headers."""
READ_SECONDS: Final = 30.0
"""How long one `read` may take, however its bytes drip: 1 MiB at 35 kB/s."""
SURPLUS_SECONDS: Final = 0.5
"""How long the end of a connection is awaited after the end of the body."""
REDIRECTS_MAX: Final = 5

_STRONG_TAG = re.compile(r'"[!#-~]{0,254}"')
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r\n")
_LINE_MAX = 4096
_TRAILERS_MAX = 100
_BUFFER = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAY_HEAL = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class _Part:
    """
    The rest of a source that was read up to `start`, as long as it did not change.
    """

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
    """Ask for a source, after all redirects; what was not read before, if that can be.

    *validator* and *length* are what the source had when its first bytes were read.
    Without a validator nothing tells whether it is still the same: it is read anew.

    Raises:
        SourceRefused: It is nothing to fetch, or may not be fetched.
        SourceBroken: It fails just now.
    """
    target = parse_uri(uri)
    part = _Part(start, validator, length) if start > 0 and validator else None
    give_up = time.monotonic() + OPEN_SECONDS
    for _ in range(REDIRECTS_MAX + 1):
        with ExitStack() as opened:
            wire, answer = _ask(target, part, allowed, give_up, opened)
            if answer.status in _REDIRECTS:
                target = follow(target, str(answer.headers.get("Location", "")))
                continue
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part:
                break
            source = Source(wire, answer, part)
            opened.pop_all()
            return source
    else:
        raise SourceRefused("The source redirects too often.")
    # The source became shorter, or cannot say: it begins anew.
    return open_source(uri, allowed)


class Source:
    """An answer that holds the data of an image, read from its start to its end.

    `length` is that of the whole source, None if only its end will tell. `validator`
    tells whether it is the same later (RFC 9110, 8.8), if anything can. `resumes` is
    whether reading goes on where it was asked to, and does not begin anew.
    """

    def __init__(self, wire: "_Wire", answer: HTTPResponse, part: _Part | None) -> None:
        self._wire = wire
        self._answer = answer  # It would close the connection if it were dropped.
        self._chunk = 0
        self._ended = False
        headers = answer.headers
        self.resumes = answer.status == HTTPStatus.PARTIAL_CONTENT and part is not None
        if not self.resumes and answer.status != HTTPStatus.OK:
            _refuse_status(answer.status)
        if headers.defects:
            raise SourceRefused("The source sends headers that cannot be read.")
        if set(_values(headers, "Content-Encoding")) - {"identity", ""}:
            raise SourceRefused(
                "The source sends its data encoded, which was not asked."
            )
        left, self._chunked = _framing(headers)
        self.length = left
        if part and self.resumes:
            self.length = _check_part(headers, part)
            if left not in (None, self.length - part.start):
                raise SourceRefused("The source sends another part than was asked for.")
            left = self.length - part.start
        self._left = left
        self.validator = _validator(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._answer.close()
        self._wire.close()

    def read(self, n: int) -> bytes:
        """Give the next *n* bytes; fewer, or none, only at the end of a whole body.

        Raises:
            SourceBroken: The body is cut, or comes too slowly.
            SourceRefused: More follows than was announced.
        """
        if n < 1:
            raise ValueError("At least one byte must be asked for.")
        self._wire.give_up = time.monotonic() + READ_SECONDS
        data = bytearray()
        with _telling():
            while len(data) < n and not self._ended:
                if self._chunked and not self._start_chunk():
                    break
                data += self._read_some(n - len(data))
        return bytes(data)

    def _read_some(self, most: int) -> bytes:
        bounds = [most, self._left, self._chunk if self._chunked else None]
        data = self._exactly(min(bound for bound in bounds if bound is not None))
        if self._left is not None:
            self._left -= len(data)
        if self._chunked:
            self._chunk -= len(data)
            if self._chunk == 0 and self._exactly(2) != b"\r\n":
                raise SourceBroken("The source sends broken chunks.")
            if self._left == 0:
                self._start_chunk()
        elif self._left == 0:
            self._end()
        return data

    def _start_chunk(self) -> bool:
        """See that a chunk is being read, or end: after the last one come trailers."""
        if self._chunk == 0 and not self._ended:
            size = _CHUNK.fullmatch(self._line())
            if size is None:
                raise SourceBroken("The source sends broken chunks.")
            self._chunk = int(size[1], 16)
            if self._chunk == 0:
                for _ in range(_TRAILERS_MAX):
                    if self._line() in (b"\r\n", b"\n"):
                        self._end()
                        return False
                raise SourceRefused("The source sends too many trailers.")
        if self._left is not None and self._chunk > self._left:
            raise SourceRefused("The source sends more than it announced.")
        return not self._ended

    def _end(self) -> None:
        if self._ended:
            return
        if self._left:
            raise SourceBroken("The source sent less than it announced.")
        self._ended = True
        self._wire.give_up = time.monotonic() + SURPLUS_SECONDS
        try:
            surplus = self._wire.reader.read(1)
        except OSError:
            return  # The connection stays open, or broke: all that was due has come.
        if surplus:
            raise SourceRefused("The source sends more than it announced.")

    def _exactly(self, count: int) -> bytes:
        data = self._wire.reader.read(count)
        if len(data) < count:
            raise SourceBroken("The source ended before all its data came.")
        return data

    def _line(self) -> bytes:
        line = self._wire.reader.readline(_LINE_MAX)
        if not line.endswith(b"\n"):
            raise SourceBroken("The source ended before all its data came.")
        return line


class _Wire(io.RawIOBase):
    """A connection where no wait outlasts a moment, however slowly bytes drip."""

    def __init__(self, sock: socket.socket, give_up: float) -> None:
        self._sock = sock
        self.give_up = give_up
        self.ended = False
        self.reader = io.BufferedReader(self, _BUFFER)

    def makefile(self, _mode: str) -> "io.BufferedReader[_Wire]":
        """Give what http.client reads."""
        return self.reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever holds bytes
        self._sock.settimeout(_seconds_until(self.give_up))
        count = self._sock.recv_into(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._sock.close()
        super().close()


def _ask(
    target: Target,
    part: _Part | None,
    allowed: frozenset[Place],
    give_up: float,
    opened: ExitStack,
) -> tuple[_Wire, HTTPResponse]:
    """Send one request, and read the answer's status and headers."""
    headers = {
        "Host": target.authority,
        "User-Agent": "cloud-images",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if part:
        headers |= {"Range": f"bytes={part.start}-", "If-Range": part.validator}
    lines = [f"GET {target.path} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
    addresses = look_up(target, allowed)
    with _telling():
        sock = opened.enter_context(_connect(addresses, give_up))
        sock.settimeout(_seconds_until(give_up))
        if target.scheme == "https":
            tls = ssl.create_default_context()
            tls.set_alpn_protocols(["http/1.1"])
            sock = tls.wrap_socket(sock, server_hostname=target.host)
        wire = _Wire(sock, give_up)
        opened.callback(wire.close)
        sock.sendall("\r\n".join(lines).encode("ascii"))
        answer = HTTPResponse(cast("socket.socket", wire), method="GET")
        opened.callback(answer.close)
        try:
            answer.begin()
        except HTTPException:
            if not wire.ended:
                raise
        if wire.ended:  # http.client takes the end for that of the headers.
            raise ConnectionResetError
    return wire, answer


def _connect(addresses: list[tuple[Any, Any]], give_up: float) -> socket.socket:
    last: OSError = ConnectionRefusedError()
    for family, address in addresses:
        with ExitStack() as opened:
            seconds = min(CONNECT_SECONDS, _seconds_until(give_up))
            try:
                sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.settimeout(seconds)
                sock.connect(address)
                peer = sock.getpeername()
            except OSError as exc:
                last = exc
                continue
            if peer[:2] != address[:2]:
                raise SourceRefused("The source is not where it was looked for.")
            opened.pop_all()
            return sock
    raise last


def _seconds_until(moment: float) -> float:
    left = moment - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@contextmanager
def _telling() -> Iterator[None]:
    """Tell what fails in the owner's words."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        # What follows a comma names whom the certificate should be for.
        why = exc.verify_message.partition(",")[0].rstrip(".")
        raise SourceRefused(f"The source has no valid certificate: {why}.") from exc
    except ssl.SSLError as exc:
        raise SourceBroken("The source makes no connection of TLS.") from exc
    except TimeoutError as exc:
        raise SourceBroken("The source is too slow.") from exc
    except ConnectionRefusedError as exc:
        raise SourceBroken("The source refuses connections.") from exc
    except ConnectionError as exc:
        raise SourceBroken("The source broke the connection.") from exc
    except OSError as exc:
        raise SourceBroken("The source cannot be reached.") from exc
    except HTTPException:
        # Without its cause, which may repeat the request.
        raise SourceRefused("The source does not answer in HTTP.") from None


def _refuse_status(status: int) -> NoReturn:
    message = f"The source answers {status}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _MAY_HEAL:
        raise SourceBroken(message)
    raise SourceRefused(message)


def _values(headers: Message, name: str) -> list[str]:
    return [str(value).strip().lower() for value in headers.get_all(name, [])]


def _framing(headers: Message) -> tuple[int | None, bool]:
    """
    Give how the end of the body is told: its length, or whether it comes in chunks.
    """
    lengths = set(_values(headers, "Content-Length"))
    codings = _values(headers, "Transfer-Encoding")
    if codings == ["chunked"] and not lengths:
        return None, True
    if not codings and len(lengths) == 1 and _LENGTH.fullmatch(text := lengths.pop()):
        return int(text), False
    raise SourceRefused("The source does not say clearly how long its data is.")


def _check_part(headers: Message, part: _Part) -> int:
    """Give the length of the whole source, whose rest is as it was asked for."""
    match = _RANGE.fullmatch(str(headers.get("Content-Range", "")).strip())
    first, last, length = map(int, match.groups()) if match else (0, 0, 0)
    if not match or (first, last) != (part.start, length - 1) or first > last:
        raise SourceRefused("The source sends another part than was asked for.")
    # RFC 9110, 15.3.7: the tag must be told again, the date need not be.
    is_tag = part.validator.startswith('"')
    told = headers.get("ETag" if is_tag else "Last-Modified", None)
    is_same = told == part.validator or (told is None and not is_tag)
    if not is_same or part.length not in (None, length):
        raise SourceRefused("The source has other data than it had before.")
    return length


def _validator(headers: Message) -> str | None:
    """Give what `If-Range` may hold: a strong tag; a date only if there is no tag.

    RFC 9110, 13.1.5 and 8.8.2.2: a date is strong if it is older than the answer.
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
