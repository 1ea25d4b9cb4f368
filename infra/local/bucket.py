"""The local S3 behind the address of the API: one port, and so one tunnel, is enough.

What goes through is what a client does with a URL that the service signed: it reads an
object, or sends a part. No other path of that server can be reached.
"""

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from infra.local import gateway

METHODS: Final = ("GET", "HEAD", "PUT")
PIECE: Final = 256 * 1024
"""Size of the pieces in which data goes through, in bytes."""

TIMEOUT_SECONDS: Final = 60

_KEY: Final = r"[0-9A-Za-z-]+/[0-9A-Za-z-]+"
_SIGNED: Final = re.compile(r"(?:^|&)X-Amz-Signature=[0-9a-f]+(?:&|$)")
_OF_A_CONNECTION: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""The headers that belong to a connection, and not to what is sent on it."""

_KEPT_BACK: Final = _OF_A_CONNECTION | {
    *("authorization", "host", "origin", "x-auth-token"),
}
"""The headers that are the API's alone: S3 takes nothing that a page sent to it."""

Answer = tuple[int, list[tuple[str, str]], Iterator[bytes]]


@dataclass(frozen=True)
class Bucket:
    """A bucket of the S3 at a URL."""

    url: str
    name: str

    def has(self, method: str, target: str) -> bool:
        """Return whether a request is one with a signed URL of an object."""
        path, _, query = target.partition("?")
        is_key = re.fullmatch(f"/{re.escape(self.name)}/{_KEY}", path)
        return bool(method in METHODS and is_key and _SIGNED.search(query))

    def send(self, method: str, target: str, environ: WSGIEnvironment) -> Answer:
        """Send a request on; its answer comes piece by piece, as S3 gave it.

        Raises:
            OSError: S3 does not answer.
            http.client.HTTPException: It answers something else than HTTP.
        """
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        headers |= {
            name: environ[key]
            for name, key in (
                ("Content-Type", "CONTENT_TYPE"),
                ("Content-Length", "CONTENT_LENGTH"),
            )
            if environ.get(key)
        }
        headers = {
            name: value
            for name, value in headers.items()
            if name.lower() not in _KEPT_BACK
        }
        connection = http.client.HTTPConnection(
            urlsplit(self.url).netloc, timeout=TIMEOUT_SECONDS, blocksize=PIECE
        )
        body = environ["wsgi.input"] if method == "PUT" else None
        if body is not None:
            headers.setdefault("Content-Length", "0")
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        passed = [
            (name, value)
            for name, value in response.getheaders()
            if name.lower() not in _OF_A_CONNECTION
        ]
        return response.status, passed, _pieces(connection, response)

    def behind(self, host: str, response: gateway.Response) -> gateway.Response:
        """Name the API's address in the URLs of a response, where S3's stands."""
        status, headers, content = response
        address = f"http://{host}"
        return (
            status,
            [(name, value.replace(self.url, address)) for name, value in headers],
            content.replace(self.url.encode(), address.encode()),
        )


def _pieces(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse
) -> Iterator[bytes]:
    try:
        while piece := response.read(PIECE):
            yield piece
    finally:
        connection.close()
