"""The local S3 behind the API's address: what gets through to it, and what does not."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from chalice.app import Chalice, Response

from infra.local import server
from infra.local.bucket import PIECE, Bucket
from infra.local.storage import storage
from tests.local.test_storage import Bucket as Client

CONTENT = bytes(range(256)) * 20_000
SIGNED = "X-Amz-Signature=0a1b"
KEY = "6b1f-9c27/01-ab"

# They share the services that others start.
pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a local S3, with a bucket."""
    with storage() as url:
        Client(url)
        yield url


@pytest.fixture(scope="module")
def api(s3: str) -> Iterator[str]:
    """The address of an app that answers with URLs of that S3, and has it behind it."""
    app = Chalice("urls")

    @app.route("/urls")
    def urls() -> Response:
        url = f"{s3}/images/{KEY}?{SIGNED}"
        return Response(json.dumps({"url": url}), headers={"Location": url})

    with server.serve(app, bucket=Bucket(s3, "images")) as url:
        yield urlsplit(url).netloc


def ask(
    api: str, method: str, target: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request; return the status, headers and body of its answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(api, timeout=60)
    try:
        connection.request(method, target, body, named)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return response.status, fields, response.read()
    finally:
        connection.close()


def test_a_signed_url_has_the_address_that_the_client_used(api: str) -> None:
    """As through a tunnel, whose end has another port: in headers and documents."""
    _, headers, body = ask(api, "GET", "/urls", Host="localhost:9999")

    url = f"http://localhost:9999/images/{KEY}?{SIGNED}"
    assert (headers["location"], json.loads(body)) == (url, {"url": url})


def test_an_object_goes_through_both_ways(api: str) -> None:
    """In pieces, with what S3 says of it, whole or a range."""
    target = f"/images/{KEY}?{SIGNED}"
    wrong, _, refusal = ask(api, "PUT", target, b"data", Content_MD5="data")
    put, _, _ = ask(api, "PUT", target, CONTENT)
    whole, headers, body = ask(api, "GET", target, X_Auth_Token="a:b:member")
    part, _, content = ask(api, "GET", target, Range="bytes=10-19")
    beyond, _, _ = ask(api, "GET", target, Range=f"bytes={len(CONTENT)}-")
    head, fields, nothing = ask(api, "HEAD", target)

    assert len(CONTENT) > PIECE
    assert (wrong, b"InvalidDigest" in refusal, put) == (400, True, 200)
    assert (whole, body) == (200, CONTENT)
    assert headers["content-length"] == fields["content-length"] == str(len(CONTENT))
    assert headers["etag"] == fields["etag"]
    assert (part, content, beyond) == (206, CONTENT[10:20], 416)
    assert (head, nothing) == (200, b"")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/moto-api/data.json"),
        ("GET", f"/moto-api/data.json?{SIGNED}"),
        ("POST", f"/moto-api/reset?{SIGNED}"),
        ("GET", f"/images/../moto-api/data.json?{SIGNED}"),
        ("GET", f"/images/..%2Fmoto-api/data?{SIGNED}"),
        ("GET", f"/images/{KEY}"),
        ("GET", f"/images?{SIGNED}"),
        ("GET", f"/other/{KEY}?{SIGNED}"),
        ("GET", f"http://127.0.0.1:9/other/{KEY}?{SIGNED}"),
        ("DELETE", f"/images/{KEY}?{SIGNED}"),
        ("POST", f"/images/{KEY}?uploads&{SIGNED}"),
    ],
)
def test_nothing_else_reaches_it(api: str, method: str, target: str) -> None:
    """But for signed reads and parts of objects, it is the app that answers."""
    status, headers, _ = ask(api, method, target)

    assert (status, "x-openstack-request-id" in headers) == (403, True)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/images", {"Origin": "http://evil.example"}),
        ("/images", {"Host": "evil.example"}),
        ("/moto-api/data.json", {}),
        ("//moto-api/data.json", {}),
    ],
)
def test_a_page_in_a_browser_reaches_it_by_no_other_port(
    s3: str, target: str, headers: dict[str, str]
) -> None:
    """The port of its own answers clients of S3, which name it and no origin."""
    address = urlsplit(s3).netloc

    status, answered, body = ask(address, "GET", target, None, **headers)

    assert (status, body) == (403, b"")
    assert "access-control-allow-origin" not in answered
    assert ask(address, "GET", "/images")[0] == 200


def test_an_s3_that_is_gone_is_a_bad_gateway() -> None:
    """The client learns no more."""
    with server.serve(
        Chalice("none"), bucket=Bucket("http://127.0.0.1:9", "images")
    ) as url:
        status, _, body = ask(urlsplit(url).netloc, "GET", f"/images/{KEY}?{SIGNED}")

    assert (status, b"127.0.0.1" in body) == (502, False)
