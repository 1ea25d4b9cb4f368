"""The token of a request, the settings of a method, and the tokens of development."""

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Unauthorized
from chalicelib.identity.credentials import Incoming, read_method_settings
from chalicelib.identity.development import identify_in_development
from chalicelib.identity.http_client import PEM_START
from chalicelib.settings import SettingError


def incoming(**headers: str) -> Incoming:
    """Return a request with headers, whose names have `_` for `-`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Incoming("GET", "/v2/images", named, "req-7")


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("XtokenX", "XtokenX"),
        (" \ttoken\t ", "token"),
        ("a" * 8192, "a" * 8192),
        ("a" * 8193, None),
        ("", None),
        ("two words", None),
        ("token\r\nX-Service-Token: other", None),
        ("\x0btoken", None),
        ("token\x7f", None),
        ("tok\u00e9n", None),
        ("\u00a0token\u00a0", None),
    ],
)
def test_a_token_is_printable_ascii_of_a_bounded_length(
    text: str, token: str | None
) -> None:
    """Else no identity service is asked; only blanks and tabs around it are ignored."""
    assert incoming(x_auth_token=text).token() == token
    assert incoming(authorization=f"Bearer {text}").token(bearer=True) == token


def test_a_bearer_token_counts_only_for_a_method_that_permits_it() -> None:
    """Keystone's does not."""
    request = incoming(authorization="Bearer token")

    assert request.token() is None
    assert request.token(bearer=True) == "token"


def test_a_certificate_hides_no_mistake_in_another_setting() -> None:
    """The lines of a certificate are permitted, a blank after the next value is not."""
    values = {"OS_CACERT": f"{PEM_START}\nMIIB\n", "OS_AUTH_URL": "https://k.example "}

    with pytest.raises(SettingError, match="The setting OS_AUTH_URL has a leading or"):
        read_method_settings("keystone", values, values)


@pytest.mark.parametrize(
    "token",
    [
        "alice:demo:reader,member",
        "alice%3Ademo%3Amember",
        "alice:demo:member,audit/logs",
        "alice:demo:member," + "a" * 300,
    ],
)
def test_a_development_token_names_its_caller(token: str) -> None:
    """By user, project and roles; a role of any other name is ignored."""
    caller = identify_in_development(incoming(x_auth_token=token))

    assert caller == Caller("demo", "alice", Role.MEMBER, "req-7")


UNAUTHENTICATED = "The request you have made requires authentication."
MALFORMED = (
    "A development token has the form user:project:role,role, such as"
    " alice:demo:member."
)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, UNAUTHENTICATED),
        ({"x_auth_token": ""}, UNAUTHENTICATED),
        ({"x_auth_token": "alice:a/b:member"}, MALFORMED),
    ],
)
def test_a_request_without_a_development_token_learns_how_to_identify(
    headers: dict[str, str], message: str
) -> None:
    """By the challenge of every 401."""
    with pytest.raises(Unauthorized) as refused:
        identify_in_development(incoming(**headers))

    assert refused.value.message == message
    challenge = {"WWW-Authenticate": 'Development realm="cloud-images"'}
    assert refused.value.headers == challenge
