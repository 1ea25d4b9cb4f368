"""A server that plays bytes to clients of DynamoDB, and two clients to compare.

One client is botocore's own, the other the service's: both read the same bytes.
"""

import json
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any, Self

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from chalicelib import aws

CLOSE = b"close"
"""Ends the connection, in the place of a response."""

SILENCE = b"silence"
"""Lets the client wait for a response."""

DRIP = b"drip"
"""Before a response: sends a byte of it now and then, as long as the client waits."""

DATE = "Sat, 28 Nov 2026 07:00:00 GMT"


def answer(body: Any, status: str = "200 OK", **headers: str) -> bytes:
    """Return a response as DynamoDB sends it; *headers* win, an empty one is left out.

    A body that is no bytes is sent as JSON.
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {
        "Server": "Server",
        "Date": DATE,
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": str(len(content)),
        "Connection": "keep-alive",
        "x-amzn-RequestId": "0RHJQ2V0R1JNQ6V6M3CNN2ACF3VV4KQNSO5AEMVJF66Q9ASUAAJG",
        "x-amz-crc32": str(zlib.crc32(content)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in all_headers.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + content


class Server:
    """A server on loopback that sends one response after another, on any connection."""

    def __init__(
        self, responses: Sequence[bytes], tls: ssl.SSLContext | None = None
    ) -> None:
        self._responses, self._tls = iter(responses), tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.02)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        self.closed = threading.Event()

    @property
    def connections(self) -> int:
        """How many connections it got."""
        return len(self._sockets)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _listen(self) -> None:
        with self._listener:
            while not self._stopped.is_set():
                with suppress(TimeoutError):
                    plain, _ = self._listener.accept()
                    self._sockets.append(plain)
                    talk = threading.Thread(target=self._talk, args=[plain])
                    self._threads.append(talk)
                    talk.start()

    def _talk(self, plain: socket.socket) -> None:
        with plain, suppress(OSError):
            plain.settimeout(5)
            if self._tls is None:
                self._respond(plain)
            else:
                with self._tls.wrap_socket(plain, server_side=True) as secure:
                    self._respond(secure)
        self.closed.set()

    def _drip(self, client: socket.socket, content: bytes) -> None:
        for byte in content:
            client.sendall(bytes([byte]))
            if self._stopped.wait(0.05):
                return

    def _respond(self, client: socket.socket) -> None:
        with client.makefile("rb") as sent:
            while request := _read_request(sent):
                self.requests.append(request)
                response = next(self._responses, CLOSE)
                if response == SILENCE:
                    self._stopped.wait(5)
                if response in (CLOSE, SILENCE):
                    return
                if response.startswith(DRIP):
                    self._drip(client, response.removeprefix(DRIP))
                    return
                content = response.removesuffix(CLOSE)
                client.sendall(content)
                if content != response:
                    return


def _read_request(sent: Any) -> bytes:
    head: list[bytes] = []
    while (line := sent.readline()) not in (b"\r\n", b""):
        head.append(line)
    lengths = [line.split(b":")[1] for line in head if line.startswith(b"Content-Len")]
    return b"".join(head) + b"".join(sent.read(int(length)) for length in lengths)


@cache
def _botocores() -> Any:
    return get_session()


@contextmanager
def client(url: str, *, is_ours: bool = True, read_timeout: float = 5) -> Iterator[Any]:
    """Make a client of DynamoDB, with the timeouts and retries of a test."""
    session = aws.session() if is_ours else _botocores()
    made = session.create_client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=1,
            parameter_validation=not is_ours,  # As PynamoDB's client.
            read_timeout=read_timeout,
        ),
    )
    with ExitStack() as stack:
        stack.callback(made.close)
        if is_ours:
            stack.callback(aws.speed_up(made).close)
        yield made


def outcome(made: Any, operation: str, parameters: Any) -> Any:
    """Return what a call returned or raised, in a form to compare."""
    try:
        return getattr(made, operation)(**parameters)
    except ClientError as exc:
        return type(exc).__name__, str(exc), exc.response
    except BotoCoreError as exc:
        return type(exc)


@contextmanager
def without_backoff() -> Iterator[None]:
    """Let botocore retry at once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("botocore.endpoint.time.sleep", lambda _: None)
        yield
