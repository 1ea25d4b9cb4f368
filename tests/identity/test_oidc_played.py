"""An issuer that is played: what the service asks it, and which keys it believes."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from chalicelib.domain.caller import Role
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity import oidc
from chalicelib.identity.http_client import Response, UpstreamError
from chalicelib.identity.methods import Identify
from infra.local.issuer import Issuer
from tests.identity.asking import ask, refusal, refused
from tests.identity.conftest import Clock
from tests.identity.issuing import DISCOVERY, choose, claims, with_header

URL = "https://issuer.example.org/realm"
KEYS = f"{URL}/keys"
DEADLINE = 4e9
ASKED = {"headers": {"Accept": "application/json"}, "deadline": DEADLINE}
PAUSED = "The issuer failed to respond; the next attempt is paused."


class Frozen(Clock):
    """A time that stands still but for what a test adds to it."""

    start = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time."""
        return self.start + self.ahead


@dataclass
class Played(Issuer):
    """An issuer in this process; what it responds with, and how it was asked."""

    url: str = URL
    documents: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    requests: list[Any] = field(default_factory=list)

    def send(self, method: str, url: str, **parts: Any) -> Response:
        """Respond as an issuer does."""
        self.requests.append((method, url, parts))
        if self.status == 0:
            raise UpstreamError("silent")
        path = url.removeprefix(self.url.rstrip("/"))
        document = self.documents.get(path) or self.document(path)
        return Response(self.status, {}, json.dumps(document).encode())

    def public(self) -> dict[str, Any]:
        """Return the public half of its first key."""
        return dict(self.document("/keys")["keys"][0])


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, Any]]:
    """The private keys of the issuer."""
    made = Issuer()
    made.add_key("first", "EdDSA")
    made.add_key("curve", "ES256")
    return made.keys


@pytest.fixture
def played(keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Played:
    """The issuer that the service is connected to."""
    played = Played(keys=dict(keys))
    monkeypatch.setattr(oidc, "send_request", played.send)
    monkeypatch.setattr(oidc, "new_deadline", lambda: DEADLINE)
    return played


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    """The clock of the service, which stands still."""
    frozen = Frozen()
    monkeypatch.setattr("chalicelib.clock.now", frozen.now)
    return frozen


@pytest.fixture
def identify(played: Played) -> Identify:
    """The identity of a container that has just started."""
    return choose(played.url)


def unknown(issuer: Issuer) -> str:
    """Return a token of a key that the issuer does not publish."""
    return with_header({"alg": "EdDSA", "kid": "unknown"})(issuer)


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_an_issuer_is_asked_where_its_keys_are_and_for_them(
    url: str, played: Played, clock: Frozen
) -> None:
    """By one deadline for both; a key that it does not name is asked for later."""
    played.url = url
    where = {"issuer": url, "jwks_uri": KEYS}
    played.documents[DISCOVERY] = where
    identify, token = choose(url), played.sign(claims(played))
    wanted = [("GET", URL + DISCOVERY, ASKED), ("GET", KEYS, ASKED)]

    assert ask(identify, token).user_id == "alice"
    assert played.requests == wanted
    clock.advance(60)
    assert isinstance(refusal(identify, unknown(played)), Unauthorized)
    assert played.requests == wanted * 2


def test_the_keys_are_asked_for_at_the_end_of_their_times(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """After ten minutes; after one for an unknown key; five seconds after a failure."""
    token = played.sign(claims(played))

    def asked(seconds: float, token: str) -> int:
        played.requests.clear()
        clock.advance(seconds)
        with suppress(Unauthorized, Unavailable):
            ask(identify, token)
        return len(played.requests)

    assert asked(0, token) == 2
    assert asked(59.9, unknown(played)) == 0
    assert asked(0.1, unknown(played)) == 2
    assert asked(599.9, token) == 0
    assert asked(0.1, token) == 2
    played.status = 0
    assert asked(600, token) == 1
    assert asked(4.9, token) == 0
    assert asked(0.1, token) == 1


def test_a_pause_is_named_as_the_cause(
    identify: Identify, played: Played, clock: Frozen
) -> None:
    """Of a response that tells the caller no more than that it may try again."""
    played.status = 0
    token = played.sign(claims(played))

    causes = []
    for _ in range(2):
        unavailable = refusal(identify, token)
        assert unavailable.message == "The identity service is unavailable; retry."
        causes.append(str(unavailable.__cause__))
    clock.advance(5)
    played.status = 200
    ask(identify, token)
    clock.advance(60)
    played.status = 0
    for seconds in (0, 5):
        clock.advance(seconds)
        causes.append(str(refusal(identify, unknown(played)).__cause__))

    assert causes == ["silent", PAUSED, "silent", PAUSED]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS512", "kid": "first"},
        {"alg": "HS256", "kid": "first"},
        {"alg": "EdDSA"},
        {"kid": "first"},
    ],
)
def test_a_token_that_no_key_can_fit_is_no_reason_to_ask_the_issuer(
    header: dict[str, str], identify: Identify, played: Played
) -> None:
    """One of another algorithm than the setting's, or one that names no key."""
    assert refused(identify, with_header(header)(played))
    assert played.requests == []


@pytest.mark.parametrize(
    ("path", "document", "message"),
    [
        (DISCOVERY, {"issuer": URL}, "{} names another issuer, or no jwks_uri."),
        (
            DISCOVERY,
            {"issuer": f"{URL}/", "jwks_uri": KEYS},
            "{} names another issuer, or no jwks_uri.",
        ),
        *(
            (
                DISCOVERY,
                {"issuer": URL, "jwks_uri": where},
                "{} has a jwks_uri that is not safe.",
            )
            for where in (
                "http://127.0.0.1/keys",
                "https://user:word@issuer.example.org/keys",
                "https://issuer.example.org/keys?a b",
            )
        ),
        ("/keys", {"keys": "first"}, "{} publishes no list of keys."),
        ("/keys", {"keys": []}, "{} publishes no key to verify tokens with."),
    ],
)
def test_an_issuer_whose_documents_are_wrong_is_unavailable(
    path: str, document: Any, message: str, identify: Identify, played: Played
) -> None:
    """And the log says what is wrong with them."""
    played.documents[path] = document

    unavailable = refusal(identify, played.sign(claims(played)))

    assert isinstance(unavailable, Unavailable)
    assert str(unavailable.__cause__) == message.format(URL)


def test_an_issuer_that_fails_is_named_with_its_status(
    identify: Identify, played: Played
) -> None:
    """In the log alone."""
    played.status = 404

    cause = refusal(identify, played.sign(claims(played))).__cause__

    assert str(cause) == f"{URL}{DISCOVERY} responds with status 404."


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (URL, "https://keys.example.com/keys?p=a?b"),
        ("http://localhost:9000", "http://127.0.0.1:9000/keys"),
    ],
)
def test_keys_may_be_at_any_address_that_is_as_safe(
    url: str, where: str, played: Played
) -> None:
    """By TLS for an issuer by TLS, which may be another host's."""
    played.url = url
    played.documents[DISCOVERY] = {"issuer": url, "jwks_uri": where}
    played.documents[where] = played.document("/keys")
    played.documents[where.removeprefix(url)] = played.document("/keys")

    assert ask(choose(url), played.sign(claims(played))).user_id == "alice"


def test_a_key_needs_no_use_to_verify_tokens(
    identify: Identify, played: Played
) -> None:
    """The keys before it that are for something else, or unknown, do not matter."""
    public = played.public()
    del public["use"]
    others = [{**played.public(), "use": "enc"}, {"kty": "new", "kid": "new"}]
    played.documents["/keys"] = {"keys": [*others, public]}

    assert ask(identify, played.sign(claims(played))).user_id == "alice"


def test_a_private_key_that_is_published_verifies_nothing(
    identify: Identify, played: Played
) -> None:
    """Everyone can sign with it."""
    algorithm, key = played.keys["first"]
    private = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    curve = played.document("/keys")["keys"][1]
    played.documents["/keys"] = {"keys": [{**played.public(), **private}, curve]}

    assert refused(identify, played.sign(claims(played)))
    assert ask(identify, played.sign(claims(played), "curve")).user_id == "alice"


def test_a_key_of_another_algorithm_alone_is_the_issuers_fault(
    played: Played,
) -> None:
    """No token can be verified: 503, and not 401 to every caller."""
    identify = choose(URL, OIDC_ALGORITHMS="RS256")

    forged = with_header({"alg": "RS256", "kid": "first"})(played)

    assert isinstance(refusal(identify, forged), Unavailable)


def test_a_known_key_is_used_without_a_turn(
    identify: Identify, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a request that waits for the issuer may have."""
    token = played.sign(claims(played))
    ask(identify, token)

    def taken(*_: Any) -> Any:
        raise UpstreamError("taken")

    monkeypatch.setattr(oidc, "acquired", taken)

    assert ask(identify, token).user_id == "alice"
    assert str(refusal(identify, unknown(played)).__cause__) == "taken"


@pytest.mark.parametrize("tenant", [..., None, "acme", ["acme"], {}, {"id": 1}])
def test_a_path_of_claims_that_leads_nowhere_is_nobodys(
    tenant: Any, played: Played
) -> None:
    """Whatever is there instead of an object."""
    identify = choose(URL, OIDC_PROJECT_CLAIM="tenant.id")

    assert refused(identify, played.sign(claims(played, tenant=tenant)))
    good = played.sign(claims(played, tenant={"id": "acme"}))
    assert ask(identify, good).project_id == "acme"


@pytest.mark.parametrize("user", ["a", "a" * 255, "a/b"])
def test_a_user_is_anything_printable_of_a_bounded_length(
    user: str, identify: Identify, played: Played
) -> None:
    """A user's id is in no path."""
    assert ask(identify, played.sign(claims(played, sub=user))).user_id == user


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ("openid reader", Role.READER),
        ("reader\tadmin", Role.NONE),
        ("reader\nadmin member", Role.MEMBER),
    ],
)
def test_only_blanks_separate_the_roles_of_a_text(
    roles: str, role: Role, identify: Identify, played: Played
) -> None:
    """As RFC 6749 has it for `scope`."""
    assert ask(identify, played.sign(claims(played, roles=roles))).role is role
