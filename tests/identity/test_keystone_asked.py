"""
How Keystone is asked: seldom, by a credential that is renewed, and never for too long.
"""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unavailable
from chalicelib.identity import http_client
from chalicelib.identity.methods import Identify, choose_identity
from infra.local.keystone import (
    PASSWORD,
    PEOPLE,
    SERVICE,
    Keystone,
    scope_to,
    service_environment,
)
from tests.configuring import configure
from tests.identity import faulty_proxy
from tests.identity.asking import ask, refusal, refused
from tests.identity.conftest import Clock
from tests.identity.faulty_proxy import FaultyProxy

pytestmark = [pytest.mark.keystone, pytest.mark.xdist_group("keystone")]

VALIDATE = "GET /v3/auth/tokens?nocatalog"
SIGN_IN = "POST /v3/auth/tokens?nocatalog"


@pytest.fixture
def proxy(keystone: Keystone) -> Iterator[FaultyProxy]:
    """What stands between the service and its Keystone."""
    with faulty_proxy.before(keystone.url) as between:
        yield between


@pytest.fixture
def identify(proxy: FaultyProxy) -> Identify:
    """The identity of a container that has just started."""
    return choose_identity("keystone", service_environment(proxy.url))


def token_of(keystone: Keystone, cloud: str = "producer") -> str:
    """Return a new token of one of those who are always there."""
    user, project, _ = PEOPLE[cloud]
    return keystone.sign_in(user, PASSWORD, scope_to(project))[0]


def test_a_warm_cache_asks_nothing(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """
    The first request signs in and validates, the next token is validated, then nothing.
    """
    producer, consumer = token_of(keystone), token_of(keystone, "consumer")

    first = ask(identify, producer)
    second = ask(identify, consumer)
    again = ask(identify, producer)

    assert proxy.requests == [SIGN_IN, VALIDATE, VALIDATE]
    assert first == again
    assert first.project_id != second.project_id
    assert first.role is Role.MEMBER


def test_what_is_remembered_counts_for_a_minute(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone, clock: Clock
) -> None:
    """So long may a token that was revoked go on; not a second longer."""
    token = token_of(keystone)
    ask(identify, token)
    keystone.revoke(token)

    clock.advance(59)
    ask(identify, token)
    assert proxy.requests == [SIGN_IN, VALIDATE]
    clock.advance(1)

    assert refused(identify, token)


def test_nothing_is_remembered_beyond_the_tokens_end(
    identify: Identify, keystone: Keystone, clock: Clock
) -> None:
    """Nor does a token whose time is over count because Keystone's clock is late."""
    token = token_of(keystone)
    clock.advance(3600 - 30)
    ask(identify, token)

    clock.advance(31)

    assert refused(identify, token)


def test_a_refusal_is_remembered_for_seconds(
    identify: Identify, proxy: FaultyProxy, clock: Clock
) -> None:
    """A repeated bad token causes no request each time.

    As often the service makes sure that it is not its own that Keystone lost.
    """
    assert [refused(identify, "junk") for _ in range(3)] == [True] * 3
    assert proxy.requests == [SIGN_IN, VALIDATE]

    clock.advance(6)

    assert [refused(identify, f"junk-{number}") for number in range(3)] == [True] * 3
    assert proxy.requests == [SIGN_IN, VALIDATE, *[VALIDATE] * 2, VALIDATE, VALIDATE]


def test_what_cannot_be_a_token_is_not_asked_about(
    identify: Identify, proxy: FaultyProxy
) -> None:
    """Too long, with odd bytes, or none at all."""
    for token in (
        "",
        " ",
        "x" * 4097,
        "x" * 8193,
        "a b",
        "\xe9",
        "a\r\nX-Auth-Token: b",
        "\x00",
    ):
        assert refused(identify, token)

    assert proxy.requests == []


def test_the_memory_is_bounded(
    identify: Identify,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    keystone: Keystone,
) -> None:
    """The oldest is forgotten; bad tokens push out no good one."""
    monkeypatch.setattr("chalicelib.identity.keystone.CACHED_TOKENS_MAX", 2)
    first, second, third = (token_of(keystone) for _ in range(3))
    for token in (first, second):
        ask(identify, token)
    for number in range(5):
        refused(identify, f"junk-{number}")
    before = len(proxy.requests)

    ask(identify, first)
    assert len(proxy.requests) == before
    ask(identify, third)
    ask(identify, second)
    assert len(proxy.requests) == before + 1
    ask(identify, first)
    assert len(proxy.requests) == before + 2


def test_the_services_own_token_is_renewed(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone, clock: Clock
) -> None:
    """A minute before it ends."""
    ask(identify, token_of(keystone))
    # Real time passes as well, more of it on a busy machine.
    clock.advance(3600 - 90)
    ask(identify, token_of(keystone))
    assert proxy.requests.count(SIGN_IN) == 1

    clock.advance(30)
    ask(identify, token_of(keystone))

    assert proxy.requests.count(SIGN_IN) == 2


def test_the_services_own_token_is_renewed_when_it_is_refused(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """At once, within the same request."""
    ask(identify, token_of(keystone))
    keystone.revoke(proxy.headers["X-Auth-Token"])
    proxy.requests.clear()

    caller = ask(identify, token_of(keystone))

    assert caller.role is Role.MEMBER
    assert proxy.requests == [VALIDATE, SIGN_IN, VALIDATE]


def test_many_at_once_sign_in_once(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """At the start, and when what the service had is refused."""
    tokens = [token_of(keystone) for _ in range(8)]

    def ask_all(tokens: list[str]) -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(partial(ask, identify), tokens))

    ask_all(tokens[:4])
    assert proxy.requests.count(SIGN_IN) == 1
    keystone.revoke(proxy.headers["X-Auth-Token"])
    ask_all(tokens[4:])

    assert proxy.requests.count(SIGN_IN) == 2


def test_an_application_credential_signs_in(
    proxy: FaultyProxy, keystone: Keystone
) -> None:
    """In the place of a password."""
    user, project, _ = SERVICE
    token, said = keystone.sign_in(user, PASSWORD, scope_to(project))
    made = keystone.call(
        "POST",
        f"/users/{said['user']['id']}/application_credentials",
        {"application_credential": {"name": "images"}},
        token,
    )["application_credential"]

    identify = choose_identity(
        "keystone",
        {
            "OS_AUTH_URL": proxy.url,
            "OS_APPLICATION_CREDENTIAL_ID": made["id"],
            "OS_APPLICATION_CREDENTIAL_SECRET": made["secret"],
        },
    )

    assert ask(identify, token_of(keystone)).role is Role.MEMBER


def test_a_refused_service_answers_503_and_pauses(
    proxy: FaultyProxy, keystone: Keystone
) -> None:
    """It does not sign in again at each request, so that its user is not locked out."""
    wrong = service_environment(proxy.url) | {"OS_PASSWORD": "wrong"}
    identify = choose_identity("keystone", wrong)

    refusals = [refusal(identify, token_of(keystone)) for _ in range(3)]

    assert all(isinstance(one, Unavailable) for one in refusals)
    assert proxy.requests == [SIGN_IN]


def test_a_service_that_may_not_validate_answers_503(
    proxy: FaultyProxy, keystone: Keystone
) -> None:
    """A user without the role `service` is not believed to know tokens."""
    user, project, _ = PEOPLE["consumer"]
    powerless = {"OS_USERNAME": user, "OS_PROJECT_NAME": project}
    environ = service_environment(proxy.url) | powerless
    identify = choose_identity("keystone", environ)

    assert isinstance(refusal(identify, token_of(keystone)), Unavailable)


def said(**changes: Any) -> str:
    """Return what Keystone says of a token, with some of it changed."""
    token = {
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "user": {"id": "u"},
        "project": {"id": "p"},
        "roles": [{"name": "admin"}],
    }
    return json.dumps({"token": {**token, **changes}})


BROKEN = {
    "an error": (500, ""),
    "a refusal": (403, "{}"),
    "401 each time": (401, "{}"),
    "a redirect": (302, ""),
    "a page": (200, "<html>Sign in</html>"),
    "nothing": (200, ""),
    "a list": (200, "[]"),
    "no token": (200, "{}"),
    "a token that is none": (200, '{"token": "yes"}'),
    "depths": (200, "[" * 100_000),
    "a flood": (200, said(more="x" * 1_000_001)),
    "no end": (200, said(expires_at=None)),
    "an end without a zone": (200, said(expires_at="2999-01-01T00:00:00")),
    "an end that is none": (200, said(expires_at="never")),
    "no user": (200, said(user=None)),
    "a user without id": (200, said(user={})),
    "a user whose id is none": (200, said(user={"id": 1})),
    "a project without id": (200, said(project={})),
    "a project that is a list": (200, said(project=[])),
    "a project with a slash": (200, said(project={"id": "a/b"})),
    "a project of half a letter": (200, said(project={"id": "\ud800"})),
    "roles that are none": (200, said(roles="admin")),
    "a role without a name": (200, said(roles=[{"name": None}])),
    "rules that are none": (200, said(application_credential={"access_rules": 1})),
    "a rule that is none": (200, said(application_credential={"access_rules": ["*"]})),
}


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_makes_no_sense_is_503(
    identify: Identify,
    proxy: FaultyProxy,
    keystone: Keystone,
    response: tuple[int, str],
) -> None:
    """Never a pass, and nothing of it is remembered."""
    known, unknown = token_of(keystone), token_of(keystone)
    ask(identify, known)
    proxy.to, proxy.response = ("GET",), response

    assert isinstance(refusal(identify, unknown), Unavailable)
    assert refusal(identify, unknown).headers == {"Retry-After": "1"}
    assert len(proxy.requests) <= 2 + 2 * 3
    assert ask(identify, known).role is Role.MEMBER

    proxy.heal()
    assert ask(identify, unknown).role is Role.MEMBER


def test_an_answer_that_makes_sense_is_believed(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """The table of those that make none is made from it; roles are read in any case."""
    proxy.to, proxy.response = ("GET",), (200, said(roles=[{"name": "ADMIN"}]))

    caller = ask(identify, token_of(keystone))

    assert caller == Caller("p", "u", Role.ADMIN, "req-1")


@pytest.mark.parametrize("fault", ["slow", "drops"])
@pytest.mark.parametrize("request_line", ["GET", "POST"])
def test_a_slow_keystone_is_503(  # noqa: PLR0913 - a row
    *,
    identify: Identify,
    proxy: FaultyProxy,
    keystone: Keystone,
    fault: str,
    request_line: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    After so much patience, once, though it might send a byte now and then for ever.
    """
    proxy.to = (request_line,)
    setattr(proxy, fault, True)
    token = token_of(keystone)

    with monkeypatch.context() as hurry:
        hurry.setattr(http_client, "WAIT_SECONDS_MAX", 3.0)
        assert isinstance(refusal(identify, token), Unavailable)
    assert proxy.requests[-1].startswith(request_line)
    assert sum(line.startswith(request_line) for line in proxy.requests) == 1

    proxy.heal()
    assert ask(identify, token).role is Role.MEMBER


def test_a_keystone_that_is_down_is_503(keystone: Keystone) -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = service_environment(f"http://127.0.0.1:{port}")
    identify = choose_identity("keystone", environ)

    assert isinstance(refusal(identify, token_of(keystone)), Unavailable)


def test_no_exception_holds_a_secret(
    identify: Identify, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """Neither the caller's token nor the service's own nor its password."""
    token = token_of(keystone)
    proxy.to, proxy.response = ("GET",), (500, "")

    error: BaseException | None = refusal(identify, token)
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error.args}")
        error = error.__cause__ or error.__context__

    assert len(texts) == 2
    assert [one for one in texts if token in one or "gAAAA" in one] == []


def test_the_memory_may_be_none(
    proxy: FaultyProxy, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKEN_CACHE_SECONDS=0: Keystone is asked each time."""
    configure(monkeypatch, token_cache_seconds=0)
    identify = choose_identity("keystone", service_environment(proxy.url))
    token = token_of(keystone)

    ask(identify, token)
    ask(identify, token)

    assert proxy.requests == [SIGN_IN, VALIDATE, VALIDATE]
