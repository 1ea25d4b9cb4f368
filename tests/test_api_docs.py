"""The page of the API: what it needs, and what it is served with."""

import json
import re
from hashlib import sha256

import pytest

from chalicelib.api import files
from tests import openapi
from tests.actors import Send

RAPIDOC = (
    "9.3.8",
    "affbd173a65e870e18f392cca963113bcdafb6e50e88cd2f6a834a65b22db94d",
)
"""The version, and the SHA-256 of `dist/rapidoc-min.js` in npm's package `rapidoc`."""

RESPONSE_MAX = 6_000_000
"""What Lambda may answer, in bytes of JSON."""

PATHS = ("/docs", "/docs/openapi.json", "/docs/rapidoc-min.js")


@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_served_to_anyone(send: Send, path: str) -> None:
    """Without a token, cached for an hour, and a cache asks only whether it changed."""
    response = send("GET", path, {}, b"")
    etag = response.headers["etag"]
    unchanged = [
        send("GET", path, {"If-None-Match": known}, b"")
        for known in (etag, f"W/{etag}", f'"other", {etag}')
    ]
    changed = send("GET", path, {"If-None-Match": '"other"'}, b"")

    assert (response.status, changed.status) == (200, 200)
    assert response.headers["cache-control"] == "max-age=3600"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert [(one.status, one.body) for one in unchanged] == [(304, b"")] * 3
    assert {one.headers["etag"] for one in unchanged} == {etag}


def test_the_page_needs_nothing_else(send: Send) -> None:
    """No other server, and no script of its own text: its policy allows neither."""
    response = send("GET", "/docs", {}, b"")

    page = response.body.decode()
    names = re.findall(r'(?:src|href|spec-url)="(?!data:)([^"]+)"', page)
    assert {f"/{name}" for name in names} == set(PATHS[1:])
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert 'load-fonts="false"' in page
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= {
        *policy
    }
    assert not [rule for rule in policy if "http" in rule or "eval" in rule]


def test_the_document_names_the_service_as_the_client_reached_it(send: Send) -> None:
    """Behind a stage or a domain: the page calls it there."""
    headers = {"Host": "images.example.org", "X-Forwarded-Proto": "https"}
    answer = send("GET", "/docs/openapi.json", headers, b"")

    document = answer.document
    assert document.pop("servers") == [{"url": "https://images.example.org"}]
    assert document == {
        name: openapi.DESCRIPTION[name]
        for name in openapi.DESCRIPTION
        if name != "servers"
    }


def test_another_file_is_not_served(send: Send) -> None:
    """Nor one of another folder."""
    for name in ("docs.html", "..%2Fdocs.py", "rapidoc-min.js.LICENSE.txt", "x"):
        assert send("GET", f"/docs/{name}", {}, b"").status == 404


def test_the_script_is_that_of_its_makers() -> None:
    """Byte for byte, with its licences beside it; and fits into a response."""
    version, digest = RAPIDOC
    script = (files.FILES / "rapidoc-min.js").read_bytes()

    assert sha256(script).hexdigest() == digest
    assert script.startswith(f"/*! RapiDoc {version} ".encode())
    licences = (files.FILES / "rapidoc-min.js.LICENSE.txt").read_text("utf-8")
    assert "MIT License" in licences
    assert len(json.dumps(script.decode())) < RESPONSE_MAX
