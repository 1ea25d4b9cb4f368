"""Servers of sources, and a DNS, that respond as a test says.

The servers are real, on loopback; names and public addresses are given by the tests.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest

from chalicelib.background import sources
from chalicelib.background.sources import open_source
from chalicelib.domain.import_uris import Place, SourceRefused

DATA = bytes(range(256)) * 3
PUBLIC = "93.184.215.14"
TAG = '"v1"'
DATE = "Wed, 25 Nov 2026 01:00:00 GMT"
LATER = "Wed, 25 Nov 2026 01:00:01 GMT"
NOBODY: frozenset[Place] = frozenset()

Response = bytes | Callable[[socket.socket], None]


class Server:
    """A server that gives one response to each connection, and keeps what was asked."""

    def __init__(self, *responses: Response, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._responses = responses
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._listener.settimeout(0.02)
        self._stopped = threading.Event()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _serve(self) -> None:
        # Closed after the last response: who asks for more shall not wait for it.
        with self._listener:
            for response in self._responses:
                client = self._accept()
                if client is None:
                    return
                # A client may disconnect in the middle.
                with client, suppress(OSError):
                    client.settimeout(5)
                    self._secure_and_respond(client, response)

    def _secure_and_respond(self, client: socket.socket, response: Response) -> None:
        if self._tls is None:
            self._respond(client, response)
            return
        with self._tls.wrap_socket(client, server_side=True) as secure:
            self._respond(secure, response)

    def _accept(self) -> socket.socket | None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                return self._listener.accept()[0]
        return None

    def _respond(self, client: socket.socket, response: Response) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            received = client.recv(4096)
            if not received:
                return
            request += received
        self.requests.append(request.decode())
        if isinstance(response, bytes):
            client.sendall(response)
        else:
            response(client)

    @property
    def allowed(self) -> frozenset[Place]:
        """The setting that allows this server by its names, and no other."""
        return frozenset({("127.0.0.1", self.port), ("localhost", self.port)})

    def uri(self, path: str = "/image", host: str = "127.0.0.1") -> str:
        """Return where it serves."""
        return f"http://{host}:{self.port}{path}"

    def open(self, start: int = 0, **known: Any) -> sources.Source:
        """Open the source that it serves."""
        return open_source(self.uri(), self.allowed, start, **known)


def response(
    body: bytes = DATA,
    status: str = "200 OK",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """Write a response, whose length is right if no other is given."""
    lines = [f"HTTP/1.1 {status}"]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: Any) -> bytes:
    """Write a response whose body comes in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return response(body + end, Transfer_Encoding="chunked", **headers)


def part(
    start: int = 100,
    text: str | None = None,
    tag: str | None = TAG,
    body: bytes | None = None,
    **headers: str,
) -> bytes:
    """Write a response that holds the rest of the data."""
    text = text or f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    if tag:
        headers["ETag"] = tag
    body = DATA[start:] if body is None else body
    return response(body, "206 Partial Content", None, Content_Range=text, **headers)


def redirect(to: str, status: str = "302 Found") -> bytes:
    """Write a redirect, with a body that nobody reads."""
    return response(b"elsewhere", status, Location=to)


def read_all(source: sources.Source, n: int = 100) -> bytes:
    """Read a source to its end."""
    data = b""
    with source:
        while received := source.read(n):
            data += received
            if len(received) < n:
                assert source.read(1) == b""
    return data


def refusal(uri: str, allowed: frozenset[Place] = NOBODY) -> str:
    """Return why a source is refused."""
    with pytest.raises(SourceRefused) as refused:
        read_all(open_source(uri, allowed))
    return str(refused.value)


class Names:
    """
    A DNS whose responses a test gives, one set of addresses for each time it is asked.
    """

    def __init__(self, *responses: list[str] | OSError) -> None:
        self._responses = list(responses)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[Any]:
        """Answer as `socket.getaddrinfo` does."""
        self.asked.append(host)
        response = self._responses.pop(0)
        if isinstance(response, OSError):
            raise response
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in response
        ]


@contextmanager
def internet(
    monkeypatch: pytest.MonkeyPatch, server: Server, peer: str | None = None
) -> Iterator[list[Any]]:
    """Let a server stand for each public address; return the addresses connected to."""
    dialled: list[Any] = []

    class Routed(socket.socket):
        to: Any = None

        def connect(self, address: Any) -> None:
            dialled.append(address)
            self.to = address
            super().connect(("127.0.0.1", server.port))

        def getpeername(self) -> Any:
            return (peer or self.to[0], self.to[1])

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Routed)
        yield dialled
