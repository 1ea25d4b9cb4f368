"""
Tokens of an OpenID Connect issuer: JWTs, checked against the keys that it publishes.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

import jwt

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import Unavailable
from chalicelib.identity.credentials import (
    ROLES,
    Given,
    Incoming,
    given,
    highest_role,
    unauthorized,
)
from chalicelib.identity.http_client import (
    RemoteError,
    ask,
    is_query,
    is_safe_url,
    patience,
    turn,
)
from chalicelib.settings import SettingError

SETTINGS: Final = (
    "OIDC_ISSUER",
    "OIDC_AUDIENCE",
    "OIDC_ALGORITHMS",
    "OIDC_PROJECT_CLAIM",
    "OIDC_ROLES_CLAIM",
    "OIDC_ROLE_MAP",
)
"""The settings of this way alone; `docs/settings.md` tells what each is for."""

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
LEEWAY: Final = timedelta(seconds=30)
"""By how much clocks may differ."""

KEYS_FOR: Final = timedelta(minutes=10)
"""How long the issuer's keys are used before they are fetched again."""

PAUSE: Final = timedelta(seconds=5)
"""How long nothing is fetched after the issuer failed to answer."""

_SILENT = "The issuer of tokens can't be asked just now."
_USER_ID_CHARACTERS = 255
_CUT_URL = re.compile(r"://[^/]*$")
_BROKEN = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What a token that was made to do harm may bring a parser to."""


_KeyName = tuple[str, str]
"""A key's id and its algorithm: an issuer may use one id for several kinds of keys."""


class Oidc:
    """An issuer of tokens, and how to read its claims."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the settings; nothing is asked yet.

        Raises:
            SettingError: One is missing or wrong.
        """
        settings = given("oidc", SETTINGS, environ)
        self._issuer = _issuer(
            settings, must_be_https="AWS_LAMBDA_FUNCTION_NAME" in environ
        )
        self._audience = settings.needed("OIDC_AUDIENCE")
        self._algorithms = _algorithms(settings.get("OIDC_ALGORITHMS", "RS256"))
        self._project_claim = _path(settings, "OIDC_PROJECT_CLAIM", "project_id")
        self._roles_claim = _path(settings, "OIDC_ROLES_CLAIM", "roles")
        self._role_map = _role_map(settings.get("OIDC_ROLE_MAP"))
        self._keys: dict[_KeyName, jwt.PyJWK] = {}
        self._fetched: datetime | None = None
        self._tried: datetime | None = None
        self._paused_until: datetime | None = None
        self._lock = Lock()

    def identify(self, incoming: Incoming) -> Caller:
        """Give the caller whom a JWT names, from `X-Auth-Token` or as a bearer's.

        Raises:
            Unauthorized: The token is not the issuer's, not for this service, not of
                this time, or its claims don't read as configured.
            Unavailable: The issuer's keys can't be had.
        """
        token = incoming.token(bearer=True)
        claims = self._claims(token) if token else None
        who = self._read(claims) if claims is not None else None
        if who is None:
            raise unauthorized(
                f'Bearer realm="cloud-images", authorization_uri="{self._issuer}"'
            )
        project_id, user_id, roles = who
        role = highest_role(self._role_map.get(name, "") for name in roles)
        return Caller(project_id, user_id, role, incoming.request_id)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """
        Give what a token claims, where its signature, issuer, audience and time hold.
        """
        try:
            header = jwt.get_unverified_header(token)
        except _BROKEN:
            return None
        key_id, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in self._algorithms or not isinstance(key_id, str):
            return None
        key = self._key((key_id, algorithm))
        if key is None:
            return None
        try:
            # The key is bound to its own algorithm: the token's word must be the same.
            return jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
        except _BROKEN:
            return None

    def _read(self, claims: dict[str, Any]) -> tuple[str, str, list[str]] | None:
        """Give project, user and names of roles, or nothing where one can't be that."""
        user_id = claims["sub"]
        project_id = _at(claims, self._project_claim)
        roles = _at(claims, self._roles_claim)
        if isinstance(roles, str):
            roles = roles.split(" ")  # As `scope` has them.
        # A `/` is common in the names of users; nobody addresses them.
        is_user_id = 0 < len(user_id) <= _USER_ID_CHARACTERS and user_id.isprintable()
        if not is_user_id or not isinstance(project_id, str):
            return None
        # `#` parts the keys of the table.
        if not project_id.isprintable() or "#" in project_id:
            return None
        if not is_project_id(project_id) or not isinstance(roles, list | None):
            return None
        if not all(isinstance(name, str) for name in roles or []):
            return None
        return project_id, user_id, roles or []

    def _key(self, name: _KeyName) -> jwt.PyJWK | None:
        """Give the issuer's key of an id and an algorithm, where it has one.

        Whoever invents ids makes us fetch once in `OIDC_REFETCH_SECONDS` at the most.

        Raises:
            Unavailable: The issuer does not tell its keys.
        """
        known = self._known(name)
        if known is not None:
            return known  # Without a turn, which those who fetch may hold for long.
        deadline = patience()
        try:
            with turn(self._lock, deadline):
                now = clock.now()
                if not self._is_fresh(now):
                    self._fetch(now, deadline)
                elif name not in self._keys:
                    self._fetch_seldom(now, deadline)
                return self._keys.get(name)
        except RemoteError as error:
            raise Unavailable(_SILENT) from error

    def _known(self, name: _KeyName) -> jwt.PyJWK | None:
        return self._keys.get(name) if self._is_fresh(clock.now()) else None

    def _fetch_seldom(self, now: datetime, deadline: float) -> None:
        """Fetch, unless that was tried just now."""
        seldom = timedelta(seconds=settings.current.oidc_refetch_seconds)
        if self._tried is None or now - self._tried >= seldom:
            self._fetch(now, deadline)
        elif self._tried != self._fetched:
            raise RemoteError("The issuer failed to answer not long ago.")

    def _is_fresh(self, now: datetime) -> bool:
        return self._fetched is not None and now - self._fetched < KEYS_FOR

    def _fetch(self, now: datetime, deadline: float) -> None:
        if self._paused_until is not None and now < self._paused_until:
            raise RemoteError("The issuer failed to answer just now.")
        self._tried = now
        try:
            self._keys = self._published(deadline)
        except RemoteError:
            self._paused_until = clock.now() + PAUSE
            raise
        self._fetched = now

    def _published(self, deadline: float) -> dict[_KeyName, jwt.PyJWK]:
        """Give the keys that the issuer publishes for the configured algorithms.

        Raises:
            RemoteError: It gives no answer, or none that can be understood.
        """
        base = self._issuer.removesuffix("/")
        about = _get(f"{base}/.well-known/openid-configuration", deadline)
        where = about.get("jwks_uri")
        if about.get("issuer") != self._issuer or not isinstance(where, str):
            raise RemoteError(f"{self._issuer} describes another issuer, or no keys.")
        if not self._is_as_safe(where):
            raise RemoteError(f"{self._issuer} has its keys where anyone could be.")
        published = _get(where, deadline).get("keys")
        if not isinstance(published, list):
            raise RemoteError(f"{self._issuer} publishes no list of keys.")
        keys = {}
        for one in published:
            if (
                not isinstance(one, dict)
                or one.get("use", "sig") != "sig"
                or "d" in one
            ):
                continue  # Not to check signatures with, or private.
            try:
                key = jwt.PyJWK(one)
            except (*_BROKEN, NotImplementedError):
                continue  # Of a kind that is not for us.
            if key.algorithm_name in self._algorithms and isinstance(key.key_id, str):
                keys[key.key_id, key.algorithm_name] = key
        if not keys:
            raise RemoteError(f"{self._issuer} publishes no key to check tokens with.")
        return keys

    def _is_as_safe(self, url: str) -> bool:
        """Tell whether nobody can answer at a URL who can't at the issuer's."""
        address, _, query = url.partition("?")
        is_as_safe = url.startswith("https://") or self._issuer.startswith("http://")
        return is_safe_url(address) and is_query(query) and is_as_safe


def _get(url: str, deadline: float) -> dict[str, Any]:
    reply = ask("GET", url, headers={"Accept": "application/json"}, deadline=deadline)
    if reply.status != HTTPStatus.OK:
        raise RemoteError(f"{url} answers {reply.status}.")
    return reply.document()


def _at(claims: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    """Give the claim at a path, or nothing where there is none."""
    for name in path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def _issuer(given: Given, *, must_be_https: bool) -> str:
    issuer = given.needed("OIDC_ISSUER")
    if not is_safe_url(issuer) or (must_be_https and issuer.startswith("http://")):
        raise SettingError(
            "The setting OIDC_ISSUER must be an https:// URL, to the letter as the"
            " issuer's tokens have it, without a user or a query."
        )
    return issuer


def _algorithms(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(ALGORITHMS):
        raise SettingError(
            "The setting OIDC_ALGORITHMS must be some of RS256,ES256,EdDSA,"
            f" not {text!r}."
        )
    return names


def _path(given: Given, name: str, otherwise: str) -> list[str]:
    r"""
    Read the path to a claim: names with `.` between; one that is a name's own is `\.`.
    """
    text = given.get(name, otherwise)
    parts = re.split(r"(?<!\\)\.", text)
    cut = any(_CUT_URL.search(part) for part in parts[:-1])
    if cut or not all(part and part == part.strip() for part in parts):
        raise SettingError(
            f"The setting {name} must be a claim's name, or several with a dot between,"
            f" where a name's own dot is \\., not {text!r}."
        )
    return [part.replace("\\.", ".") for part in parts]


def _role_map(text: str) -> dict[str, str]:
    """
    Read which of the issuer's roles is which role here: `theirs=reader,others=member`.
    """
    if not text:
        return {role: role for role in ROLES}
    pairs = [pair.rpartition("=") for pair in text.split(",")]
    roles = {theirs: ours for theirs, _, ours in pairs}
    are_roles = all(
        theirs and theirs == theirs.strip() and ours in ROLES
        for theirs, ours in roles.items()
    )
    if not are_roles or len(roles) < len(pairs):
        raise SettingError(
            "The setting OIDC_ROLE_MAP must read theirs=reader,others=member and so"
            " on, each of theirs once, with reader, member or admin, no blanks between,"
            f" not {text!r}."
        )
    return roles
