"""The console's files: what a browser gets, and under which policy."""

import re
from hashlib import sha256

import pytest

from chalicelib.api import console, files
from tests.actors import Actor, Response, Send
from tests.configuring import configure
from tests.readme import ROOT

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
    names = {"console.html", *console.TYPES} - {console.CONFIGURATION}
    sizes = [(files.FILES / name).stat().st_size for name in names]
    library = (files.FILES / "preact.js").read_bytes()

    assert sum(sizes) <= BYTES_MAX
    assert sha256(library).hexdigest() == PREACT


def test_development_tokens_are_offered_on_the_laptop_alone(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is offered to sign in with elsewhere."""
    offered = get(send, "/console/config.json").document
    configure(monkeypatch, auth="oidc")

    assert "alice:producer:member" in offered["tokens"]
    assert get(send, "/console/config.json").document == {"auth": "oidc", "tokens": []}


ISSUER = "https://login.example.org:8443/realms/cloud"


@pytest.mark.parametrize(
    ("auth", "given", "scope"),
    [
        ("oidc", {"CONSOLE_CLIENT_ID": "web"}, "openid"),
        (
            "oidc",
            {"CONSOLE_CLIENT_ID": "web", "CONSOLE_SCOPE": "openid images"},
            "openid images",
        ),
        ("oidc", {"CONSOLE_CLIENT_ID": "", "CONSOLE_SCOPE": "openid"}, None),
        ("keystone", {"CONSOLE_CLIENT_ID": "web"}, None),
    ],
)
def test_the_page_may_call_the_issuer_that_it_signs_in_at(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
    given: dict[str, str],
    scope: str | None,
) -> None:
    """Its origin and no other, and only where the console has a client id."""
    before = get(send, "/console").headers
    configure(monkeypatch, auth=auth)
    monkeypatch.setenv("OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("OIDC_AUDIENCE", "images")
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    # What a browser keeps of another setting is not used.
    kept = {"If-None-Match": before["etag"]}
    page = get(send, "/console", **kept)
    policy = page.headers["content-security-policy"]

    assert page.status == (200 if scope else 304)
    allowed = " https://login.example.org:8443" if scope else ""
    assert f"; connect-src 'self'{allowed}; " in policy
    assert before["cache-control"] == "no-cache"
    configuration = get(send, "/console/config.json")
    assert configuration.headers["cache-control"] == "no-cache"
    expected = {
        "issuer": ISSUER,
        "audience": "images",
        "client_id": "web",
        "scope": scope,
    }
    document = configuration.document
    assert document.get("sign_in") == (expected if scope else None)


def test_each_reason_has_words() -> None:
    """The review of a share says why a pair is refused, not by a code."""
    document = (ROOT / "docs/sharing.md").read_text("utf-8")
    table = document.split("| reason | meaning |\n", 1)[1].split("\n\n", 1)[0]
    script = files.read_file("console.js").split("const REASONS = {", 1)[1]

    reasons = re.findall(r"^\| `(.+?)`", table, re.MULTILINE)
    words = re.findall(r'^  "?([a-z-]+)"?: "', script.split("};", 1)[0], re.MULTILINE)
    assert reasons == words


def test_the_console_goes_with_the_extension(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to show without it."""
    configure(monkeypatch, extension="off")

    assert get(send, "/console").status == 404
    assert get(send, "/console/console.js").status == 404


def test_a_project_finds_its_own_id(consumer: Actor) -> None:
    """It is what a producer needs to share with it."""
    assert consumer.get("/ext/v1").document["project_id"] == "consumer"
