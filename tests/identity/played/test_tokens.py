"""What the service asks a played Keystone about a token, believes and remembers."""

import time
from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity import keystone as client
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.http_client import WAIT_SECONDS_MAX, Response
from chalicelib.identity.methods import Identify, choose_identity
from tests.identity.asking import ask, refusal, refused
from tests.identity.played.conftest import APPLICATION, Frozen, Played, described
from tests.identity.test_keystone_asked import BROKEN
from tests.identity.test_settings import ARN, KEYSTONE

URL = "https://keystone.example.org/v3/auth/tokens?nocatalog"
IMAGES = "/v2/images"
PASSWORD_AUTH = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {
                    "name": "images",
                    "domain": {"name": "Default"},
                    "password": "secret",
                }
            },
        },
        "scope": {"project": {"name": "service", "domain": {"id": "default"}}},
    }
}


def test_keystone_is_asked_as_it_prescribes(identify: Identify, played: Played) -> None:
    """The service signs in, then sends both tokens, within one deadline for both."""
    before = time.monotonic()

    assert ask(identify, "good") == Caller("project", "user", Role.MEMBER, "req-1")

    deadlines = {request.pop("deadline") for request in played.asked}
    assert len(deadlines) == 1
    assert 0 < deadlines.pop() - before <= WAIT_SECONDS_MAX + 1
    assert played.asked == [
        {
            "method": "POST",
            "url": URL,
            "headers": {"Content-Type": "application/json"},
            "document": PASSWORD_AUTH,
            "authorities": None,
        },
        {
            "method": "GET",
            "url": URL,
            "headers": {
                "X-Auth-Token": "own-1",
                "X-Subject-Token": "good",
                "OpenStack-Identity-Access-Rules": "1.0",
            },
            "authorities": None,
        },
    ]


def test_the_named_authorities_are_trusted_in_each_request(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the file, or of the secret."""
    monkeypatch.setattr(
        "chalicelib.identity.service_credentials.tls_context", lambda _: None
    )
    played.secret = {**APPLICATION, "OS_CACERT": "/theirs"}
    named = choose_identity("keystone", KEYSTONE | {"OS_CACERT": "/ours"})
    kept = choose_identity(
        "keystone", {"OS_AUTH_URL": URL[:-22], "KEYSTONE_CREDENTIAL": ARN}
    )

    ask(named, "good")
    ask(kept, "good")

    authorities = [request.get("authorities", "none") for request in played.asked]
    assert authorities == ["/ours", "/ours", "none", "/theirs", "/theirs"]


@pytest.mark.parametrize(
    ("token", "subject"),
    [
        ("good==", "good"),
        ("goodX", "goodX"),
        ("=good", "=good"),
        ("x" * 4096, "x" * 4096),
        ("x" * 4096 + "=", "x" * 4096),
        ("x", "x"),
        ("x" * 4097, None),
        ("=", None),
        ("", None),
        ("a b", None),
    ],
    ids=lambda text: None if text is None or len(text) < 10 else str(len(text)),
)
def test_what_may_be_a_token_is_asked_about(
    identify: Identify, played: Played, token: str, subject: str | None
) -> None:
    """Without the `=` at its end, which Keystone does not look at."""
    played.tokens.clear()

    assert refused(identify, token)

    asked = [one["headers"]["X-Subject-Token"] for one in played.asked[1:]]
    assert asked == ([] if subject is None else [subject])


def test_a_refusal_names_keystone(identify: Identify) -> None:
    """The client learns where to get a token."""
    refused = refusal(identify, "bad")

    assert isinstance(refused, Unauthorized)
    challenge = 'Keystone uri="https://keystone.example.org/v3"'
    assert refused.headers == {"WWW-Authenticate": challenge}


@pytest.mark.parametrize(
    ("changes", "caller"),
    [
        ({"roles": []}, ("project", "user", Role.NONE)),
        ({"roles": [{"name": "Reader"}]}, ("project", "user", Role.READER)),
        (
            {"roles": [{"name": "reader"}, {"name": "ADMIN"}, {"name": "auditor"}]},
            ("project", "user", Role.ADMIN),
        ),
        ({"application_credential": None}, ("project", "user", Role.MEMBER)),
        ({"application_credential": {"id": "a"}}, ("project", "user", Role.MEMBER)),
        ({"project": None}, ("", "user", Role.NONE)),
        ({"project": None, "user": {"id": "a/b"}}, ("", "a/b", Role.NONE)),
    ],
)
def test_a_token_is_whom_keystone_describes(
    identify: Identify,
    played: Played,
    changes: dict[str, Any],
    caller: tuple[str, str, Role],
) -> None:
    """With the highest role that it has; without a project, with none."""
    played.tokens["good"] = described(**changes)

    assert ask(identify, "good") == Caller(*caller, "req-1")


def test_a_token_without_roles_or_project_has_no_role(
    identify: Identify, played: Played
) -> None:
    """Keystone leaves out what an unscoped token has not."""
    for name in ("roles", "project"):
        del played.tokens["good"][name]

    assert ask(identify, "good") == Caller("", "user", Role.NONE, "req-1")


@pytest.mark.parametrize(
    "changes",
    [{"user": {"id": "a/b"}}, {"project": {"id": "a/b"}}, {"user": {"id": 1}}],
)
def test_an_id_that_could_be_no_projects_is_not_believed(
    identify: Identify, played: Played, changes: dict[str, Any]
) -> None:
    """Of the user as of the project: keys of the table are made of it."""
    played.tokens["good"] = described(**changes)

    assert isinstance(refusal(identify, "good"), Unavailable)


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
def test_a_description_without_its_form_is_503(
    identify: Identify,
    played: Played,
    monkeypatch: pytest.MonkeyPatch,
    response: tuple[int, str],
) -> None:
    """Never a pass, and nothing of it is remembered."""
    status, body = response
    sent = Response(status, {}, body[:100_000].encode())
    with monkeypatch.context() as broken:
        broken.setattr(
            client,
            "send_request",
            lambda method, url, **parts: (
                sent if method == "GET" else played.send(method, url, **parts)
            ),
        )
        assert isinstance(refusal(identify, "good"), Unavailable)

    assert ask(identify, "good").role is Role.MEMBER


def rule(method: str, path: str, service: str = "image") -> dict[str, str]:
    """Make an access rule."""
    return {"service": service, "method": method, "path": path}


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        (None, True),
        ([], False),
        ([rule("GET", IMAGES)], True),
        ([rule("POST", IMAGES)], False),
        ([rule("GET", "/v2/schemas/*")], False),
        ([rule("POST", "/**"), rule("GET", "/v2/*")], True),
        ([rule("GET", IMAGES, "compute")], False),
        ([rule("POST", "/")] * 49 + [rule("GET", IMAGES)], True),
        ([rule("POST", "/")] * 50 + [rule("GET", IMAGES)], False),
        ([rule("GET", "/", "compute")] * 50 + [rule("GET", IMAGES)], True),
    ],
)
def test_access_rules_are_all_that_a_token_permits(
    identify: Identify, played: Played, rules: Any, *, passes: bool
) -> None:
    """By method and path, of the service `image`; also when the token is remembered."""
    played.tokens["good"] = described(application_credential={"access_rules": rules})

    for _ in range(2):
        try:
            assert ask(identify, "good").role is Role.MEMBER
            assert passes
        except Unauthorized:
            assert not passes
    assert played.methods() == "POST GET"


def test_access_rules_hold_without_a_project(
    identify: Identify, played: Played
) -> None:
    """A token that permits little does not permit more for having no role."""
    rules = {"access_rules": [rule("GET", "/v2/schemas/*")]}
    played.tokens["good"] = described(project=None, application_credential=rules)

    assert refused(identify, "good")


def test_a_rule_of_one_request_is_none_of_another(
    identify: Identify, played: Played
) -> None:
    """A token that is remembered is held to its rules each time."""
    rules = {"access_rules": [rule("GET", IMAGES)]}
    played.tokens["good"] = described(application_credential=rules)
    ask(identify, "good")

    for method, path in (("POST", IMAGES), ("GET", f"{IMAGES}/x")):
        with pytest.raises(Unauthorized):
            identify(Incoming(method, path, {"x-auth-token": "good"}, "req-1"))
    assert played.methods() == "POST GET"


def test_a_token_is_remembered_for_a_minute(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """So long one that was revoked may go on, and not at its end or after it."""
    played.tokens["short"] = described(30)
    for token in ("good", "short"):
        ask(identify, token)
    played.tokens.clear()
    assert played.methods() == "POST GET GET"

    clock.advance(29.9)
    ask(identify, "short")
    clock.advance(0.1)
    assert refused(identify, "short")
    clock.advance(29.9)
    ask(identify, "good")
    clock.advance(0.1)
    assert refused(identify, "good")


def test_a_token_at_its_end_is_refused(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """Though Keystone still describes it; the refusal is remembered."""
    clock.advance(3600)
    assert [refused(identify, "good") for _ in range(2)] == [True, True]
    assert played.methods() == "POST GET"

    played.tokens["good"] = described(3600.1)
    clock.advance(0.05)
    assert refused(identify, "good")
    clock.advance(5)
    played.tokens["good"] = described(3605.1)
    assert ask(identify, "good")


def test_a_refusal_is_remembered_for_five_seconds(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """As often the service makes sure that Keystone still knows its own token."""
    assert refused(identify, "bad")
    clock.advance(4.9)
    assert refused(identify, "bad")
    assert played.methods() == "POST GET"

    played.tokens["bad"] = described()
    clock.advance(0.1)
    assert ask(identify, "bad")
    assert played.methods() == "GET"


def test_the_oldest_of_what_is_remembered_goes(
    identify: Identify,
    played: Played,
    clock: Frozen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is found again is no older one, and takes no other one's place."""
    monkeypatch.setattr(client, "CACHED_TOKENS_MAX", 2)
    played.tokens |= {name: described() for name in "abc"}
    played.tokens["b"] = described(10)
    for seconds, token, asked in (
        (0, "a", "POST GET"),
        (0, "b", "GET"),
        (0, "bad-1", "GET"),
        (0, "bad-2", "GET"),
        (0, "bad-3", "GET"),
        (0, "a", ""),
        (0, "b", ""),
        (0, "bad-2", ""),
        (0, "bad-3", ""),
        (0, "bad-1", "GET"),
        (10, "b", "GET"),
        (0, "a", ""),
        (0, "c", "GET"),
        (0, "b", ""),
        (0, "a", "GET"),
        (0, "b", "GET"),
    ):
        clock.advance(seconds)
        if seconds:
            played.tokens["b"] = described()
        assert refused(identify, token) if "bad" in token else ask(identify, token)
        assert played.methods() == asked, token
