"""Tokens of an OpenID Connect issuer: whom a good one names, and what attackers try."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unauthorized
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.methods import Identify
from infra.local.issuer import AUDIENCE, Issuer
from tests.actors import over_http
from tests.identity.asking import ask, refusal, refused
from tests.identity.issuing import DISCOVERY, Claims, choose, claims, part, with_header
from tests.local.service import running


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
