"""A proxy between a client and the servers on this machine: it sees what is sent.

It can hold what comes after so many parts, and spoil the first tries of a part.
"""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

CUT = ""
"""Stands for a response that never comes: the connection is cut."""


@dataclass
class Proxy:
    """What the proxy has seen, and what it does to the parts that are sent to S3.

    The `kept` are the numbers of those that S3 took, in order. After `passed` of them
    the next are held, which `holds` tells. What is in `spoiled`, such as
    `500 InternalError`, is answered before a part gets through.
    """

    passed: int | None = None
    spoiled: dict[int, list[str]] = field(default_factory=dict)
    url: str = ""
    kept: list[int] = field(default_factory=list)
    holds: Event = field(default_factory=Event)
    goes_on: Event = field(default_factory=Event)
    is_over: bool = False

    def go_on(self) -> None:
        """Let through what was held, and all that comes."""
        self.passed = None
        self.goes_on.set()


@contextmanager
def proxied(
    passed: int | None = None, spoiled: dict[int, list[str]] | None = None
) -> Iterator[Proxy]:
    """Run a proxy while the context lasts; what it holds then, is never sent."""
    proxy = Proxy(passed=passed, spoiled=spoiled or {})

    class Handler(_Handler):
        seen = proxy

    server = _Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        proxy.is_over = True
        proxy.goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: Any) -> None:
        # A client that was killed, or that has enough.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*arguments)


class _Handler(BaseHTTPRequestHandler):
    seen: Proxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match = re.search(r"[?&]partNumber=(\d+)", self.path)
        number = int(match[1]) if match and self.command == "PUT" else 0
        if number and not self._gets_through(number):
            return
        target = urlsplit(self.path)
        connection = HTTPConnection(target.netloc, timeout=60)
        path = f"{target.path}?{target.query}" if target.query else target.path
        connection.request(self.command, path, body or None, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if number and response.status == 200:
            self.seen.kept.append(number)
        self._respond(response.status, content)

    def _gets_through(self, number: int) -> bool:
        if self.seen.passed is not None and len(self.seen.kept) >= self.seen.passed:
            self.seen.holds.set()
            self.seen.goes_on.wait()
            if self.seen.is_over:
                return False
        if not self.seen.spoiled.get(number):
            return True
        status, _, code = self.seen.spoiled[number].pop(0).partition(" ")
        if status == CUT:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            error = (
                f"<Error><Code>{code}</Code><Resource>{self.path}</Resource></Error>"
            )
            self._respond(int(status), error.encode())
        return False

    def _respond(self, status: int, content: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep silent."""

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815 - as it must be
