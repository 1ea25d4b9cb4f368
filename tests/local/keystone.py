"""An identity service of which there is just as much as a client needs to log in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

PASSWORD = "correct-horse"  # noqa: S105 - it is nobody's
"""The password of all users, and the secret of all application credentials."""


@contextmanager
def keystone(images: str, *tokens: str) -> Iterator[str]:
    """Issue tokens in turn, the last one for good; return the URL.

    With each comes a catalog that tells where the Images service is.
    """
    left = [*tokens]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = {"rel": "self", "href": f"{url}/v3/"}
            version = {"id": "v3.14", "status": "stable", "links": [where]}
            self._respond(200, {"version": version})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # Each way to log in has its secret somewhere else.
            if f'"{PASSWORD}"' not in body.decode():
                message = "The request you have made requires authentication."
                self._respond(401, {"error": {"code": 401, "message": message}})
                return
            endpoint = {"interface": "public", "region": "r", "region_id": "r"}
            service = {"type": "image", "name": "images"}
            issued = {
                "methods": ["password"],
                "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
                "issued_at": "2026-11-24T08:00:00.000000Z",
                "expires_at": "2099-11-24T08:00:00.000000Z",
                "catalog": [{**service, "endpoints": [{**endpoint, "url": images}]}],
            }
            token = left.pop(0) if len(left) > 1 else left[0]
            self._respond(201, {"token": issued}, {"X-Subject-Token": token})

        def _respond(
            self, status: int, document: Any, headers: dict[str, str] | None = None
        ) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
