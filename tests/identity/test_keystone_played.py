"""A Keystone that is played: what the service asks it, believes and remembers."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity import keystone as client
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.http_client import WAIT_SECONDS_MAX, Response, UpstreamError
from chalicelib.identity.methods import Identify, choose_identity
from tests.identity.asking import ask, refusal, refused
from tests.identity.conftest import Clock
from tests.identity.test_keystone_asked import BROKEN
from tests.identity.test_settings import ARN, KEYSTONE

URL = "https://keystone.example.org/v3/auth/tokens?nocatalog"
START = datetime(2030, 1, 1, tzinfo=UTC)
IMAGES = "/v2/images"
APPLICATION = {
    "OS_APPLICATION_CREDENTIAL_ID": "id",
    "OS_APPLICATION_CREDENTIAL_SECRET": "secret",
}
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


class Frozen(Clock):
    """A time that stands still but for what a test adds to it."""

    def now(self) -> datetime:
        """Return the time."""
        return START + self.ahead

    def monotonic(self) -> float:
        """Return the time that no one sets."""
        return self.ahead.total_seconds()


@dataclass
class Played:
    """The tokens and passwords that Keystone knows, and what it was asked."""

    tokens: dict[str, Any] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    accepts: str = "secret"
    hides: bool = False
    signs_in: Response | None = None
    secret: dict[str, str] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def send(self, method: str, url: str, **parts: Any) -> Response:
        """Respond as Keystone does."""
        self.asked.append({"method": method, "url": url, **parts})
        if method == "POST":
            return self._sign_in(json.dumps(parts["document"]))
        headers = parts["headers"]
        if headers["X-Auth-Token"] not in self.own:
            return Response(404 if self.hides else 401, {}, b"{}")
        subject = headers["X-Subject-Token"]
        if subject in self.own:
            return Response(200, {}, b"{}")
        if subject not in self.tokens:
            return Response(404, {}, b"{}")
        return Response(200, {}, json.dumps({"token": self.tokens[subject]}).encode())

    def _sign_in(self, document: str) -> Response:
        if self.signs_in:
            return self.signs_in
        if f'"{self.accepts}"' not in document:
            return Response(401, {}, b"{}")
        own = f"own-{len(self.asked)}"
        self.own.add(own)
        return signed_in(own)

    def read_secret(self, arn: str) -> Mapping[str, str]:
        """Return the secret of AWS."""
        self.asked.append({"method": "READ", "arn": arn})
        if self.secret is None:
            raise UpstreamError("unreadable")
        return self.secret

    def methods(self) -> str:
        """Return what was asked since the last call, as GET, POST or READ."""
        methods = " ".join(request["method"] for request in self.asked)
        self.asked.clear()
        return methods


def described(seconds: float = 3600, **changes: Any) -> dict[str, Any]:
    """Return what Keystone says of a token that lives so long."""
    return {
        "expires_at": (START + timedelta(seconds=seconds)).isoformat(),
        "user": {"id": "user"},
        "project": {"id": "project"},
        "roles": [{"name": "member"}],
        **changes,
    }


def signed_in(own: str, status: int = 201, seconds: float = 3600) -> Response:
    """Return the response that has a token of the service's own."""
    body = json.dumps({"token": described(seconds)}).encode()
    return Response(status, {"x-subject-token": own}, body)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    """The clock of the service, which stands still."""
    frozen = Frozen()
    monkeypatch.setattr("chalicelib.clock.now", frozen.now)
    moved = SimpleNamespace(monotonic=frozen.monotonic)
    monkeypatch.setattr(client, "time", moved)
    return frozen


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """A Keystone that knows one token for an hour."""
    played = Played({"good": described()})
    monkeypatch.setattr(client, "send_request", played.send)
    monkeypatch.setattr("chalicelib.identity.secret.read_secret", played.read_secret)
    return played


@pytest.fixture
def identify() -> Identify:
    """The identity of a container that has just started."""
    return choose_identity("keystone", KEYSTONE)


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


def test_a_bad_token_seldom_makes_the_service_ask_about_its_own(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """It was known at the sign-in, at a check, and where a good token was found."""
    for seconds, token, asked in (
        (0, "bad-1", "POST GET"),
        (4.9, "bad-2", "GET"),
        (0.1, "bad-3", "GET GET"),
        (4.9, "bad-4", "GET"),
        (0, "good", "GET"),
        (4.9, "bad-5", "GET"),
        (0.1, "bad-6", "GET GET"),
    ):
        clock.advance(seconds)
        assert refused(identify, token) if "bad" in token else ask(identify, token)
        assert len({request["deadline"] for request in played.asked}) == 1
        assert played.methods() == asked, token


def test_a_service_that_was_deleted_signs_in_anew(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """Keystone hides each token from it, as if that were bad."""
    ask(identify, "good")
    played.tokens["other"] = described()
    played.hides = True
    played.own.clear()
    played.methods()
    clock.advance(5)

    assert ask(identify, "other").project_id == "project"
    assert played.methods() == "GET GET POST GET"


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_refused_token_of_the_services_own_is_renewed_at_once(
    identify: Identify, played: Played, clock: Frozen, seconds: float
) -> None:
    """Within the request, by one deadline; and no other token is refused for it."""
    ask(identify, "good")
    played.tokens["other"] = described()
    played.own.clear()
    played.methods()
    clock.advance(seconds)

    assert ask(identify, "other").project_id == "project"
    assert len({request["deadline"] for request in played.asked}) == 1
    assert played.methods() == "GET POST GET"
    assert refused(identify, "bad")
    assert played.methods() == "GET"


def test_the_services_own_token_is_renewed_a_minute_before_its_end(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """So that it does not end while it is being used."""
    played.tokens |= {f"good-{number}": described(9999) for number in range(3)}
    ask(identify, "good-0")
    clock.advance(3540)
    ask(identify, "good-1")
    assert played.methods() == "POST GET GET"
    played.own.clear()

    clock.advance(0.1)
    ask(identify, "good-2")

    assert played.methods() == "POST GET"


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


def test_a_refused_credential_pauses_the_sign_in(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """For five seconds, so that the service's user is not locked out."""
    played.accepts = "other"
    assert isinstance(refusal(identify, "good"), Unavailable)
    clock.advance(4.9)
    assert isinstance(refusal(identify, "good"), Unavailable)
    assert played.methods() == "POST"

    clock.advance(0.1)
    assert isinstance(refusal(identify, "good"), Unavailable)
    played.accepts = "secret"
    clock.advance(5)
    assert ask(identify, "good").role is Role.MEMBER


@pytest.mark.parametrize(
    "response",
    [
        signed_in("own", 200),
        signed_in(""),
        signed_in("\xe9"),
        signed_in("a\nb"),
        Response(201, {}, signed_in("own").body),
        Response(201, {"x-subject-token": "own"}, b"{}"),
    ],
)
def test_a_sign_in_without_its_form_is_503(
    identify: Identify, played: Played, response: Response
) -> None:
    """A token of the service's own is a header's text, and has an end."""
    played.signs_in = response

    refused = refusal(identify, "good")

    assert isinstance(refused, Unavailable)
    assert isinstance(refused.__cause__, UpstreamError)
    assert played.methods() == "POST"


@pytest.fixture
def kept(played: Played) -> Identify:
    """The identity of a container whose credential is a secret of AWS."""
    played.secret = dict(APPLICATION)
    url = KEYSTONE["OS_AUTH_URL"]
    return choose_identity("keystone", {"OS_AUTH_URL": url, "KEYSTONE_CREDENTIAL": ARN})


def test_a_secret_is_read_when_it_is_needed(kept: Identify, played: Played) -> None:
    """And no more as long as Keystone accepts it."""
    assert ask(kept, "good").role is Role.MEMBER
    assert played.asked[0]["arn"] == ARN
    played.own.clear()
    played.tokens["other"] = described()
    assert ask(kept, "other").role is Role.MEMBER

    assert played.methods() == "READ POST GET GET POST GET"


def test_a_rotated_secret_is_read_again(kept: Identify, played: Played) -> None:
    """Within the request in which Keystone refuses the old one; then it is the one."""
    ask(kept, "good")
    played.own.clear()
    played.tokens["other"] = described()
    played.accepts = "new"
    played.secret = APPLICATION | {"OS_APPLICATION_CREDENTIAL_SECRET": "new"}
    played.methods()

    assert ask(kept, "other").role is Role.MEMBER

    assert len({one["deadline"] for one in played.asked if "url" in one}) == 1
    assert played.methods() == "GET POST READ POST GET"
    played.own.clear()
    played.tokens["third"] = described()
    assert ask(kept, "third").role is Role.MEMBER
    assert played.methods() == "GET POST GET"


def test_a_refused_secret_that_is_still_the_same_is_not_sent_twice(
    kept: Identify, played: Played, clock: Frozen
) -> None:
    """It is read again, and the sign-in pauses."""
    ask(kept, "good")
    played.own.clear()
    played.tokens["other"] = described()
    played.accepts = "new"
    played.methods()

    assert isinstance(refusal(kept, "other"), Unavailable)
    assert played.methods() == "GET POST READ"
    clock.advance(4.9)
    assert isinstance(refusal(kept, "other"), Unavailable)
    assert played.methods() == ""
    played.secret = APPLICATION | {"OS_APPLICATION_CREDENTIAL_SECRET": "new"}
    clock.advance(0.1)

    assert ask(kept, "other").role is Role.MEMBER
    assert played.methods() == "READ POST GET"


def test_a_secret_that_was_wrong_from_the_start_is_read_again(
    kept: Identify, played: Played, clock: Frozen
) -> None:
    """After the pause; it is not read twice in one sign-in."""
    played.accepts = "new"
    assert isinstance(refusal(kept, "good"), Unavailable)
    assert played.methods() == "READ POST"
    played.secret = APPLICATION | {"OS_APPLICATION_CREDENTIAL_SECRET": "new"}
    assert isinstance(refusal(kept, "good"), Unavailable)
    assert played.methods() == ""
    clock.advance(5)

    assert ask(kept, "good").role is Role.MEMBER
    assert played.methods() == "READ POST GET"


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("secret", [None, {}])
def test_a_secret_that_cannot_be_read_pauses_the_sign_in(
    kept: Identify,
    played: Played,
    clock: Frozen,
    secret: dict[str, str] | None,
    *,
    known: bool,
) -> None:
    """At the start as after a rotation: the old one is not sent again and again."""
    if known:
        ask(kept, "good")
        played.own.clear()
        played.accepts = "new"
        clock.advance(60)
    played.secret = secret
    played.methods()

    assert isinstance(refusal(kept, "good"), Unavailable)
    assert played.methods() == ("GET POST READ" if known else "READ")
    clock.advance(4.9)
    assert isinstance(refusal(kept, "good"), Unavailable)
    assert played.methods() == ""
    clock.advance(0.1)
    assert isinstance(refusal(kept, "good"), Unavailable)
    assert played.methods() == "READ"
    played.secret = APPLICATION | {"OS_APPLICATION_CREDENTIAL_SECRET": played.accepts}
    clock.advance(5)

    assert ask(kept, "good").role is Role.MEMBER
    assert played.methods() == "READ POST GET"
