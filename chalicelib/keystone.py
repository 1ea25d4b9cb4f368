"""
Tokens of a Keystone v3: validated, remembered shortly, and kept to their rules.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from threading import Lock
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from chalicelib import environment
from chalicelib.access_rules import RULES_MAX, allows
from chalicelib.credentials import (
    Given,
    Incoming,
    given,
    highest_role,
    unauthorized,
)
from chalicelib.domain import Caller, Role, is_project_id
from chalicelib.environment import SettingError
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.remote import (
    RemoteError,
    Reply,
    ask,
    is_url,
    patience,
    trust,
    turn,
    within,
)

SETTINGS: Final = (
    "OS_AUTH_URL",
    "OS_CACERT",
    "OS_APPLICATION_CREDENTIAL_ID",
    "OS_APPLICATION_CREDENTIAL_SECRET",
    "OS_USER_ID",
    "OS_USERNAME",
    "OS_USER_DOMAIN_ID",
    "OS_USER_DOMAIN_NAME",
    "OS_PASSWORD",
    "OS_PROJECT_ID",
    "OS_PROJECT_NAME",
    "OS_PROJECT_DOMAIN_ID",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_SYSTEM_SCOPE",
    "KEYSTONE_CREDENTIAL",
)
"""
The settings of this way alone; `docs/settings.md` tells what each is for.
"""

TOKEN_MAX: Final = 4096
"""
How long a token may be: Keystone's have some hundred characters, and a server before
it may break off a request at 8,000.
"""

REMEMBERED_MAX: Final = 2000
"""
How many tokens are remembered, and how many refusals.
"""

REFUSED_FOR: Final = timedelta(seconds=5)
"""
How long a refusal is remembered.
"""

RENEWED_BEFORE: Final = timedelta(seconds=60)
"""
How long before its end the service's own token is renewed.
"""

PAUSE_SECONDS: Final = 5.0
"""
How long the service does not sign in after Keystone refused it, lest it be locked out.
"""

_SERVICE: Final = "image"
_VERSION: Final = re.compile(r"/(v\d[^/]*)", re.IGNORECASE)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Identity:
    """
    What a token says; `rules`, where there are any, are all that it may do here.
    """

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
    """
    So many values under the hash of a token, each until a moment.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[T, datetime]] = {}
        self._lock = Lock()

    def get(self, key: bytes) -> T | None:
        now = environment.now()
        value, until = self._kept.get(key, (None, now))
        return value if now < until else None

    def keep(self, key: bytes, value: T, until: datetime) -> None:
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= REMEMBERED_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (value, until)


class Keystone:
    """
    A Keystone, which the service asks with a credential of its own.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """
        Take the settings; nothing is asked yet.

        Raises:
            SettingError: One is missing or wrong.
        """
        self._given = given("keystone", SETTINGS, environ)
        self._url = _auth_url(self._given)
        if "AWS_LAMBDA_FUNCTION_NAME" in environ and self._url.startswith("http://"):
            raise SettingError(
                "The setting OS_AUTH_URL must start with https:// in Lambda."
            )
        self._ca_file = _ca_file(self._given)
        self._secret = self._given.get("KEYSTONE_CREDENTIAL")
        self._auth: Any = None
        self._signing_in = Lock()
        self._own: tuple[str, datetime] | None = None
        self._known_at = environment.now()
        self._signs_in_from = time.monotonic()
        self._known: _Memory[_Identity] = _Memory()
        self._refused: _Memory[bool] = _Memory()
        if self._secret:
            _check_arn(self._secret)
        else:
            self._auth = _auth(self._given)

    def identify(self, incoming: Incoming) -> Caller:
        """
        Give the caller whom Keystone knows by the token of a request.

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
        now = environment.now()
        if found is None or found[1] <= now:
            self._refused.keep(key, value=True, until=now + REFUSED_FOR)
            return None
        identity, expires = found
        shortly = timedelta(seconds=environment.settings.token_cache_seconds)
        self._known.keep(key, identity, min(expires, now + shortly))
        return identity

    def _validate(
        self, token: str, deadline: float
    ) -> tuple[_Identity, datetime] | None:
        """
        Give what a token says and until when; nothing where Keystone knows it not.

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
        self._known_at = environment.now()
        return _read(reply)

    def _is_known(self, own: str, deadline: float) -> bool:
        """
        Tell whether Keystone knows the service's *own* token, once in a while.

        It answers 404, as to a bad token, where the service's own user, project or
        application credential is gone.

        Raises:
            RemoteError: Keystone gave no answer.
        """
        if environment.now() - self._known_at >= REFUSED_FOR:
            if self._ask_about(own, own, deadline).status != HTTPStatus.OK:
                return False
            self._known_at = environment.now()
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
                or own[1] - environment.now() < RENEWED_BEFORE
            ):
                self._own = None
                self._own = own = self._sign_in(deadline)
                self._known_at = environment.now()
            return own[0]

    def _sign_in(self, deadline: float) -> tuple[str, datetime]:
        """
        Give a new token of the service's own, and its end.

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
        from chalicelib.secret import read_secret  # noqa: PLC0415 - in AWS alone

        arn = str(self._secret)
        values = within(deadline, arn, partial(read_secret, arn))
        return _auth(given("keystone", SETTINGS, {**self._given.values, **values}))


def _read(reply: Reply) -> tuple[_Identity, datetime]:
    """
    Read what a token says and until when.

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


def _auth_url(given: Given) -> str:
    url = given.needed("OS_AUTH_URL").rstrip("/")
    version = _VERSION.search(urlsplit(url).path) if is_url(url) else None
    has_version = version is not None and url.endswith("/v3")
    if not is_url(url) or (version and not (has_version and version[1] == "v3")):
        raise SettingError(
            "The setting OS_AUTH_URL must be the URL of a Keystone v3, without a user,"
            " a query, or anything behind /v3."
        )
    return url if has_version else f"{url}/v3"


def _ca_file(given: Given) -> str | None:
    path = given.get("OS_CACERT") or None
    try:
        if path:
            trust(path)
    except OSError:  # An SSLError, too.
        raise SettingError(
            f"The setting OS_CACERT must name a file of certificates, not {path!r}."
        ) from None
    return path


def _auth(given: Given) -> dict[str, Any]:
    """
    Make the request by which the service signs in.

    Raises:
        SettingError: Something of it is missing, or says two things.
    """
    prefix = "OS_APPLICATION_CREDENTIAL"
    if given.get(f"{prefix}_ID") or given.get(f"{prefix}_SECRET"):
        method = "application_credential"
        by = {
            name: given.needed(f"{prefix}_{name.upper()}") for name in ("id", "secret")
        }
        return {"auth": {"identity": {"methods": [method], method: by}}}
    password = given.needed("OS_PASSWORD")
    user = {**_named(given, "OS_USER", "OS_USERNAME"), "password": password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": _scope(given)}}


def _scope(given: Given) -> dict[str, Any]:
    system = given.get("OS_SYSTEM_SCOPE")
    if not system:
        return {"project": _named(given, "OS_PROJECT", "OS_PROJECT_NAME")}
    if system != "all":
        raise SettingError(f"The setting OS_SYSTEM_SCOPE must be all, not {system!r}.")
    for name in ("OS_PROJECT_ID", "OS_PROJECT_NAME"):
        if given.get(name):
            raise SettingError(
                f"The settings OS_SYSTEM_SCOPE and {name} exclude each other."
            )
    return {"system": {"all": True}}


def _named(given: Given, prefix: str, name: str) -> dict[str, Any]:
    if given.get(f"{prefix}_ID"):
        return {"id": given.get(f"{prefix}_ID")}
    named = given.needed(name)
    if given.get(f"{prefix}_DOMAIN_ID"):
        domain = {"id": given.get(f"{prefix}_DOMAIN_ID")}
    else:
        domain = {"name": given.needed(f"{prefix}_DOMAIN_NAME")}
    return {"name": named, "domain": domain}


def _check_arn(arn: str) -> None:
    from chalicelib.secret import ARN  # noqa: PLC0415 - in AWS alone

    if not ARN.fullmatch(arn):
        raise SettingError(
            "The setting KEYSTONE_CREDENTIAL must be the ARN of a secret of Secrets"
            " Manager or of a parameter of SSM, and not what that holds."
        )
