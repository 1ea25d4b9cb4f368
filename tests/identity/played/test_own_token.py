"""The service's own token: signed in for, renewed, and by a secret that is rotated."""

import pytest

from chalicelib.domain.caller import Role
from chalicelib.errors import Unavailable
from chalicelib.identity.http_client import Response, UpstreamError
from chalicelib.identity.methods import Identify
from tests.identity.asking import ask, refusal, refused
from tests.identity.played.conftest import (
    APPLICATION,
    Frozen,
    Played,
    described,
    signed_in,
)
from tests.identity.test_settings import ARN


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
