"""Tokens of a Keystone v3: validated, cached, and held to their access rules."""

import hashlib
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from threading import Lock
from typing import Any, Final, Generic, NamedTuple, TypeVar

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity.access_rules import RULES_MAX, allows
from chalicelib.identity.credentials import (
    Incoming,
    highest_role,
    read_method_settings,
    unauthorized,
)
from chalicelib.identity.http_client import (
    Response,
    UpstreamError,
    acquired,
    call_with_deadline,
    new_deadline,
    send_request,
)
from chalicelib.identity.service_credentials import (
    SETTINGS,
    auth_url,
    certificate_authorities,
    check_arn,
    sign_in_request,
)
from chalicelib.settings import SettingError

TOKEN_CHARACTERS_MAX: Final = 4096
"""Maximum length of a token, in characters.

Keystone's have some hundred; a server in front of it may reject a header of 8,000.
"""

CACHED_TOKENS_MAX: Final = 2000
"""Maximum number of tokens in each cache: of valid tokens, and of refused ones."""

REFUSAL_LIFETIME: Final = timedelta(seconds=5)
"""Lifetime of a refusal in the cache."""

RENEWAL_MARGIN: Final = timedelta(seconds=60)
"""Time before its expiry at which the service's own token is renewed."""

SIGN_IN_PAUSE_SECONDS: Final = 5.0
"""Pause after Keystone refused the service's credential, in seconds.

Frequent attempts could lock the service's user out.
"""

_SERVICE: Final = "image"

T = TypeVar("T")


class _Identity(NamedTuple):
    """The content of a token; `rules`, if not None, are all that it permits."""

    project_id: str
    user_id: str
    role: Role
    rules: tuple[tuple[str, str], ...] | None

    def permits(self, incoming: Incoming) -> bool:
        return self.rules is None or any(
            method == incoming.method and allows(pattern, incoming.path)
            for method, pattern in self.rules
        )


class _TokenCache(Generic[T]):
    """A bounded cache of values by the hash of a token, each with its expiry."""

    def __init__(self) -> None:
        self._entries: dict[bytes, tuple[T, datetime]] = {}
        self._lock = Lock()

    def get(self, key: bytes) -> T | None:
        now = clock.now()
        value, expires = self._entries.get(key, (None, now))
        return value if now < expires else None

    def put(self, key: bytes, value: T, expires: datetime) -> None:
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= CACHED_TOKENS_MAX:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = (value, expires)


class Keystone:
    """A client of Keystone, with a credential of its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the settings; send no request yet.

        Raises:
            SettingError: A setting is missing or wrong.
        """
        self._settings = read_method_settings("keystone", SETTINGS, environ)
        self._url = auth_url(self._settings)
        if "AWS_LAMBDA_FUNCTION_NAME" in environ and self._url.startswith("http://"):
            raise SettingError(
                "The setting OS_AUTH_URL must start with https:// in Lambda."
            )
        self._authorities = certificate_authorities(self._settings)
        self._secret = self._settings.get("KEYSTONE_CREDENTIAL")
        self._auth: Any = None
        self._signing_in = Lock()
        self._service_token: tuple[str, datetime] | None = None
        self._known_at = clock.now()
        self._signs_in_from = time.monotonic()
        self._valid: _TokenCache[_Identity] = _TokenCache()
        self._refused: _TokenCache[bool] = _TokenCache()
        if self._secret:
            check_arn(self._secret)
        else:
            self._auth = sign_in_request(self._settings)

    def identify(self, incoming: Incoming) -> Caller:
        """Return the caller of a request, by its token.

        A token without a project, or for a domain or the whole system, has no role:
        the reference permits it only what needs none.

        Raises:
            Unauthorized: The token is invalid, or its access rules forbid the request.
            Unavailable: Keystone is unavailable, and the token is not in the cache.
        """
        # Keystone accepts a Fernet token with any number of `=` appended.
        token = (incoming.token() or "").rstrip("=")
        identity = None
        if 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            identity = self._identity_of(token)
        if identity is None or not identity.permits(incoming):
            raise self._refusal()
        return Caller(
            identity.project_id, identity.user_id, identity.role, incoming.request_id
        )

    def _refusal(self) -> Unauthorized:
        return unauthorized(f'Keystone uri="{self._url}"')

    def _identity_of(self, token: str) -> _Identity | None:
        key = hashlib.sha256(token.encode()).digest()
        if self._refused.get(key):
            return None
        known = self._valid.get(key)
        if known is not None:
            return known
        try:
            found = self._validate(token, new_deadline())
        except (UpstreamError, SettingError) as error:
            raise Unavailable("The identity service is unavailable; retry.") from error
        now = clock.now()
        if found is None or found[1] <= now:
            self._refused.put(key, value=True, expires=now + REFUSAL_LIFETIME)
            return None
        identity, expires = found
        shortly = timedelta(seconds=settings.current.token_cache_seconds)
        self._valid.put(key, identity, min(expires, now + shortly))
        return identity

    def _validate(
        self, token: str, deadline: float
    ) -> tuple[_Identity, datetime] | None:
        """Return a token's identity and expiry, or None if Keystone does not know it.

        Raises:
            UpstreamError: Keystone did not respond, or refuses the service's own token.
            SettingError: The secret lacks a setting.
        """
        own = self._own_token(deadline)
        response = self._request_validation(token, own, deadline)
        if response.status == HTTPStatus.UNAUTHORIZED or (
            response.status == HTTPStatus.NOT_FOUND
            and not self._is_known(own, deadline)
        ):
            own = self._own_token(deadline, refused=own)
            response = self._request_validation(token, own, deadline)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise UpstreamError(f"Keystone responds with status {response.status}.")
        self._known_at = clock.now()
        return _read(response)

    def _is_known(self, own: str, deadline: float) -> bool:
        """Return whether Keystone knows the service's *own* token, by a check at times.

        Keystone responds with 404, as to an invalid token, when the service's own user,
        project or application credential was deleted.

        Raises:
            UpstreamError: Keystone did not respond.
        """
        if clock.now() - self._known_at >= REFUSAL_LIFETIME:
            if self._request_validation(own, own, deadline).status != HTTPStatus.OK:
                return False
            self._known_at = clock.now()
        return True

    def _request_validation(self, token: str, own: str, deadline: float) -> Response:
        headers = {
            "X-Auth-Token": own,
            "X-Subject-Token": token,
            # Without it Keystone hides a token that has access rules.
            "OpenStack-Identity-Access-Rules": "1.0",
        }
        url = f"{self._url}/auth/tokens?nocatalog"
        return send_request(
            "GET",
            url,
            headers=headers,
            deadline=deadline,
            authorities=self._authorities,
        )

    def _own_token(self, deadline: float, *, refused: str = "") -> str:
        """Return the service's own token; renew it if it expires or was *refused*."""
        with acquired(self._signing_in, deadline):
            own = self._service_token
            if (
                own is None
                or own[0] == refused
                or own[1] - clock.now() < RENEWAL_MARGIN
            ):
                self._service_token = None
                self._service_token = own = self._sign_in(deadline)
                self._known_at = clock.now()
            return own[0]

    def _sign_in(self, deadline: float) -> tuple[str, datetime]:
        """Return a new token of the service, and its expiry.

        When Keystone refuses the credential, the secret is read again: it may have been
        rotated.
        """
        if time.monotonic() < self._signs_in_from:
            raise UpstreamError(
                "Keystone refused the service's credential; the next attempt is paused."
            )
        known = self._auth
        if known is None:
            self._signs_in_from = time.monotonic() + SIGN_IN_PAUSE_SECONDS
            self._auth = self._read_secret(deadline)
            self._signs_in_from = time.monotonic()
        response = self._request_token(deadline)
        # 401, or 404 for an application credential that is gone.
        if response.status != HTTPStatus.CREATED and self._secret and known:
            self._auth = None
            self._signs_in_from = time.monotonic() + SIGN_IN_PAUSE_SECONDS
            self._auth = self._read_secret(deadline)
            self._signs_in_from = time.monotonic()
            if self._auth != known:
                response = self._request_token(deadline)
        if response.status != HTTPStatus.CREATED:
            self._signs_in_from = time.monotonic() + SIGN_IN_PAUSE_SECONDS
            if self._secret:
                self._auth = None
            raise UpstreamError(
                f"Keystone responds to the service's credential with {response.status}."
            )
        token = response.headers.get("x-subject-token")
        if not (token and token.isascii() and token.isprintable()):
            raise UpstreamError("Keystone's response has no token.")
        return token, _expiry(response.document().get("token"))

    def _request_token(self, deadline: float) -> Response:
        return send_request(
            "POST",
            f"{self._url}/auth/tokens?nocatalog",
            headers={"Content-Type": "application/json"},
            document=self._auth,
            deadline=deadline,
            authorities=self._authorities,
        )

    def _read_secret(self, deadline: float) -> Any:  # noqa: ANN401 - JSON, as Keystone takes it
        from chalicelib.identity.secret import read_secret  # noqa: PLC0415 - in AWS alone

        arn = str(self._secret)
        values = call_with_deadline(deadline, arn, partial(read_secret, arn))
        whole = read_method_settings(
            "keystone", SETTINGS, {**self._settings.values, **values}
        )
        self._authorities = certificate_authorities(whole)
        return sign_in_request(whole)


def _read(response: Response) -> tuple[_Identity, datetime]:
    """Parse the identity of a token and its expiry.

    Raises:
        UpstreamError: The response is not of the form of a Keystone's.
    """
    token: Any = response.document().get("token")
    expires = _expiry(token)
    try:
        user_id = token["user"]["id"]
        project = token.get("project")
        names = [role["name"].lower() for role in token.get("roles", [])]
        rules = (token.get("application_credential") or {}).get("access_rules")
        if rules is not None:
            rules = tuple(
                (str(rule["method"]), str(rule["path"]))
                for rule in rules
                if rule["service"] == _SERVICE
            )[:RULES_MAX]
        project_id = "" if project is None else project["id"]
    except (AttributeError, KeyError, TypeError):
        raise UpstreamError(
            "Keystone's description of the token has an unknown form."
        ) from None
    if not isinstance(user_id, str) or not isinstance(project_id, str):
        raise UpstreamError("Keystone's ids are not strings.")
    if project is None:
        return _Identity("", user_id, Role.NONE, rules), expires
    if not (is_project_id(project_id) and is_project_id(user_id)):
        raise UpstreamError("Keystone's ids are invalid.")
    return _Identity(project_id, user_id, highest_role(names), rules), expires


def _expiry(token: Any) -> datetime:  # noqa: ANN401 - any JSON
    try:
        expires = datetime.fromisoformat(token["expires_at"])
    except (KeyError, TypeError, ValueError):
        raise UpstreamError("Keystone's token has no expiry.") from None
    if expires.tzinfo is None:
        raise UpstreamError("Keystone's expiry has no time zone.")
    return expires
