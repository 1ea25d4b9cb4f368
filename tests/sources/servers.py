"""Servers of sources, and a DNS, that answer what a test gives.

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

Answer = bytes | Callable[[socket.socket], None]


class Server:
    """A server that gives one answer to each connection, and keeps what was asked."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._answers = answers
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
        # Closed after the last answer: who asks for more shall not wait for it.
        with self._listener:
            for answer in self._answers:
                client = self._accept()
                if client is None:
                    return
                # Whoever asks may leave in the middle.
                with client, suppress(OSError):
                    client.settimeout(5)
                    self._secure_and_answer(client, answer)

    def _secure_and_answer(self, client: socket.socket, answer: Answer) -> None:
        if self._tls is None:
            self._answer(client, answer)
            return
        with self._tls.wrap_socket(client, server_side=True) as secure:
            self._answer(secure, answer)

    def _accept(self) -> socket.socket | None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                return self._listener.accept()[0]
        return None

    def _answer(self, client: socket.socket, answer: Answer) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            some = client.recv(4096)
            if not some:
                return
            request += some
        self.requests.append(request.decode())
        if isinstance(answer, bytes):
            client.sendall(answer)
        else:
            answer(client)

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


def answer(
    body: bytes = DATA,
    status: str = "200 OK",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """Write an answer, whose length is right if no other is given."""
    lines = [f"HTTP/1.1 {status}"]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: Any) -> bytes:
    """Write an answer whose body comes in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return answer(body + end, Transfer_Encoding="chunked", **headers)


def part(
    start: int = 100,
    text: str | None = None,
    tag: str | None = TAG,
    body: bytes | None = None,
    **headers: str,
) -> bytes:
    """Write an answer that holds the rest of the data."""
    text = text or f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    if tag:
        headers["ETag"] = tag
    body = DATA[start:] if body is None else body
    return answer(body, "206 Partial Content", None, Content_Range=text, **headers)


def redirect(to: str, status: str = "302 Found") -> bytes:
    """Write a redirect, with a body that nobody reads."""
    return answer(b"elsewhere", status, Location=to)


def read_all(source: sources.Source, n: int = 100) -> bytes:
    """Read a source to its end."""
    data = b""
    with source:
        while some := source.read(n):
            data += some
            if len(some) < n:
                assert source.read(1) == b""
    return data


def refusal(uri: str, allowed: frozenset[Place] = NOBODY) -> str:
    """Return why a source is refused."""
    with pytest.raises(SourceRefused) as refused:
        read_all(open_source(uri, allowed))
    return str(refused.value)


class Names:
    """
    A DNS whose answers a test gives, one set of addresses for each time it is asked.
    """

    def __init__(self, *answers: list[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[Any]:
        """Answer as `socket.getaddrinfo` does."""
        self.asked.append(host)
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answer
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
