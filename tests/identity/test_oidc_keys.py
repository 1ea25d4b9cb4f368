"""Keys of an OpenID Connect issuer: how they are found, kept, and waited for."""

import base64
import json
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.errors import Unavailable
from chalicelib.identity import http_client
from chalicelib.identity.methods import Identify
from infra.local import issuer as local_issuer
from infra.local.issuer import Issuer
from tests.identity import faulty_proxy
from tests.identity.asking import ask, refusal, refused
from tests.identity.conftest import Clock
from tests.identity.faulty_proxy import FaultyProxy
from tests.identity.issuing import DISCOVERY, choose, claims, with_header


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
