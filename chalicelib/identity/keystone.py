"""Tokens of a Keystone v3: validated, remembered shortly, and kept to their rules."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.identity.access_rules import RULES_MAX, allows
from chalicelib.identity.credentials import Incoming, given, highest_role, unauthorized
from chalicelib.identity.http_client import (
    RemoteError,
    Reply,
    ask,
    patience,
    turn,
    within,
)
from chalicelib.identity.service_credentials import (
    SETTINGS,
    auth_url,
    ca_file,
    check_arn,
    sign_in_request,
)
from chalicelib.settings import SettingError

TOKEN_MAX: Final = 4096
"""How long a token may be: Keystone's have some hundred characters, and a server before
it may break off a request at 8,000.
"""

REMEMBERED_MAX: Final = 2000
"""How many tokens are remembered, and how many refusals."""

REFUSED_FOR: Final = timedelta(seconds=5)
"""How long a refusal is remembered."""

RENEWED_BEFORE: Final = timedelta(seconds=60)
"""How long before its end the service's own token is renewed."""

PAUSE_SECONDS: Final = 5.0
"""
How long the service does not sign in after Keystone refused it, lest it be locked out.
"""

_SERVICE: Final = "image"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a token says; `rules`, where there are any, are all that it may do here."""

    project_id: str
    user_id: str
    role: Role
    rules: tuple[tuple[str, str], ...] | None

    def may(self, incoming: Incoming) -> bool:
        return self.rules is None or any(
            method == incoming.method and allows(pattern, incoming.path)
            for method, pattern in self.rules
        )


class _Memory(Generic[T]):
    """So many values under the hash of a token, each until a moment."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[T, datetime]] = {}
        self._lock = Lock()

    def get(self, key: bytes) -> T | None:
        now = clock.now()
        value, until = self._kept.get(key, (None, now))
        return value if now < until else None

    def keep(self, key: bytes, value: T, until: datetime) -> None:
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= REMEMBERED_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (value, until)


class Keystone:
    """A Keystone, which the service asks with a credential of its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the settings; nothing is asked yet.

        Raises:
            SettingError: One is missing or wrong.
        """
        self._given = given("keystone", SETTINGS, environ)
        self._url = auth_url(self._given)
        if "AWS_LAMBDA_FUNCTION_NAME" in environ and self._url.startswith("http://"):
            raise SettingError(
                "The setting OS_AUTH_URL must start with https:// in Lambda."
            )
        self._ca_file = ca_file(self._given)
        self._secret = self._given.get("KEYSTONE_CREDENTIAL")
        self._auth: Any = None
        self._signing_in = Lock()
        self._own: tuple[str, datetime] | None = None
        self._known_at = clock.now()
        self._signs_in_from = time.monotonic()
        self._known: _Memory[_Identity] = _Memory()
        self._refused: _Memory[bool] = _Memory()
        if self._secret:
            check_arn(self._secret)
        else:
            self._auth = sign_in_request(self._given)

    def identify(self, incoming: Incoming) -> Caller:
        """Give the caller whom Keystone knows by the token of a request.

        A token for no project, or for a domain or the whole system, has no role here:
        the reference gives it only what needs none.

        Raises:
            Unauthorized: Keystone does not know the token, or it may not do this.
            Unavailable: Keystone can't be asked; what is remembered still counts.
        """
        # Keystone reads a Fernet token with any number of `=` behind it.
        token = (incoming.token() or "").rstrip("=")
        found = self._find(token) if 0 < len(token) <= TOKEN_MAX else None
        if found is None or not found.may(incoming):
            raise self._refusal()
        return Caller(found.project_id, found.user_id, found.role, incoming.request_id)

    def _refusal(self) -> Unauthorized:
        return unauthorized(f'Keystone uri="{self._url}"')

    def _find(self, token: str) -> _Identity | None:
        key = hashlib.sha256(token.encode()).digest()
        if self._refused.get(key):
            return None
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            found = self._validate(token, patience())
        except (RemoteError, SettingError) as error:
            raise Unavailable("Keystone can't be asked just now.") from error
        now = clock.now()
        if found is None or found[1] <= now:
            self._refused.keep(key, value=True, until=now + REFUSED_FOR)
            return None
        identity, expires = found
        shortly = timedelta(seconds=settings.current.token_cache_seconds)
        self._known.keep(key, identity, min(expires, now + shortly))
        return identity

    def _validate(
        self, token: str, deadline: float
    ) -> tuple[_Identity, datetime] | None:
        """Give what a token says and until when; nothing where Keystone knows it not.

        Raises:
            RemoteError: Keystone gave no answer, or refuses the service itself.
            SettingError: The secret lacks something.
        """
        own = self._own_token(deadline)
        reply = self._ask_about(token, own, deadline)
        if reply.status == HTTPStatus.UNAUTHORIZED or (
            reply.status == HTTPStatus.NOT_FOUND and not self._is_known(own, deadline)
        ):
            own = self._own_token(deadline, refused=own)
            reply = self._ask_about(token, own, deadline)
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        if reply.status != HTTPStatus.OK:
            raise RemoteError(f"Keystone answers {reply.status} to the service.")
        self._known_at = clock.now()
        return _read(reply)

    def _is_known(self, own: str, deadline: float) -> bool:
        """Tell whether Keystone knows the service's *own* token, once in a while.

        It answers 404, as to a bad token, where the service's own user, project or
        application credential is gone.

        Raises:
            RemoteError: Keystone gave no answer.
        """
        if clock.now() - self._known_at >= REFUSED_FOR:
            if self._ask_about(own, own, deadline).status != HTTPStatus.OK:
                return False
            self._known_at = clock.now()
        return True

    def _ask_about(self, token: str, own: str, deadline: float) -> Reply:
        headers = {
            "X-Auth-Token": own,
            "X-Subject-Token": token,
            # Without it Keystone hides a token that has access rules.
            "OpenStack-Identity-Access-Rules": "1.0",
        }
        url = f"{self._url}/auth/tokens?nocatalog"
        return ask(
            "GET", url, headers=headers, deadline=deadline, ca_file=self._ca_file
        )

    def _own_token(self, deadline: float, *, refused: str = "") -> str:
        """
        Give the service's own token, a new one where what it has ends or was *refused*.
        """
        with turn(self._signing_in, deadline):
            own = self._own
            if (
                own is None
                or own[0] == refused
                or own[1] - clock.now() < RENEWED_BEFORE
            ):
                self._own = None
                self._own = own = self._sign_in(deadline)
                self._known_at = clock.now()
            return own[0]

    def _sign_in(self, deadline: float) -> tuple[str, datetime]:
        """Give a new token of the service's own, and its end.

        A secret that was known is read again once Keystone refuses it: it may have
        been rotated.
        """
        if time.monotonic() < self._signs_in_from:
            raise RemoteError("Keystone refused the service just now.")
        known = self._auth
        if known is None:
            self._signs_in_from = time.monotonic() + PAUSE_SECONDS
            self._auth = self._read_secret(deadline)
            self._signs_in_from = time.monotonic()
        reply = self._ask_for_token(deadline)
        # 401, or 404 for an application credential that is gone.
        if reply.status != HTTPStatus.CREATED and self._secret and known:
            self._auth = None
            self._signs_in_from = time.monotonic() + PAUSE_SECONDS
            self._auth = self._read_secret(deadline)
            self._signs_in_from = time.monotonic()
            if self._auth != known:
                reply = self._ask_for_token(deadline)
        if reply.status != HTTPStatus.CREATED:
            self._signs_in_from = time.monotonic() + PAUSE_SECONDS
            if self._secret:
                self._auth = None
            raise RemoteError(
                f"Keystone answers {reply.status} as the service signs in."
            )
        token = reply.headers.get("x-subject-token", "")
        if not (token and token.isascii() and token.isprintable()):
            raise RemoteError("Keystone gave the service no token.")
        return token, _expiry(reply.document().get("token"))

    def _ask_for_token(self, deadline: float) -> Reply:
        return ask(
            "POST",
            f"{self._url}/auth/tokens?nocatalog",
            headers={"Content-Type": "application/json"},
            document=self._auth,
            deadline=deadline,
            ca_file=self._ca_file,
        )

    def _read_secret(self, deadline: float) -> Any:  # noqa: ANN401 - JSON, as Keystone takes it
        from chalicelib.identity.secret import read_secret  # noqa: PLC0415 - in AWS alone

        arn = str(self._secret)
        values = within(deadline, arn, partial(read_secret, arn))
        return sign_in_request(
            given("keystone", SETTINGS, {**self._given.values, **values})
        )


def _read(reply: Reply) -> tuple[_Identity, datetime]:
    """Read what a token says and until when.

    Raises:
        RemoteError: It says what no Keystone does.
    """
    token: Any = reply.document().get("token")
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
        raise RemoteError("Keystone describes a token in no known form.") from None
    if not isinstance(user_id, str) or not isinstance(project_id, str):
        raise RemoteError("Keystone gives ids that are no texts.")
    if project is None:
        return _Identity("", user_id, Role.NONE, rules), expires
    if not (is_project_id(project_id) and is_project_id(user_id)):
        raise RemoteError("Keystone gives ids that can be none.")
    return _Identity(project_id, user_id, highest_role(names), rules), expires


def _expiry(token: Any) -> datetime:  # noqa: ANN401 - any JSON
    try:
        expires = datetime.fromisoformat(token["expires_at"])
    except (KeyError, TypeError, ValueError):
        raise RemoteError("Keystone gives a token that never ends.") from None
    if expires.tzinfo is None:
        raise RemoteError("Keystone gives a time without its zone.")
    return expires
