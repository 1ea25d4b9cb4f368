"""
A source of an image's data: fetched over http or https, from where it may be.

What a URI names is the owner's choice, and what the source answers is anyone's: none
of it is believed. A name is looked up once for each connection, each of its addresses
is checked, and the connection is made to just what was checked (OWASP's Server-Side
Request Forgery Prevention Cheat Sheet); http.client reads status and headers, but not
the body, as it takes `-1` for the size of a chunk and a cut line for a whole one.

Messages are for the image's owner. They name the host and the reason; neither path nor
query, which may hold a signature, nor an address that a name has.
"""

import io
import re
import socket
import ssl
import string
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, NoReturn, Self, cast
from urllib.parse import quote, urljoin, urlsplit

CONNECT_SECONDS: Final = 10.0
"""
How long the connection to one address may take.
"""
OPEN_SECONDS: Final = 60.0
"""
How long all may take from the first connection to the last answer's headers.
"""
READ_SECONDS: Final = 30.0
"""
How long one `read` may take, however its bytes drip: 1 MiB at 35 kB/s.
"""
SURPLUS_SECONDS: Final = 0.5
"""
How long the end of a connection is awaited after the end of the body.
"""
REDIRECTS_MAX: Final = 5
URI_MAX: Final = 4096
"""
The length of a URI: an S3 URL with the longest token has about 2,500 characters.
"""

Place = tuple[str, int | None]
"""
A host as `IMPORT_ALLOW` names it, and the port; None is any port.
"""

_PORTS: Final = {"http": 80, "https": 443}
_HOST_MAX = 253
_PORT_MAX = 65535
_PLACE = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
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
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

# IANA IPv4 Special-Purpose Address Registry, and multicast.
_FORBIDDEN_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # Carrier-grade NAT, and Alibaba's metadata.
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, though the registry does not know it.
        "169.254.0.0/16",  # Link-local, and AWS's metadata.
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # Relays of 6to4.
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# IANA IPv6 Special-Purpose Address Registry. Out of 2000::/3 are loopback, link-local,
# unique local (AWS's metadata, too) and multicast addresses, and those that hold one of
# IPv4: mapped, compatible, and NAT64's 64:ff9b::/96 and 64:ff9b:1::/48.
_UNICAST_IPV6 = IPv6Network("2000::/3")
_FORBIDDEN_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Protocols: Teredo, ORCHID, benchmarks.
        "2001:db8::/32",
        "2002::/16",  # 6to4.
        "3fff::/20",
    )
)


class SourceRefused(Exception):  # noqa: N818 - as the API's errors are named
    """
    Nothing can or may be fetched there; another try will not help.
    """


class BadUri(SourceRefused, ValueError):  # noqa: N818 - as above
    """
    No URI that could ever be fetched; the message says what it must be.
    """


class SourceBroken(Exception):  # noqa: N818 - as the API's errors are named
    """
    The source fails just now; another try may help.
    """


@dataclass(frozen=True, slots=True)
class _Target:
    """
    What a URI names: where to ask, and what for.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class _Part:
    """
    The rest of a source that was read up to `start`, as long as it did not change.
    """

    start: int
    validator: str
    length: int | None


def check_uri(text: str) -> None:
    """
    Check a URI's form: http or https, with a host; where it leads is seen later.

    Raises:
        BadUri: It is none that could ever be fetched.
    """
    _parse(text)


def parse_allowed(text: str) -> frozenset[Place]:
    """
    Read the setting `IMPORT_ALLOW`: `host` or `host:port`, separated by commas.

    Raises:
        ValueError: It is something else; the message names the setting.
    """
    if not text.strip():
        return frozenset()
    try:
        return frozenset(_read_place(entry.strip()) for entry in text.split(","))
    except ValueError:
        raise ValueError(
            "The setting IMPORT_ALLOW must name hosts as host or host:port, separated"
            f" by commas, IPv6 addresses in brackets, not {text!r}."
        ) from None


def open_source(
    uri: str,
    allowed: frozenset[Place],
    start: int = 0,
    validator: str | None = None,
    length: int | None = None,
) -> "Source":
    """
    Ask for a source, after all redirects; what was not read before, if that can be.

    *validator* and *length* are what the source had when its first bytes were read.
    Without a validator nothing tells whether it is still the same: it is read anew.

    Raises:
        SourceRefused: It is nothing to fetch, or may not be fetched.
        SourceBroken: It fails just now.
    """
    target = _parse(uri)
    part = _Part(start, validator, length) if start > 0 and validator else None
    give_up = time.monotonic() + OPEN_SECONDS
    for _ in range(REDIRECTS_MAX + 1):
        with ExitStack() as opened:
            wire, answer = _ask(target, part, allowed, give_up, opened)
            if answer.status in _REDIRECTS:
                target = _follow(target, answer.headers)
                continue
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part:
                break
            source = Source(target.host, wire, answer, part)
            opened.pop_all()
            return source
    else:
        raise SourceRefused(f"{target.host} is one redirect too many.")
    # The source became shorter, or cannot say: it begins anew.
    return open_source(uri, allowed)


class Source:
    """
    An answer that holds the data of an image, read from its start to its end.

    `length` is that of the whole source, None if only its end will tell. `validator`
    tells whether it is the same later (RFC 9110, 8.8), if anything can. `resumes` is
    whether reading goes on where it was asked to, and does not begin anew.
    """

    def __init__(
        self, host: str, wire: "_Wire", answer: HTTPResponse, part: _Part | None
    ) -> None:
        self._host = host
        self._wire = wire
        self._answer = answer  # It would close the connection if it were dropped.
        self._chunk = 0
        self._ended = False
        headers = answer.headers
        self.resumes = answer.status == HTTPStatus.PARTIAL_CONTENT and part is not None
        if not self.resumes and answer.status != HTTPStatus.OK:
            _refuse_status(host, answer.status)
        if headers.defects:
            raise SourceRefused(f"{host} sends headers that cannot be read.")
        if set(_values(headers, "Content-Encoding")) - {"identity", ""}:
            raise SourceRefused(f"{host} sends its data encoded, which was not asked.")
        left, self._chunked = _framing(host, headers)
        self.length = left
        if part and self.resumes:
            self.length = _check_part(host, headers, part)
            if left not in (None, self.length - part.start):
                raise SourceRefused(f"{host} sends another part than was asked for.")
            left = self.length - part.start
        self._left = left
        self.validator = _validator(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """
        End the connection.
        """
        self._answer.close()
        self._wire.close()

    def read(self, n: int) -> bytes:
        """
        Give the next *n* bytes; fewer, or none, only at the end of a whole body.

        Raises:
            SourceBroken: The body is cut, or comes too slowly.
            SourceRefused: More follows than was announced.
        """
        if n < 1:
            raise ValueError("At least one byte must be asked for.")
        self._wire.give_up = time.monotonic() + READ_SECONDS
        data = bytearray()
        with _telling(self._host):
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
                raise SourceBroken(f"{self._host} sends broken chunks.")
            if self._left == 0:
                self._start_chunk()
        elif self._left == 0:
            self._end()
        return data

    def _start_chunk(self) -> bool:
        """
        See that a chunk is being read, or end: after the last one come trailers.
        """
        if self._chunk == 0 and not self._ended:
            size = _CHUNK.fullmatch(self._line())
            if size is None:
                raise SourceBroken(f"{self._host} sends broken chunks.")
            self._chunk = int(size[1], 16)
            if self._chunk == 0:
                for _ in range(_TRAILERS_MAX):
                    if self._line() in (b"\r\n", b"\n"):
                        self._end()
                        return False
                raise SourceRefused(f"{self._host} sends too many trailers.")
        if self._left is not None and self._chunk > self._left:
            raise SourceRefused(f"{self._host} sends more than it announced.")
        return not self._ended

    def _end(self) -> None:
        if self._ended:
            return
        if self._left:
            raise SourceBroken(f"{self._host} sent less than it announced.")
        self._ended = True
        self._wire.give_up = time.monotonic() + SURPLUS_SECONDS
        try:
            surplus = self._wire.reader.read(1)
        except OSError:
            return  # The connection stays open, or broke: all that was due has come.
        if surplus:
            raise SourceRefused(f"{self._host} sends more than it announced.")

    def _exactly(self, count: int) -> bytes:
        data = self._wire.reader.read(count)
        if len(data) < count:
            raise SourceBroken(f"{self._host} ended before all its data came.")
        return data

    def _line(self) -> bytes:
        line = self._wire.reader.readline(_LINE_MAX)
        if not line.endswith(b"\n"):
            raise SourceBroken(f"{self._host} ended before all its data came.")
        return line


class _Wire(io.RawIOBase):
    """
    A connection where no wait outlasts a moment, however slowly bytes drip.
    """

    def __init__(self, sock: socket.socket, give_up: float) -> None:
        self._sock = sock
        self.give_up = give_up
        self.ended = False
        self.reader = io.BufferedReader(self, _BUFFER)

    def makefile(self, _mode: str) -> "io.BufferedReader[_Wire]":
        """
        Give what http.client reads.
        """
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


def _parse(uri: str) -> _Target:
    if len(uri) > URI_MAX:
        raise BadUri(f"The URI must have at most {URI_MAX} characters.")
    if not re.fullmatch(r"[!-~]+", uri) or "\\" in uri:
        raise BadUri(
            "The URI must be of ASCII without spaces; the rest is escaped: %20."
        )
    if not uri.lower().startswith(("http://", "https://")):
        raise BadUri("The URI must begin with http:// or https://.")
    try:
        split = urlsplit(uri)
        host, port = _read_place(split.netloc)
    except ValueError:
        raise BadUri(
            "The URI must name a host as it is written in DNS, or an IP address, with"
            " no user and no password."
        ) from None
    path = f"{split.path or '/'}{'?' if split.query else ''}{split.query}"
    return _Target(split.scheme, host, port or _PORTS[split.scheme], path)


def _read_place(text: str) -> Place:
    """
    Read `host` or `host:port`.

    A number is no name: an IPv4 address is written in four decimal parts alone, though
    `getaddrinfo` takes `2130706433`, `0x7f.1` and `0177.0.0.1`, too.
    """
    match = _PLACE.fullmatch(text.lower())
    if match is None:
        raise ValueError("No host.")
    ipv6, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 1 <= port <= _PORT_MAX:
        raise ValueError("No port.")
    if ipv6:
        return str(IPv6Address(ipv6)), port
    host = name.removesuffix(".")
    labels = host.split(".")
    if len(host) > _HOST_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("No name.")
    if _NUMBER.fullmatch(labels[-1]):
        host = str(IPv4Address(host))
    return host, port


def _follow(target: _Target, headers: Message) -> _Target:
    host = target.host
    location = str(headers.get("Location", ""))
    if not location:
        raise SourceRefused(f"{host} redirects without saying where to.")
    try:
        # As browsers and urllib.request do, where a server forgets to.
        escaped = quote(location, safe=string.punctuation, encoding="iso-8859-1")
        there = _parse(urljoin(target.uri, escaped))
    except ValueError:
        raise SourceRefused(
            f"{host} redirects to what is no URI of http or https with a host."
        ) from None
    if target.scheme == "https" and there.scheme != "https":
        raise SourceRefused(f"{host} redirects from https to http.")
    return there


def _ask(
    target: _Target,
    part: _Part | None,
    allowed: frozenset[Place],
    give_up: float,
    opened: ExitStack,
) -> tuple[_Wire, HTTPResponse]:
    """
    Send one request, and read the answer's status and headers.
    """
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
    addresses = _look_up(target, allowed)
    with _telling(target.host):
        sock = opened.enter_context(_connect(target.host, addresses, give_up))
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


def _look_up(target: _Target, allowed: frozenset[Place]) -> list[tuple[Any, Any]]:
    """
    Give the addresses to connect to, if each of them may be connected to.
    """
    host, port = target.host, target.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno in _NO_SUCH_NAME:
            raise SourceRefused(
                f"{host} is at no address that anything may be fetched from."
            ) from exc
        raise SourceBroken(f"{host} cannot be looked up just now.") from exc
    addresses = [(family, address) for family, _, _, _, address in found]
    if not allowed & {(host, None), (host, port)}:
        for _, address in addresses:
            if not _is_public(str(address[0])):
                raise SourceRefused(
                    f"{host} is at no address that anything may be fetched from."
                )
    return addresses


def _is_public(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_IPV4)
    return (
        address.scope_id is None
        and address in _UNICAST_IPV6
        and not any(address in network for network in _FORBIDDEN_IPV6)
    )


def _connect(
    host: str, addresses: list[tuple[Any, Any]], give_up: float
) -> socket.socket:
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
                raise SourceRefused(f"{host} is not where it was looked for.")
            opened.pop_all()
            return sock
    raise last


def _seconds_until(moment: float) -> float:
    left = moment - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@contextmanager
def _telling(host: str) -> Iterator[None]:
    """
    Tell what fails in the owner's words.
    """
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        why = exc.verify_message.rstrip(".")
        raise SourceRefused(f"{host} has no valid certificate: {why}.") from exc
    except ssl.SSLError as exc:
        raise SourceBroken(f"{host} makes no connection of TLS.") from exc
    except TimeoutError as exc:
        raise SourceBroken(f"{host} is too slow.") from exc
    except ConnectionRefusedError as exc:
        raise SourceBroken(f"{host} refuses connections.") from exc
    except ConnectionError as exc:
        raise SourceBroken(f"{host} broke the connection.") from exc
    except OSError as exc:
        raise SourceBroken(f"{host} cannot be reached.") from exc
    except HTTPException:
        # Without its cause, which may repeat the request.
        raise SourceRefused(f"{host} does not answer in HTTP.") from None


def _refuse_status(host: str, status: int) -> NoReturn:
    message = f"{host} answers {status}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _MAY_HEAL:
        raise SourceBroken(message)
    raise SourceRefused(message)


def _values(headers: Message, name: str) -> list[str]:
    return [str(value).strip().lower() for value in headers.get_all(name, [])]


def _framing(host: str, headers: Message) -> tuple[int | None, bool]:
    """
    Give how the end of the body is told: its length, or whether it comes in chunks.
    """
    lengths = set(_values(headers, "Content-Length"))
    codings = _values(headers, "Transfer-Encoding")
    if codings == ["chunked"] and not lengths:
        return None, True
    if not codings and len(lengths) == 1 and _LENGTH.fullmatch(text := lengths.pop()):
        return int(text), False
    raise SourceRefused(f"{host} does not say clearly how long its data is.")


def _check_part(host: str, headers: Message, part: _Part) -> int:
    """
    Give the length of the whole source, whose rest is as it was asked for.
    """
    match = _RANGE.fullmatch(str(headers.get("Content-Range", "")).strip())
    first, last, length = map(int, match.groups()) if match else (0, 0, 0)
    if not match or (first, last) != (part.start, length - 1) or first > last:
        raise SourceRefused(f"{host} sends another part than was asked for.")
    # RFC 9110, 15.3.7: the tag must be told again, the date need not be.
    is_tag = part.validator.startswith('"')
    told = headers.get("ETag" if is_tag else "Last-Modified", None)
    is_same = told == part.validator or (told is None and not is_tag)
    if not is_same or part.length not in (None, length):
        raise SourceRefused(f"{host} has other data than it had before.")
    return length


def _validator(headers: Message) -> str | None:
    """
    Give what `If-Range` may hold: a strong tag; a date only if there is no tag.

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
