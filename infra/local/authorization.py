"""The sign-in of the local issuer: authorization codes with PKCE (RFC 7636)."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from html import escape
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlencode

from infra.local.examples import ADMIN, CONSUMER, PARTNER, PRODUCER

CLIENT_ID: Final = "cloud-images-console"
CODE_SECONDS: Final = 60
"""Lifetime of a code, in seconds."""

USERS: Final = (PRODUCER, CONSUMER, PARTNER, ADMIN)
"""Whom the page offers to sign in as: `user:project:role`."""

_HTML: Final = "text/html; charset=UTF-8"
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>Sign in to the local issuer</title>
<main>
<h1>{title}</h1>
{content}
</main>
</html>
"""

Parameters = Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """What the issuer responds with."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class _Code:
    user: str
    redirect_uri: str
    challenge: str
    expires: float


@dataclass
class Authorization:
    """The codes of one public client, by which a page signs in."""

    issuer: str
    redirect_uris: frozenset[str]
    sign: Callable[[str], dict[str, Any]]
    """Return the document with the token of `user:project:role`."""

    _codes: dict[str, _Code] = field(default_factory=dict)

    def ask(self, query: Parameters) -> Reply:
        """Return the page on which one chooses a user, or the error to return to."""
        refusal = self._refusal(query)
        if refusal:
            return refusal
        hidden = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">\n'
            for name, value in query.items()
        )
        buttons = "".join(
            f'<p><button name="choice" value="{user}">{user}</button></p>\n'
            for user in USERS
        )
        cancel = '<p><button name="choice" value="">Cancel</button></p>\n'
        form = f'<form method="post" action="authorize">\n{hidden}{buttons}{cancel}'
        words = "<p>The example users of this machine: user:project:role.</p>"
        content = f"{words}\n{form}</form>"
        return _page(HTTPStatus.OK, "Sign in to Cloud Images", content)

    def choose(self, form: Parameters) -> Reply:
        """Return to the client with the code of a user, or with a refusal."""
        refusal = self._refusal(form)
        if refusal:
            return refusal
        if form.get("choice") not in USERS:
            return self._back(form, {"error": "access_denied"})
        code = token_urlsafe()
        self._codes[code] = _Code(
            user=form["choice"],
            redirect_uri=form["redirect_uri"],
            challenge=form["code_challenge"],
            expires=time.monotonic() + CODE_SECONDS,
        )
        return self._back(form, {"code": code})

    def redeem(self, form: Parameters) -> Reply:
        """Return the token of a code; whatever comes of it, the code is used up."""
        if form.get("client_id") != CLIENT_ID:
            return _error("invalid_client", "The client is not registered.")
        if form.get("grant_type") != "authorization_code":
            return _error("unsupported_grant_type", "Only authorization_code is.")
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires < time.monotonic():
            return _error("invalid_grant", "The code is unknown, used or expired.")
        if form.get("redirect_uri") != code.redirect_uri:
            return _error("invalid_grant", "The redirect_uri is another one.")
        if not compare_digest(challenge(form.get("code_verifier", "")), code.challenge):
            return _error("invalid_grant", "The code_verifier is another one.")
        return _document(HTTPStatus.OK, self.sign(code.user))

    def _refusal(self, query: Parameters) -> Reply | None:
        """Return why no code is issued, or None.

        An address that is not registered gets nothing, not even the error.
        """
        if query.get("client_id") != CLIENT_ID:
            words = "<p>The client_id is not registered.</p>"
            return _page(HTTPStatus.BAD_REQUEST, "No such client", words)
        if query.get("redirect_uri") not in self.redirect_uris:
            words = "<p>The redirect_uri is not registered for this client.</p>"
            return _page(HTTPStatus.BAD_REQUEST, "No such address", words)
        if query.get("response_type") != "code":
            return self._back(query, {"error": "unsupported_response_type"})
        if query.get("code_challenge_method") != "S256" or not query.get(
            "code_challenge"
        ):
            words = "A code_challenge by S256 is required."
            error = {"error": "invalid_request", "error_description": words}
            return self._back(query, error)
        return None

    def _back(self, query: Parameters, answer: Parameters) -> Reply:
        fields = {**answer, "state": query.get("state", ""), "iss": self.issuer}
        location = f"{query['redirect_uri']}?{urlencode(fields)}"
        return Reply(HTTPStatus.SEE_OTHER, {"Location": location})


def challenge(verifier: str) -> str:
    """Return the challenge of a verifier, by S256.

    >>> challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    digest = sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def origins_of(redirect_uris: Iterable[str]) -> set[str]:
    """Return the origins whose pages may read what the issuer responds."""
    return {"/".join(uri.split("/")[:3]) for uri in redirect_uris}


def _page(status: HTTPStatus, title: str, content: str) -> Reply:
    page = _PAGE.format(title=title, content=content)
    return Reply(status, {"Content-Type": _HTML}, page.encode())


def _error(error: str, words: str) -> Reply:
    document = {"error": error, "error_description": words}
    return _document(HTTPStatus.BAD_REQUEST, document)


def _document(status: HTTPStatus, document: Mapping[str, Any]) -> Reply:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Reply(status, headers, json.dumps(document).encode())
