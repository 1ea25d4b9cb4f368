"""Downloads with a bearer token: which clients send it on to where S3 would refuse it.

The rows of docs/identity.md, with a server on two names in the place of the service
and of S3.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.clients.terminal import environment

BEARER = "Authorization: Bearer token"
PLAIN = "X-Auth-Token: token"
REQUESTS = (
    "import requests, sys; "
    "name, _, value = sys.argv[2].partition(': '); "
    "response = requests.get(sys.argv[1], headers={name: value}); "
    "response.raise_for_status(); print(response.text, end='')"
)
CURL = ["curl", "-4sSfL"]
WGET = ["wget", "-4nv", "-O", "-"]

pytestmark = [pytest.mark.clients]


class _Handler(BaseHTTPRequestHandler):
    """The service, which redirects, or S3, which takes no second credential."""

    def do_GET(self) -> None:
        if self.path == "/file":
            self.send_response(307 if self._has_token() else 401)
            port = self.headers["host"].rpartition(":")[2]
            self.send_header("Location", f"http://localhost:{port}/object?signature")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(400 if "authorization" in self.headers else 200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"data")

    def _has_token(self) -> bool:
        found = (self.headers["authorization"], self.headers["x-auth-token"])
        return found in {("Bearer token", None), (None, "token")}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """Where the data is asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()


def test_clients_download_as_the_documents_say(url: str, tmp_path: Path) -> None:
    """`X-Auth-Token` always works, a bearer token where it is not sent on."""
    settings = environment(tmp_path) | {"no_proxy": "127.0.0.1,localhost"}

    def works(*command: str) -> bool:
        done = subprocess.run(
            command,
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0 and done.stdout == "data"

    library = (sys.executable, "-c", REQUESTS, url)
    assert works(*CURL, "--oauth2-bearer", "token", url)
    assert works(*CURL, "-H", BEARER, url)
    assert works(*CURL, "-H", PLAIN, url)
    assert works(*library, BEARER)
    assert works(*library, PLAIN)
    if shutil.which("wget"):  # Not every machine that tests has it.
        assert not works(*WGET, "--header", BEARER, url)
        assert works(*WGET, "--header", PLAIN, url)
