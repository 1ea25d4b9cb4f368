"""HTTP for DynamoDB's client: kept connections, and one write for each request.

botocore's own session goes through a pool, a retry and a timeout of urllib3 for each
request, and parses a response's headers as those of a mail. Here urllib3 only connects,
with botocore's TLS context. A failure is raised as that session raises it, so botocore
retries it as before. The session still sends where a proxy is set, and what is no plain
request.
"""

import io
import re
import time
from collections import defaultdict, deque
from contextlib import ExitStack
from http.client import (
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    RemoteDisconnected,
)
from socket import socket
from ssl import SSLError as TLSError
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3 import HTTPHeaderDict
from urllib3 import exceptions as urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_match_hostname import CertificateError

from chalicelib import deadline

_CODE: Final = re.compile("[2-5][0-9]{2}")
_RECEIVED_BYTES: Final = 1 << 14
"""Size of what is received at a time, in bytes."""

_HEAD_END: Final = rb"\n\r?\n"
_HEAD_BYTES_MAX: Final = 1 << 16
"""Size from which on a response's head is http.client's to judge, in bytes."""

_BODILESS: Final = ("204", "304")
"""The statuses of responses that have no body, whatever their headers say."""


class Connections:
    """A client's connections, each used by one request at a time."""

    def __init__(self, client: Any, ca_file: str | None) -> None:  # noqa: ANN401 - botocore's own
        """Connect for a client; trust the CAs of a file, or botocore's."""
        config = client.meta.config
        self._connect_timeout = config.connect_timeout
        self._read_timeout = config.read_timeout
        self._kept_max = config.max_pool_connections
        self._ca_file = get_cert_path(True if ca_file is None else ca_file)
        self._has_proxy = bool(
            config.proxies or get_environ_proxies(client.meta.endpoint_url)
        )
        self._idle: dict[str, deque[HTTPConnection]] = defaultdict(deque)

    def send(self, request: Any, **_: Any) -> AWSResponse | None:  # noqa: ANN401 - botocore's own
        """Send a request that botocore signed; none where its session has to send it.

        Raises:
            HTTPClientError: There was no response; it is what the session raises then.
        """
        url = request.url
        parts = urlsplit(url)
        message = None if self._has_proxy else _message(request, parts)
        if message is None:
            return None
        idle = self._idle[parts.scheme + parts.netloc]
        connection = None
        try:
            connection = _pop_connected(idle) or self._connect(parts)
            timeout = request.context.get("read_timeout", self._read_timeout)
            connection.sock.settimeout(timeout)
            ends = time.monotonic() + timeout
            response, stays_open = _exchange(connection, message, url, ends)
            if stays_open and len(idle) < self._kept_max:
                idle.append(connection)
                connection = None
        except (TLSError, CertificateError) as exc:
            raise SSLError(endpoint_url=url, error=exc) from exc
        except urllib3.NewConnectionError as exc:
            raise EndpointConnectionError(endpoint_url=url, error=exc) from exc
        except urllib3.ConnectTimeoutError as exc:
            raise ConnectTimeoutError(endpoint_url=url, error=exc) from exc
        except TimeoutError as exc:
            raise ReadTimeoutError(endpoint_url=url, error=exc) from exc
        except (OSError, HTTPException) as exc:
            raise ConnectionClosedError(
                endpoint_url=url, request=request, error=exc
            ) from exc
        finally:
            if connection is not None:
                connection.close()
        return response

    def close(self) -> None:
        """Close the connections that no request uses."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _connect(self, parts: SplitResult) -> HTTPConnection:
        host, timeout = parts.hostname or "", self._connect_timeout
        connection = (
            HTTPConnection(host, parts.port, timeout=timeout)
            if parts.scheme == "http"
            else HTTPSConnection(
                host,
                parts.port,
                timeout=timeout,
                ssl_context=create_urllib3_context(),
                cert_reqs="CERT_REQUIRED",
                ca_certs=self._ca_file,
            )
        )
        try:
            # A timeout bounds the connection to one address, and no look-up of a name.
            deadline.call_within(deadline.seconds_left(), connection.connect)
        except BaseException:
            connection.close()
            raise
        return connection


def _pop_connected(idle: deque[HTTPConnection]) -> HTTPConnection | None:
    """Take a connection that the other side is not known to have closed, if any is."""
    while idle:
        try:
            connection = idle.pop()
        except IndexError:  # Another thread took it.
            return None
        if connection.is_connected:
            return connection
        connection.close()
    return None


def _message(request: Any, parts: SplitResult) -> bytes | None:  # noqa: ANN401 - botocore's own
    """Return a request as it goes over the wire; none if it is no plain one."""
    body = request.body
    headers = request.headers
    if not isinstance(body, bytes) or "Content-Length" not in headers:
        return None
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    lines = [
        f"{request.method} {target} HTTP/1.1".encode("ascii"),
        f"Host: {parts.netloc}".encode("ascii"),
        b"Accept-Encoding: identity",
    ]
    for name, value in headers.items():
        text = value if isinstance(value, bytes) else str(value).encode("latin-1")
        lines.append(name.encode("ascii") + b": " + text)
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or "Expect" in headers:
        return None
    return head + b"\r\n\r\n" + body


class _Socket(io.RawIOBase):
    """A socket that is read until a time, after what was read of it before."""

    def __init__(self, sock: socket, ends: float, first: bytes) -> None:
        self._sock, self._ends, self._first = sock, ends, first

    def makefile(self, _mode: str) -> "io.BufferedReader[_Socket]":
        """Return a reader, as http.client asks for it."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever holds bytes
        size = len(buffer)
        some = self._first[:size] or _receive(self._sock, self._ends, size)
        self._first = self._first[size:]
        buffer[: len(some)] = some
        return len(some)


def _receive(sock: socket, ends: float, size: int = _RECEIVED_BYTES) -> bytes:
    """Receive what arrives next; a response ends at a time, however slowly it comes."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
    return sock.recv(size)


def _exchange(
    connection: HTTPConnection, message: bytes, url: str, ends: float
) -> tuple[AWSResponse, bool]:
    """Send a request, and return its response and whether the connection stays open."""
    sock = connection.sock
    sock.sendall(message)
    first = sock.recv(_RECEIVED_BYTES)
    head, end, content = first.partition(b"\r\n\r\n")
    headers = _plain_headers(head) if end else None
    if headers is not None:
        content = _read_content(sock, ends, content, int(headers["content-length"]))
        answer = AWSResponse(url, int(head[9:12]), {}, _Body(content))
        answer.headers = _Headers(headers)
        return answer, True
    with ExitStack() as opened:
        first = _read_head(sock, ends, first)
        reader = cast("socket", _Socket(sock, ends, first))
        response = HTTPResponse(reader, method="POST")
        opened.callback(response.close)
        response.begin()
        content = response.read()
        merged = HTTPHeaderDict(
            (name, _unfolded(value)) for name, value in response.headers.items()
        )
        answer = AWSResponse(url, response.status, merged, _Body(content))
        return answer, not response.will_close


def _read_head(sock: socket, ends: float, first: bytes) -> bytes:
    """Read on until a head is whole: http.client takes one that is cut short for it.

    The response would be one without a body then, and that of a success.
    """
    while len(first) < _HEAD_BYTES_MAX and not re.search(_HEAD_END, first):
        some = _receive(sock, ends)
        if not some:
            raise RemoteDisconnected("The connection was closed within the headers.")
        first += some
    return first


def _read_content(sock: socket, ends: float, first: bytes, length: int) -> bytes:
    """Read a body of a length, of which the first bytes were read."""
    if len(first) >= length:
        return first[:length]
    content = bytearray(first)
    while len(content) < length:
        some = _receive(sock, ends)
        if not some:
            raise IncompleteRead(bytes(content), length - len(content))
        content += some
    return bytes(content[:length])


def _plain_headers(head: bytes) -> dict[str, str] | None:
    """Parse the headers of a response that is framed by its length.

    None where http.client has to judge: of another version or framing, the last on its
    connection, without a body, with a header twice or over several lines.
    """
    status, *lines = head.decode("latin-1").split("\r\n")
    version, _, code_and_phrase = status.partition(" ")
    code = code_and_phrase.partition(" ")[0]
    if version != "HTTP/1.1" or not _CODE.fullmatch(code) or code in _BODILESS:
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.isprintable() or " " in name or "\n" in line:
            return None
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "")
    is_plain = (
        len(headers) == len(lines)
        and length.isascii()
        and length.isdigit()
        and "transfer-encoding" not in headers
        and headers.get("connection", "keep-alive").lower() == "keep-alive"
    )
    return headers if is_plain else None


def _unfolded(value: str) -> str:
    return " ".join(line.strip() for line in value.split("\r\n"))


class _Headers(dict[str, str]):
    """Headers by their names in lower case, looked up by a name in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        """Return the header of a name, or a default."""
        return super().get(name.lower(), default)


class _Body:
    """A body that was read, as botocore takes one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        """Return the parts of the body."""
        return [self._content]
