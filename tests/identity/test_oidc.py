"""Tokens of an OpenID Connect issuer: whom a good one names, and what attackers try."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity import http_client
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.methods import Identify, choose_identity
from infra.local import issuer as local_issuer
from infra.local.issuer import AUDIENCE, Issuer
from tests.actors import over_http
from tests.identity import faulty_proxy
from tests.identity.asking import ask, refusal, refused
from tests.identity.conftest import Clock
from tests.identity.faulty_proxy import FaultyProxy
from tests.local.service import running

DISCOVERY = "/.well-known/openid-configuration"
Claims = dict[str, Any]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer with a key for each algorithm."""
    with local_issuer.running() as issuer:
        issuer.add_key("curve", "ES256")
        issuer.add_key("edwards", "EdDSA")
        yield issuer


@pytest.fixture
def identify(issuer: Issuer) -> Identify:
    """The identity of a container that has just started."""
    issuer.asked.clear()
    return choose(issuer.url)


def choose(url: str, **settings: str) -> Identify:
    """Make the identity of an issuer at a URL."""
    environ = {
        "OIDC_ISSUER": url,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_ALGORITHMS": "RS256,ES256,EdDSA",
        **settings,
    }
    return choose_identity("oidc", environ)


def claims(issuer: Issuer, **changes: Any) -> Claims:
    """Return good claims with some of them changed; one that is `...` is left out."""
    changed = {**issuer.claims("alice", "producer", "member"), **changes}
    return {name: value for name, value in changed.items() if value is not ...}


def part(document: Any) -> str:
    """Write a part of a token."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def public_pem(issuer: Issuer, key_id: str = "first") -> bytes:
    """Return a key's public half, as everybody has it."""
    public: bytes = (
        issuer.keys[key_id][1]
        .public_key()
        .public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    return public


def test_a_token_names_its_caller(identify: Identify, issuer: Issuer) -> None:
    """By each algorithm; the keys are fetched once."""
    good = claims(issuer)
    callers = [ask(identify, issuer.sign(good, key_id)) for key_id in issuer.keys]

    assert callers == [Caller("producer", "alice", Role.MEMBER, "req-1")] * 3
    assert issuer.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-auth-token": "TOKEN"},
        {"authorization": "Bearer TOKEN"},
        {"authorization": "bearer  TOKEN "},
        {"x-auth-token": "TOKEN", "authorization": "Bearer junk"},
        {"x-auth-token": "", "authorization": "Bearer TOKEN"},
        {"x-auth-token": " \t", "authorization": "Bearer TOKEN"},
    ],
)
def test_a_token_comes_in_two_headers(
    identify: Identify, issuer: Issuer, headers: dict[str, str]
) -> None:
    """The clients' own, or if that is empty that of all the world."""
    token = issuer.sign(claims(issuer))
    sent = {name: text.replace("TOKEN", token) for name, text in headers.items()}

    caller = identify(Incoming("GET", "/v2/images", sent, "req-1"))

    assert caller.user_id == "alice"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Basic TOKEN"},
        {"authorization": "TOKEN"},
        {"authorization": "BearerTOKEN"},
        {"x-auth-token": "junk", "authorization": "Bearer TOKEN"},
        {"x-subject-token": "TOKEN"},
    ],
)
def test_a_token_elsewhere_is_none(
    identify: Identify, issuer: Issuer, headers: dict[str, str]
) -> None:
    """Nor is a second one tried where the first is bad."""
    token = issuer.sign(claims(issuer))
    sent = {name: text.replace("TOKEN", token) for name, text in headers.items()}

    with pytest.raises(Unauthorized):
        identify(Incoming("GET", "/v2/images", sent, "req-1"))


def test_claims_are_read_where_the_settings_say(issuer: Issuer) -> None:
    """Nested, with dots in a name, and roles by the map."""
    identify = choose(
        issuer.url,
        OIDC_PROJECT_CLAIM="https://example\\.org/tenant.id",
        OIDC_ROLES_CLAIM="resource_access.cloud-images.roles",
        OIDC_ROLE_MAP="cloudImages:observer=reader,cloudImages:owner=member",
    )

    def caller(*roles: str) -> Caller:
        access = {"cloud-images": {"roles": roles}, "other": {"roles": ["x"]}}
        tenant = {"id": "acme"}
        odd = {"https://example.org/tenant": tenant, "resource_access": access}
        return ask(identify, issuer.sign(claims(issuer, **odd)))

    assert caller("cloudImages:observer").role is Role.READER
    assert caller("cloudImages:observer", "cloudImages:owner").role is Role.MEMBER
    assert caller("admin", "reader", "cloudimages:owner").role is Role.NONE
    assert caller().project_id == "acme"


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["reader", "admin"], Role.ADMIN),
        ("openid reader", Role.READER),
        ([], Role.NONE),
        ("", Role.NONE),
        (None, Role.NONE),
        (..., Role.NONE),
        (["Admin", "owner"], Role.NONE),
    ],
)
def test_roles_are_a_list_or_a_text(
    identify: Identify, issuer: Issuer, roles: Any, role: Role
) -> None:
    """Who has none that means something may read schemas, and no image."""
    assert ask(identify, issuer.sign(claims(issuer, roles=roles))).role is role


AN_HOUR = 3600
WRONG_CLAIMS: dict[str, Claims] = {
    "another issuer": {"iss": "https://issuer.example.org"},
    "an issuer that begins so": {"iss": "http://127.0.0.1"},
    "an issuer in a list": {"iss": ["http://127.0.0.1"]},
    "no issuer": {"iss": ...},
    "another audience": {"aud": "another"},
    "other audiences": {"aud": ["another", "cloud-images-2"]},
    "an empty audience": {"aud": []},
    "an audience of numbers": {"aud": [1, AUDIENCE]},
    "no audience": {"aud": ...},
    "expired": {"exp": int(time.time()) - AN_HOUR},
    "no end": {"exp": ...},
    "an end that is none": {"exp": "tomorrow"},
    "an endless end": {"exp": float("inf")},
    "an end that is no number": {"exp": float("nan")},
    "an end in a list": {"exp": [1]},
    "not yet valid": {"nbf": int(time.time()) + AN_HOUR},
    "a start that is none": {"nbf": "now"},
    "issued in the future": {"iat": int(time.time()) + AN_HOUR},
    "no user": {"sub": ...},
    "an empty user": {"sub": ""},
    "a user that is a number": {"sub": 1},
    "a user with a control character": {"sub": "a\nb"},
    "a very long user": {"sub": "a" * 256},
    "no project": {"project_id": ...},
    "a project that is null": {"project_id": None},
    "a project that is a number": {"project_id": 1},
    "a project that is a list": {"project_id": ["producer"]},
    "a project that is an object": {"project_id": {"id": "producer"}},
    "an empty project": {"project_id": ""},
    "a project with a slash": {"project_id": "a/b"},
    "a project with a hash": {"project_id": "producer#IMAGE"},
    "a project above": {"project_id": ".."},
    "a project with a control character": {"project_id": "a\x00b"},
    "a project that is half a character": {"project_id": "\ud800"},
    "a project with an invisible character": {"project_id": "producer\u200b"},
    "a very long project": {"project_id": "a" * 256},
    "roles that are a number": {"roles": 1},
    "roles that are an object": {"roles": {"admin": True}},
    "a role that is a number": {"roles": ["member", 1]},
    "a role in a role": {"roles": [["admin"]]},
}


@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_claims_that_are_wrong_are_nobodys(
    identify: Identify, issuer: Issuer, changes: Claims
) -> None:
    """However well they are signed."""
    assert refused(identify, issuer.sign(claims(issuer, **changes)))


def test_clocks_may_differ_a_little(identify: Identify, issuer: Issuer) -> None:
    """By less than half a minute."""
    now = int(time.time())

    late = issuer.sign(claims(issuer, exp=now - 10))
    early = issuer.sign(claims(issuer, nbf=now + 10, iat=now + 10))

    assert ask(identify, late) == ask(identify, early)


def hmac_with_the_public_key(issuer: Issuer) -> str:
    """Sign by what everybody has, where a careless reader lets the token choose how."""
    signed = f"{part({'alg': 'HS256', 'kid': 'first'})}.{part(claims(issuer))}"
    digest = hmac.digest(public_pem(issuer), signed.encode(), hashlib.sha256)
    return f"{signed}.{part(digest)}"


def by_another_key(issuer: Issuer) -> str:
    """Sign by a key of one's own, under the issuer's id."""
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims(issuer), mine, "RS256", {"kid": "first"})


def by_a_key_that_it_brings(issuer: Issuer) -> str:
    """Sign by a key of one's own, and send it along."""
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.get_algorithm_by_name("RS256").to_jwk(mine.public_key(), as_dict=True)
    headers = {"kid": "first", "jwk": public, "jku": "http://127.0.0.1:9/keys"}
    return jwt.encode(claims(issuer), mine, "RS256", headers)


def with_other_claims(issuer: Issuer) -> str:
    """Keep the signature, and change what it is of."""
    header, _, signature = issuer.sign(claims(issuer)).split(".")
    return f"{header}.{part(claims(issuer, roles=['admin']))}.{signature}"


def with_header(header: Any) -> Callable[[Issuer], str]:
    """
    Return the forger of a token that has a header of one's own and a true signature.
    """

    def forge(issuer: Issuer) -> str:
        _, payload, signature = issuer.sign(claims(issuer)).split(".")
        return f"{part(header)}.{payload}.{signature}"

    return forge


def without_signature(algorithm: str) -> Callable[[Issuer], str]:
    """Return the forger of a token that says it needs no signature."""
    header = {"alg": algorithm, "kid": "first"}
    return lambda issuer: f"{part(header)}.{part(claims(issuer))}."


FORGERIES: dict[str, Callable[[Issuer], str]] = {
    **{f"alg={name}": without_signature(name) for name in ("none", "None", "NONE")},
    "RS256 without a signature": without_signature("RS256"),
    "HMAC with the public key": hmac_with_the_public_key,
    "another key": by_another_key,
    "a key that it brings": by_a_key_that_it_brings,
    "other claims": with_other_claims,
    "another key's algorithm": with_header({"alg": "ES256", "kid": "first"}),
    "an algorithm that is off": with_header({"alg": "RS512", "kid": "first"}),
    "no algorithm": with_header({"kid": "first"}),
    "an algorithm in a list": with_header({"alg": ["RS256"], "kid": "first"}),
    "no key id": with_header({"alg": "RS256"}),
    "a key id that is a number": with_header({"alg": "RS256", "kid": 1}),
    "a key id that is a path": with_header({"alg": "RS256", "kid": "../../dev/null"}),
    "an extension that must be known": with_header(
        {"alg": "RS256", "kid": "first", "crit": ["exp2"], "exp2": 1}
    ),
    "a detached body": with_header(
        {"alg": "RS256", "kid": "first", "b64": False, "crit": ["b64"]}
    ),
    "a header that is a list": with_header(["RS256"]),
    "a header that is deep": with_header(b"[" * 5000),
    "a header that is no text": with_header(b"\xff\xfe{}"),
    "an encrypted token": lambda _: ".".join(
        [part({"alg": "dir", "enc": "x"}), *"abcd"]
    ),
    "two dots": lambda _: "..",
    "no dots": lambda _: "junk",
    "a token of Keystone": lambda _: "gAAAAABrBkCyyNo9d0R",
    "a development token": lambda _: "alice:producer:admin",
    "very long": lambda issuer: issuer.sign(claims(issuer)) + "A" * 8192,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_nobodys(
    identify: Identify, issuer: Issuer, forge: Callable[[Issuer], str]
) -> None:
    """And the response is that to any bad token."""
    refused = refusal(identify, forge(issuer))

    assert isinstance(refused, Unauthorized)
    assert str(refused) == "The request you have made requires authentication."
    challenge = f'Bearer realm="cloud-images", authorization_uri="{issuer.url}"'
    assert refused.headers == {"WWW-Authenticate": challenge}


def test_an_algorithm_that_is_not_configured_is_refused(issuer: Issuer) -> None:
    """Though the issuer has keys for it."""
    identify = choose(issuer.url, OIDC_ALGORITHMS="ES256")

    assert ask(identify, issuer.sign(claims(issuer), "curve"))
    assert refused(identify, issuer.sign(claims(issuer), "first"))
    assert refused(identify, issuer.sign(claims(issuer), "edwards"))


def test_a_flood_of_unknown_keys_fetches_seldom(
    identify: Identify, issuer: Issuer, clock: Clock
) -> None:
    """Once a minute at the most."""
    forge = [with_header({"alg": "RS256", "kid": f"key-{n}"}) for n in range(100)]
    flood = [one(issuer) for one in forge]

    assert all(refused(identify, token) for token in flood)
    assert issuer.asked == [DISCOVERY, "/keys"]

    clock.advance(60)
    assert all(refused(identify, token) for token in flood)
    assert issuer.asked == [DISCOVERY, "/keys"] * 2


def test_a_new_key_is_found_and_an_old_one_forgotten(clock: Clock) -> None:
    """
    The issuer rotates its keys: the new one counts after a minute, the old one for ten.
    """
    with local_issuer.running() as issuer:
        identify = choose(issuer.url)
        old = issuer.sign(claims(issuer))
        ask(identify, old)
        issuer.add_key("second")
        new = issuer.sign(claims(issuer), "second")
        assert refused(identify, new)

        clock.advance(60)
        assert ask(identify, new) == ask(identify, old)

        del issuer.keys["first"]
        clock.advance(599)
        assert ask(identify, old)
        clock.advance(1)
        assert refused(identify, old)


@pytest.fixture
def between() -> Iterator[tuple[Issuer, FaultyProxy]]:
    """An issuer, and what stands between the service and it."""
    with local_issuer.running() as issuer, faulty_proxy.before(issuer.url) as proxy:
        issuer.url = proxy.url
        yield issuer, proxy


BROKEN: dict[str, tuple[int, str]] = {
    "an error": (500, ""),
    "a redirect": (302, ""),
    "a page": (200, "<html>"),
    "a list": (200, "[]"),
    "another issuer, no keys": (200, '{"issuer": "https://issuer.example.org"}'),
    "keys that are no list": (200, '{"keys": {}}'),
}


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", ["/.well-known", "/keys"])
def test_an_issuer_that_makes_no_sense_is_503(
    between: tuple[Issuer, FaultyProxy],
    clock: Clock,
    path: str,
    response: tuple[int, str],
) -> None:
    """And is let alone for some seconds."""
    issuer, proxy = between
    identify, token = choose(proxy.url), issuer.sign(claims(issuer))
    proxy.to, proxy.response = (f"GET {path}",), response

    refusals = [refusal(identify, token) for _ in range(3)]
    assert all(isinstance(one, Unavailable) for one in refusals)
    assert refusals[0].headers == {"Retry-After": "1"}
    assert len(proxy.requests) == (1 if path == "/.well-known" else 2)

    proxy.heal()
    clock.advance(5)
    assert ask(identify, token).user_id == "alice"


@pytest.mark.parametrize("fault", ["slow", "drops"])
def test_a_slow_issuer_is_503(
    between: tuple[Issuer, FaultyProxy], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """After so much patience, though it might send a byte now and then for ever."""
    monkeypatch.setattr(http_client, "WAIT_SECONDS_MAX", 0.5)
    issuer, proxy = between
    setattr(proxy, fault, True)

    refused = refusal(choose(proxy.url), issuer.sign(claims(issuer)))

    assert isinstance(refused, Unavailable)
    assert len(proxy.requests) == 1


def test_known_keys_count_while_the_issuer_is_down(
    between: tuple[Issuer, FaultyProxy], clock: Clock
) -> None:
    """For ten minutes; a key that is not known then is no reason for 401."""
    issuer, proxy = between
    identify, token = choose(proxy.url), issuer.sign(claims(issuer))
    unknown = with_header({"alg": "RS256", "kid": "unknown"})(issuer)
    ask(identify, token)
    proxy.response = (500, "")

    clock.advance(599)
    assert isinstance(refusal(identify, unknown), Unavailable)
    assert ask(identify, token).user_id == "alice"

    clock.advance(6)
    assert isinstance(refusal(identify, token), Unavailable)


def test_invented_keys_are_no_reason_to_ask_an_issuer_that_is_down(
    between: tuple[Issuer, FaultyProxy], clock: Clock
) -> None:
    """Once in OIDC_REFETCH_SECONDS, as while it is well."""
    issuer, proxy = between
    identify, token = choose(proxy.url), issuer.sign(claims(issuer))
    unknown = with_header({"alg": "RS256", "kid": "unknown"})(issuer)
    ask(identify, token)
    proxy.response = (500, "")
    clock.advance(60)
    before = len(proxy.requests)

    for _ in range(11):
        assert isinstance(refusal(identify, unknown), Unavailable)
        clock.advance(5)

    assert len(proxy.requests) == before + 1
    assert ask(identify, token).user_id == "alice"


@pytest.mark.parametrize("keys", [[], ["key"], [{"kty": "oct", "k": "AAAA"}]])
def test_keys_that_are_none_replace_no_good_ones(
    between: tuple[Issuer, FaultyProxy], clock: Clock, keys: list[object]
) -> None:
    """It is the issuer's fault: 503, and not 401 to those who have a good token."""
    issuer, proxy = between
    identify, token = choose(proxy.url), issuer.sign(claims(issuer))
    unknown = with_header({"alg": "RS256", "kid": "unknown"})(issuer)
    ask(identify, token)
    clock.advance(60)
    proxy.to, proxy.response = ("GET /keys",), (200, json.dumps({"keys": keys}))

    assert isinstance(refusal(identify, unknown), Unavailable)
    assert ask(identify, token).user_id == "alice"


def test_one_id_may_be_that_of_several_kinds_of_keys(
    between: tuple[Issuer, FaultyProxy],
) -> None:
    """RFC 7517, 4.5: they are told apart by what they are for."""
    issuer, proxy = between
    issuer.add_key("curve", "ES256")
    known = issuer.document("/keys")["keys"]
    keys = json.dumps({"keys": [{**key, "kid": "one"} for key in known]})
    proxy.to, proxy.response = ("GET /keys",), (200, keys)
    identify = choose(proxy.url)

    for key_id in ("first", "curve"):
        algorithm, key = issuer.keys[key_id]
        token = jwt.encode(claims(issuer), key, algorithm, {"kid": "one"})
        assert ask(identify, token).user_id == "alice"


def test_keys_may_lie_behind_a_query(between: tuple[Issuer, FaultyProxy]) -> None:
    """As those of Azure's policies do."""
    issuer, proxy = between
    where = f"{proxy.url}/keys?p=b2c_1_sign-in&x=%20"
    about = json.dumps({"issuer": proxy.url, "jwks_uri": where})
    proxy.to, proxy.response = ("GET /.well-known",), (200, about)

    assert ask(choose(proxy.url), issuer.sign(claims(issuer))).user_id == "alice"
    assert proxy.requests[-1] == "GET /keys?p=b2c_1_sign-in&x=%20"


def test_who_has_a_known_key_waits_for_nobody(
    between: tuple[Issuer, FaultyProxy], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for another request whose key is unknown, and an issuer that is slow."""
    monkeypatch.setattr(http_client, "WAIT_SECONDS_MAX", 4.0)
    issuer, proxy = between
    identify, token = choose(proxy.url), issuer.sign(claims(issuer))
    unknown = with_header({"alg": "RS256", "kid": "unknown"})(issuer)
    ask(identify, token)
    clock.advance(60)
    proxy.requests.clear()
    proxy.slow = True
    other = Thread(target=refusal, args=(identify, unknown))
    other.start()
    while not proxy.requests:
        time.sleep(0.01)

    assert ask(identify, token).user_id == "alice"
    assert other.is_alive()
    other.join()


@pytest.mark.parametrize(
    "where",
    [
        *("http://192.0.2.1/keys", "file:///keys", 1, "https://k/keys# ?"),
        "https://k/keys?a b",
    ],
)
def test_keys_come_by_a_safe_way(
    between: tuple[Issuer, FaultyProxy], where: object
) -> None:
    """By TLS, or from this machine."""
    issuer, proxy = between
    about = json.dumps({"issuer": proxy.url, "jwks_uri": where})
    proxy.to, proxy.response = ("GET /.well-known",), (200, about)

    refused = refusal(choose(proxy.url), issuer.sign(claims(issuer)))

    assert isinstance(refused, Unavailable)
    assert len(proxy.requests) == 1


def test_keys_that_are_not_for_us_are_left_out(
    between: tuple[Issuer, FaultyProxy],
) -> None:
    """A secret one, a short one, one for encryption, and what is no key at all."""
    issuer, proxy = between
    good = issuer.document("/keys")["keys"][0]
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    weak = jwt.get_algorithm_by_name("RS256").to_jwk(short.public_key(), as_dict=True)
    shared = base64.urlsafe_b64encode(b"k" * 32).decode()
    odd = [
        *("key", 1, {}, {"kty": "RSA"}, {"kty": "new", "kid": "new"}),
        {**good, "kid": "encrypting", "use": "enc"},
        {**good, "kid": 1},
        {**good, "kid": "none", "alg": "none"},
        {**good, "kid": "private", "d": "AQAB"},
        {**good, "kid": "longer", "alg": "RS512"},
        {"kty": "oct", "kid": "shared", "k": shared},
        {**weak, "kid": "short"},
    ]
    proxy.to = ("GET /keys",)
    proxy.response = (200, json.dumps({"keys": [*odd, good]}))
    identify = choose(proxy.url)

    def by(key_id: str, key: Any = None, algorithm: str = "RS256") -> str:
        key = key or issuer.keys["first"][1]
        return jwt.encode(claims(issuer), key, algorithm, {"kid": key_id})

    assert ask(identify, by("first"))
    assert refused(identify, by("encrypting"))
    assert refused(identify, by("longer"))
    assert refused(identify, by("longer", algorithm="RS512"))
    assert refused(identify, by("shared", b"k" * 32, "HS256"))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = by("short", short)
    assert refused(identify, token)


def test_the_service_serves_with_an_issuer() -> None:
    """
    As `make run AUTH=oidc` starts both: its tokens work, and no token is in the log.
    """
    with running(AUTH="oidc", DATA="none") as run:
        (consumers,) = re.findall(r"CONSUMER=\$\(curl -s '(\S+)'\)", run.greeting)
        where, _, query = consumers.partition("/token")
        token = over_http(where)("GET", f"/token{query}", {}, b"").document
        send = over_http(run.url)
        good = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        made = send("POST", "/v2/images", good, b"{}")
        bad = send("GET", "/v2/images", {"X-Auth-Token": f"{token}x"}, b"")
        none = send("GET", "/v2/images", {}, b"")
        _, log = run.end()

    assert (made.status, made.document["owner"]) == (201, "consumer")
    assert (bad.status, none.status) == (401, 401)
    assert bad.headers["www-authenticate"] == none.headers["www-authenticate"]
    assert bad.body == none.body
    assert "GET /v2/images 401" in log
    assert token.rpartition(".")[2] not in log
