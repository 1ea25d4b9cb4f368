"""The console's files: what a browser gets, and under which policy."""

from dataclasses import replace
from hashlib import sha256

import pytest

from chalicelib import settings
from chalicelib.api import console, files
from tests.actors import Actor, Response, Send

PREACT = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"
"""The SHA-256 of `preact/standalone.module.js` of htm 3.1.1, as npm has it."""

BYTES_MAX = 60_000


def get(send: Send, target: str, **headers: str) -> Response:
    """Ask as a browser that has no token."""
    return send("GET", target, headers, b"")


def test_the_console_needs_no_token_and_no_other_origin(send: Send) -> None:
    """Its page names its files; its policy allows its own origin alone."""
    page = get(send, "/console")

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert b"//" not in page.body
    for name in console.TYPES:
        file = get(send, f"/console/{name}")
        assert (file.status, file.headers["content-type"]) == (200, console.TYPES[name])
        again = get(send, f"/console/{name}", **{"If-None-Match": file.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
    assert get(send, "/console/other").status == 404


def test_the_console_is_small_and_its_library_is_as_published() -> None:
    """At most 60 kB, one library, pinned."""
    sizes = [path.stat().st_size for path in files.FILES.glob("console*")]
    library = (files.FILES / "preact.js").read_bytes()

    assert sum(sizes) + len(library) <= BYTES_MAX
    assert sha256(library).hexdigest() == PREACT


def test_development_tokens_are_offered_on_the_laptop_alone(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is offered to sign in with elsewhere."""
    offered = get(send, "/console/config.json").document
    elsewhere = replace(settings.current, auth="oidc")
    monkeypatch.setattr(settings, "current", elsewhere)

    assert "alice:producer:member" in offered["tokens"]
    assert get(send, "/console/config.json").document == {"auth": "oidc", "tokens": []}


def test_the_console_goes_with_the_extension(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to show without it."""
    monkeypatch.setattr(settings, "current", replace(settings.current, extension="off"))

    assert get(send, "/console").status == 404
    assert get(send, "/console/console.js").status == 404


def test_a_project_finds_its_own_id(consumer: Actor) -> None:
    """It is what a producer needs to share with it."""
    assert consumer.get("/ext/v1").document["project_id"] == "consumer"
