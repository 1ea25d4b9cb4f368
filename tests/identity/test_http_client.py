"""The HTTP client of identity: what it sends, and what it takes for a response."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chalicelib.identity import http_client
from chalicelib.identity.http_client import (
    RESPONSE_BYTES_MAX,
    Response,
    UpstreamError,
    is_query,
    is_safe_url,
    is_url,
    new_deadline,
    send_request,
)


class _Echo(BaseHTTPRequestHandler):
    """Responds with what it was sent; to `/large-N` with N bytes.

    To `/open-N` also with N bytes, but without an end until the client closes.
    """

    def _respond(self) -> None:
        length = self.headers.get("Content-Length")
        sent = [self.command, self.path, self.headers["X-Test"], length]
        body = json.dumps([*sent, self.rfile.read(int(length or 0)).decode()]).encode()
        if self.path.startswith(("/large-", "/open-")):
            body = b" " * int(self.path.rpartition("-")[2])
        self.send_response(203)
        self.send_header("X-Subject-Token", "Kept")
        self.end_headers()
        self.wfile.write(body)
        if self.path.startswith("/open-"):
            self.rfile.read(1)

    do_GET = do_POST = _respond  # noqa: N815 - http.server's own

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def send(url: str, method: str = "GET", document: Any = None) -> Response:
    """Send a request that has ten seconds."""
    return send_request(
        method,
        url,
        headers={"X-Test": "yes"},
        deadline=time.monotonic() + 10,
        document=document,
    )


@pytest.mark.parametrize(
    ("method", "target", "document", "body"),
    [
        ("GET", "/", None, None),
        ("GET", "/v3/auth/tokens?nocatalog", None, None),
        ("POST", "/v3?a=b&c", {"a": [1]}, '{"a": [1]}'),
        ("POST", "/v3", {}, "{}"),
    ],
)
def test_a_request_is_sent_as_it_is(
    url: str, method: str, target: str, document: Any, body: str | None
) -> None:
    """Its query too; names of the response's headers are in lower case."""
    response = send(url + target, method, document)

    length = None if body is None else str(len(body))
    assert json.loads(response.body) == [method, target, "yes", length, body or ""]
    assert response.status == 203
    assert response.headers["x-subject-token"] == "Kept"


def test_a_response_is_bounded(url: str) -> None:
    """To a million bytes; what comes behind them is not waited for."""
    assert len(send(f"{url}/large-{RESPONSE_BYTES_MAX}").body) == RESPONSE_BYTES_MAX
    for kind in ("large", "open"):
        with pytest.raises(UpstreamError, match="too large"):
            send(f"{url}/{kind}-{RESPONSE_BYTES_MAX + 1}")


def test_a_request_whose_time_is_over_is_not_sent() -> None:
    """Nobody is even connected to."""
    with pytest.raises(UpstreamError, match="deadline passed"):
        send_request(
            "GET", "http://127.0.0.1:1/", headers={}, deadline=time.monotonic()
        )


def test_a_failure_is_named_without_its_text() -> None:
    """Which may quote a header; the port has no server."""
    with pytest.raises(UpstreamError) as failed:
        send("http://127.0.0.1:1/")

    assert str(failed.value) == "127.0.0.1:1: ConnectionRefusedError."
    assert failed.value.__cause__ is None


@pytest.mark.parametrize("body", [b"", b"[]", b'"a"', b"{", b"\xff", b"[" * 100_000])
def test_a_document_is_an_object(body: bytes) -> None:
    """Of JSON."""
    with pytest.raises(UpstreamError, match="not a JSON object"):
        Response(200, {}, body).document()

    assert Response(200, {}, b'{"a": 1}').document() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "url", "safe"),
    [
        ("https://k.example.org:1/a%20b", True, True),
        ("https://k?a", False, False),
        ("https://k:0", False, False),
        ("https://k:65536", False, False),
        ("https://kä.example.org", False, False),
        ("http://k", True, False),
        ("http://localhost", True, True),
        ("http://127.0.0.1:5000/v3", True, True),
        ("http://[::1]/", True, True),
        ("http://localhost.example.org", True, False),
        ("http://127.0.0.1/?a", False, False),
    ],
)
def test_a_url_is_safe_by_its_scheme_or_place(
    text: str, *, url: bool, safe: bool
) -> None:
    """Of https, or of this machine."""
    assert (is_url(text), is_safe_url(text)) == (url, safe)


@pytest.mark.parametrize(
    ("text", "valid"), [("", True), ("a=b&c", True), ("a b", False), ("a#b", False)]
)
def test_a_query_has_no_fragment(text: str, *, valid: bool) -> None:
    """Nor blanks."""
    assert is_query(text) is valid


def test_a_deadline_is_the_clients_or_the_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ends first."""
    for left, seconds in ((100.0, 8.0), (3.0, 3.0)):
        monkeypatch.setattr(http_client, "seconds_left", lambda left=left: left)
        before = time.monotonic()
        assert before + seconds <= new_deadline() <= time.monotonic() + seconds
