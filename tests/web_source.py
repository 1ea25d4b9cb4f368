"""A web server that an image is imported from, and that misbehaves as a test says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from tests.configuring import configure


@dataclass
class WebSource:
    """What the server answers to each request, and which ranges it was asked for.

    `statuses` are answered first, one a request. `cut_at` are how many bytes of each
    body are sent before the connection ends; after them, bodies are whole. `rate` is
    how many bytes are sent in a second, if not as many as possible.
    """

    content: bytes
    etag: str | None = '"1"'
    has_ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    cut_at: list[int] = field(default_factory=list)
    announced: int | None = None
    location: str | None = None
    rate: int | None = None
    asked: list[str | None] = field(default_factory=list)
    port: int = 0

    @property
    def uri(self) -> str:
        """Where it is; the query is secret."""
        return f"http://127.0.0.1:{self.port}/image?signature=secret"


@contextmanager
def serving(source: WebSource) -> Iterator[None]:
    """Serve a source on loopback, on any free port, while the context lasts."""
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            source.asked.append(asked)
            if source.statuses:
                self.send_error(source.statuses.pop(0))
                return
            if source.location:
                self.send_response(302)
                self.send_header("Location", source.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content, whole = source.content, len(source.content)
            start = 0
            if asked and source.has_ranges:
                is_same = self.headers.get("If-Range") == source.etag
                start = int(re.findall(r"\d+", asked)[0]) if is_same else 0
            self.send_response(206 if start else 200)
            if start:
                content_range = f"bytes {start}-{whole - 1}/{whole}"
                self.send_header("Content-Range", content_range)
            if source.etag:
                self.send_header("ETag", source.etag)
            body = content[start:]
            length = len(body) if source.announced is None else source.announced
            self.send_header("Content-Length", str(length))
            self.end_headers()
            body = body[: source.cut_at.pop(0)] if source.cut_at else body
            step = source.rate or max(1, len(body))
            with suppress(OSError):  # Nobody reads on.
                for begun in range(0, len(body), step):
                    self.wfile.write(body[begun : begun + step])
                    if source.rate and ended.wait(1):
                        return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        source.port = server.server_port
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        ended.set()
        server.shutdown()


def allow(monkeypatch: pytest.MonkeyPatch, *places: str) -> None:
    """Let images be imported from private addresses, too."""
    configure(monkeypatch, import_allow=",".join(places))
