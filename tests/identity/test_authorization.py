"""The sign-in of the local issuer: by one code, once, for one page."""

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

import jwt
import pytest
import requests

from infra.local import authorization
from infra.local import issuer as local_issuer
from infra.local.authorization import CLIENT_ID, CODE_SECONDS, challenge
from infra.local.issuer import Issuer

PAGE = "http://127.0.0.1:8000/console"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
QUERY = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": PAGE,
    "state": 'a"b',
    "code_challenge": challenge(VERIFIER),
    "code_challenge_method": "S256",
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer at which the console of one address signs in."""
    with local_issuer.running(PAGE) as issuer:
        yield issuer


def chosen(issuer: Issuer, user: str, **changes: str) -> requests.Response:
    """Send the form of the issuer's page."""
    form = {**QUERY, **changes, "choice": user}
    url = f"{issuer.url}/authorize"
    return requests.post(url, form, allow_redirects=False, timeout=10)


def redirected(response: requests.Response) -> dict[str, str]:
    """Return what the client is told."""
    address, _, query = response.headers["Location"].partition("?")
    assert address == PAGE
    return dict(parse_qsl(query))


def redeemed(issuer: Issuer, code: str, /, **changes: str) -> requests.Response:
    """Exchange a code for a token, as a page does."""
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "redirect_uri": PAGE,
        "code": code,
        "code_verifier": VERIFIER,
        **changes,
    }
    headers = {"Origin": "http://127.0.0.1:8000"}
    return requests.post(f"{issuer.url}/token", form, headers=headers, timeout=10)


def test_a_code_is_exchanged_for_the_token_of_the_chosen_user(issuer: Issuer) -> None:
    """Which the page of the console's origin may read."""
    page = requests.get(f"{issuer.url}/authorize", QUERY, timeout=10)
    back = redirected(chosen(issuer, "bob:consumer:member"))

    response = redeemed(issuer, back.pop("code"))

    assert back == {"state": 'a"b', "iss": issuer.url}
    assert 'value="a&quot;b"' in page.text
    assert re.findall(r'"choice" value="(.+?)"', page.text) == [*authorization.USERS]
    allowed = response.headers["Access-Control-Allow-Origin"]
    assert allowed == "http://127.0.0.1:8000"
    token = response.json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["project_id"]) == ("bob", "consumer")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": VERIFIER[::-1]}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": PAGE + "/"}, "invalid_grant"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_for_whom_it_was_issued(
    issuer: Issuer, changes: dict[str, str], error: str
) -> None:
    """Another page, or one that has not begun the sign-in, gets no token."""
    code = redirected(chosen(issuer, "bob:consumer:member"))["code"]

    response = redeemed(issuer, code, **changes)

    assert response.status_code == 400
    assert response.json()["error"] == error


def test_a_code_is_used_once_and_soon(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the first use had the right verifier or not."""
    codes = [
        redirected(chosen(issuer, "bob:consumer:member"))["code"] for _ in range(3)
    ]
    used, tried, late = codes
    first = redeemed(issuer, used)
    redeemed(issuer, tried, code_verifier="wrong")
    responses = [redeemed(issuer, used), redeemed(issuer, tried)]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + CODE_SECONDS + 1)
    responses.append(redeemed(issuer, late))

    assert first.status_code == 200
    assert [one.json()["error"] for one in responses] == ["invalid_grant"] * 3


@pytest.mark.parametrize(
    "changes",
    [{"redirect_uri": "https://evil.example/console"}, {"client_id": "other"}],
)
def test_an_unknown_page_is_not_returned_to(
    issuer: Issuer, changes: dict[str, str]
) -> None:
    """Neither with a code nor with an error, and it may read nothing."""
    url, query = f"{issuer.url}/authorize", {**QUERY, **changes}
    headers = {"Origin": "https://evil.example"}
    got = requests.get(url, query, headers=headers, timeout=10)
    sent = chosen(issuer, "bob:consumer:member", **changes)

    for response in (got, sent):
        assert response.status_code == 400
        assert "Location" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("user", "changes", "error"),
    [
        ("", {}, "access_denied"),
        ("root:any:admin", {}, "access_denied"),
        ("", {"response_type": "token"}, "unsupported_response_type"),
        ("", {"code_challenge": ""}, "invalid_request"),
        ("", {"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_the_page_is_told_why_it_gets_no_code(
    issuer: Issuer, user: str, changes: dict[str, str], error: str
) -> None:
    """Without PKCE by S256 there is none."""
    result = redirected(chosen(issuer, user, **changes))

    assert result["error"] == error
    assert "code" not in result


def test_the_challenge_is_that_of_the_standard() -> None:
    """The example of RFC 7636, appendix B."""
    assert challenge(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
