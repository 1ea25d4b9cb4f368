"""A Keystone whose certificate is of a private CA, which only a secret names."""

import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest

from chalicelib.errors import Unavailable
from chalicelib.identity.methods import choose_identity
from tests.identity.asking import ask, refusal
from tests.sources.test_connections import certificate

EXPIRES = "2100-01-01T00:00:00.000000Z"
PROJECT = {"id": "producer"}
TOKEN = {"expires_at": EXPIRES, "user": {"id": "someone"}, "project": PROJECT}
CREDENTIAL = {
    "OS_APPLICATION_CREDENTIAL_ID": "id",
    "OS_APPLICATION_CREDENTIAL_SECRET": "secret",
}


class _Keystone(BaseHTTPRequestHandler):
    """Knows every token as one of a project's."""

    def do_POST(self) -> None:
        self._respond(201)

    def do_GET(self) -> None:
        self._respond(200)

    def _respond(self, status: int) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"token": TOKEN | {"roles": [{"name": "member"}]}}).encode()
        self.send_response(status)
        self.send_header("X-Subject-Token", "own")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that do not trust it."""


@pytest.fixture
def keystone(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its URL, and the file of its CA."""
    file, context = certificate(tmp_path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    server = _Server(("127.0.0.1", 0), _Keystone)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://localhost:{server.server_port}/v3", file
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("place", ["file", "secret", "nowhere", "damaged"])
def test_a_private_ca_is_trusted_where_it_is_named(
    place: str, keystone: tuple[str, Path]
) -> None:
    """By a file, or by its certificate in the secret; without it there is no answer."""
    url, file = keystone
    values, environ = dict(CREDENTIAL), {"OS_AUTH_URL": url}
    if place == "file":
        environ["OS_CACERT"] = str(file)
    elif place == "secret":
        values["OS_CACERT"] = file.read_text("utf-8")
    elif place == "damaged":
        values["OS_CACERT"] = "-----BEGIN CERTIFICATE-----\nnone\n"
    aws = boto3.client("secretsmanager", "us-east-1")
    secret = aws.create_secret(Name=f"ca-{place}", SecretString=json.dumps(values))
    environ["KEYSTONE_CREDENTIAL"] = secret["ARN"]
    identify = choose_identity("keystone", environ)

    if place in {"file", "secret"}:
        assert ask(identify, "token").project_id == "producer"
    else:
        assert isinstance(refusal(identify, "token"), Unavailable)
