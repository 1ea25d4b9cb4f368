"""
A proxy in front of a server, which passes requests on or fails as a test says.
"""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import urlsplit

HOP = ("connection", "content-length", "date", "server", "transfer-encoding")


@dataclass
class FaultyProxy:
    """
    Its address, how it behaves, the requests that it got, and the last one's headers.

    Faults apply to the requests whose method and path begin with one of `to`.
    `response` is a status and a body sent in place of the server's; `slow` sends
    nothing for as long as it runs, `drops` a byte now and then.
    """

    url: str
    requests: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    to: tuple[str, ...] = ("",)
    response: tuple[int, str] | None = None
    slow: bool = False
    drops: bool = False

    def heal(self) -> None:
        """Remove all faults."""
        self.to, self.response, self.slow, self.drops = ("",), None, False, False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.place = urlsplit(target)
        self.proxy = FaultyProxy(
            f"http://127.0.0.1:{self.server_port}{self.place.path}"
        )
        self.ended = Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = f"{self.command} {self.path}"
        proxy.requests.append(request)
        proxy.headers = dict(self.headers)
        if not request.startswith(proxy.to):
            self._forward(body)
        elif proxy.slow:
            self.server.ended.wait()
        elif proxy.drops:
            self._drip()
        elif proxy.response:
            status, text = proxy.response
            self._respond(status, {"Location": self.server.target}, text.encode())
        else:
            self._forward(body)

    do_GET = do_POST = _serve  # noqa: N815 - http.server's own

    def _forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(self.server.place.netloc, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        self._respond(response.status, dict(response.getheaders()), response.read())
        connection.close()

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        with suppress(OSError):  # Nobody listens any more.
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.server.ended.is_set():
                self.wfile.write(b" ")
                time.sleep(0.05)

    def log_message(self, *_words: object) -> None:
        """Log nothing."""


@contextmanager
def before(target: str) -> Iterator[FaultyProxy]:
    """Run a proxy in front of a server; without a fault at first."""
    server = _Server(target)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.proxy
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
