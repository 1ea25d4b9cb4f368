"""JWTs of an OpenID Connect issuer, verified with the keys that it publishes."""

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
    Incoming,
    MethodSettings,
    highest_role,
    read_method_settings,
    unauthorized,
)
from chalicelib.identity.http_client import (
    UpstreamError,
    acquired,
    is_query,
    is_safe_url,
    new_deadline,
    send_request,
)
from chalicelib.settings import SettingError

SETTINGS: Final = (
    "OIDC_ISSUER",
    "OIDC_AUDIENCE",
    "OIDC_ALGORITHMS",
    "OIDC_PROJECT_CLAIM",
    "OIDC_ROLES_CLAIM",
    "OIDC_ROLE_MAP",
    "CONSOLE_CLIENT_ID",
    "CONSOLE_SCOPE",
)
"""The settings of this method; docs/settings.md describes each.

The last two are for browsers, which sign in on the console's page.
"""

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
LEEWAY: Final = timedelta(seconds=30)
"""Maximum difference of the issuer's clock."""

KEYS_LIFETIME: Final = timedelta(minutes=10)
"""Lifetime of the issuer's keys in the cache."""

FETCH_PAUSE: Final = timedelta(seconds=5)
"""Pause after the issuer failed to respond."""

_UNAVAILABLE = "The identity service is unavailable; retry."
_USER_ID_CHARACTERS_MAX = 255
_CUT_URL = re.compile(r"://[^/]*$")
_PARSER_ERRORS = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What a parser may raise on a hostile token."""


_KeyName = tuple[str, str]
"""A key's id and its algorithm: an issuer may use one id for several kinds of keys."""


class Oidc:
    """A verifier of an issuer's tokens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the settings; send no request yet.

        Raises:
            SettingError: A setting is missing or wrong.
        """
        values = read_method_settings("oidc", SETTINGS, environ)
        self._issuer = _issuer(
            values, must_be_https="AWS_LAMBDA_FUNCTION_NAME" in environ
        )
        self._audience = values.require("OIDC_AUDIENCE")
        self._algorithms = _algorithms(values.get("OIDC_ALGORITHMS", "RS256"))
        self._project_claim = _path(values, "OIDC_PROJECT_CLAIM", "project_id")
        self._roles_claim = _path(values, "OIDC_ROLES_CLAIM", "roles")
        self._role_map = _role_map(values.get("OIDC_ROLE_MAP"))
        self._keys: dict[_KeyName, jwt.PyJWK] = {}
        self._fetched: datetime | None = None
        self._tried: datetime | None = None
        self._paused_until: datetime | None = None
        self._lock = Lock()

    def identify(self, incoming: Incoming) -> Caller:
        """Return the caller of a request, by the JWT of its token.

        Raises:
            Unauthorized: Signature, issuer, audience, time or claims are invalid.
            Unavailable: The issuer's keys are unavailable.
        """
        token = incoming.token(bearer=True)
        claims = self._claims(token) if token else None
        identity = self._identity_of(claims) if claims is not None else None
        if identity is None:
            raise unauthorized(
                f'Bearer realm="cloud-images", authorization_uri="{self._issuer}"'
            )
        project_id, user_id, roles = identity
        role = highest_role(self._role_map.get(name, "") for name in roles)
        return Caller(project_id, user_id, role, incoming.request_id)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token, or None if it is invalid."""
        try:
            header = jwt.get_unverified_header(token)
        except _PARSER_ERRORS:
            return None
        key_id, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in self._algorithms or not isinstance(key_id, str):
            return None
        key = self._key((key_id, algorithm))
        if key is None:
            return None
        try:
            # A key has one algorithm; the token must name the same.
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
        except _PARSER_ERRORS:
            return None

    def _identity_of(self, claims: dict[str, Any]) -> tuple[str, str, list[str]] | None:
        """Return the project, the user and the roles, or None if one is invalid."""
        user_id = claims["sub"]
        project_id = _at(claims, self._project_claim)
        roles = _at(claims, self._roles_claim)
        if isinstance(roles, str):
            roles = roles.split(" ")  # As `scope` has them.
        # A `/` is common in the names of users, which are in no path.
        is_user_id = (
            0 < len(user_id) <= _USER_ID_CHARACTERS_MAX and user_id.isprintable()
        )
        if not is_user_id or not isinstance(project_id, str):
            return None
        # `#` is the separator in the table's keys.
        if not project_id.isprintable() or "#" in project_id:
            return None
        if not is_project_id(project_id) or not isinstance(roles, list | None):
            return None
        if not all(isinstance(name, str) for name in roles or []):
            return None
        return project_id, user_id, roles or []

    def _key(self, name: _KeyName) -> jwt.PyJWK | None:
        """Return the issuer's key of an id and an algorithm, or None.

        Tokens with unknown ids cause one fetch in `OIDC_REFETCH_SECONDS` at most.

        Raises:
            Unavailable: The issuer's keys are unavailable.
        """
        known = self._known(name)
        if known is not None:
            return known  # Without the lock, which a slow fetch may hold for long.
        deadline = new_deadline()
        try:
            with acquired(self._lock, deadline):
                now = clock.now()
                if not self._is_fresh(now):
                    self._fetch(now, deadline)
                elif name not in self._keys:
                    self._fetch_seldom(now, deadline)
                return self._keys.get(name)
        except UpstreamError as error:
            raise Unavailable(_UNAVAILABLE) from error

    def _known(self, name: _KeyName) -> jwt.PyJWK | None:
        return self._keys.get(name) if self._is_fresh(clock.now()) else None

    def _fetch_seldom(self, now: datetime, deadline: float) -> None:
        """Fetch the keys, unless that was tried in the last `OIDC_REFETCH_SECONDS`."""
        seldom = timedelta(seconds=settings.current.oidc_refetch_seconds)
        if self._tried is None or now - self._tried >= seldom:
            self._fetch(now, deadline)
        elif self._tried != self._fetched:
            raise UpstreamError(
                "The issuer failed to respond; the next attempt is paused."
            )

    def _is_fresh(self, now: datetime) -> bool:
        return self._fetched is not None and now - self._fetched < KEYS_LIFETIME

    def _fetch(self, now: datetime, deadline: float) -> None:
        if self._paused_until is not None and now < self._paused_until:
            raise UpstreamError(
                "The issuer failed to respond; the next attempt is paused."
            )
        self._tried = now
        try:
            self._keys = self._published(deadline)
        except UpstreamError:
            self._paused_until = clock.now() + FETCH_PAUSE
            raise
        self._fetched = now

    def _published(self, deadline: float) -> dict[_KeyName, jwt.PyJWK]:
        """Return the keys that the issuer publishes for the configured algorithms.

        Raises:
            UpstreamError: It did not respond, or its documents are invalid.
        """
        base = self._issuer.removesuffix("/")
        metadata = _get(f"{base}/.well-known/openid-configuration", deadline)
        jwks_uri = metadata.get("jwks_uri")
        if metadata.get("issuer") != self._issuer or not isinstance(jwks_uri, str):
            raise UpstreamError(f"{self._issuer} names another issuer, or no jwks_uri.")
        if not self._is_as_safe(jwks_uri):
            raise UpstreamError(f"{self._issuer} has a jwks_uri that is not safe.")
        published = _get(jwks_uri, deadline).get("keys")
        if not isinstance(published, list):
            raise UpstreamError(f"{self._issuer} publishes no list of keys.")
        keys = {}
        for jwk in published:
            if (
                not isinstance(jwk, dict)
                or jwk.get("use", "sig") != "sig"
                or "d" in jwk
            ):
                continue  # For encryption, or private.
            try:
                key = jwt.PyJWK(jwk)
            except (*_PARSER_ERRORS, NotImplementedError):
                continue  # Of an unsupported kind.
            if key.algorithm_name in self._algorithms and isinstance(key.key_id, str):
                keys[key.key_id, key.algorithm_name] = key
        if not keys:
            raise UpstreamError(
                f"{self._issuer} publishes no key to verify tokens with."
            )
        return keys

    def _is_as_safe(self, url: str) -> bool:
        """Return whether a URL is as safe from interception as the issuer's."""
        address, _, query = url.partition("?")
        is_as_safe = url.startswith("https://") or self._issuer.startswith("http://")
        return is_safe_url(address) and is_query(query) and is_as_safe


def _get(url: str, deadline: float) -> dict[str, Any]:
    response = send_request(
        "GET", url, headers={"Accept": "application/json"}, deadline=deadline
    )
    if response.status != HTTPStatus.OK:
        raise UpstreamError(f"{url} responds with status {response.status}.")
    return response.document()


def _at(claims: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    """Return the claim at a path, or None."""
    for name in path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def _issuer(method_settings: MethodSettings, *, must_be_https: bool) -> str:
    issuer = method_settings.require("OIDC_ISSUER")
    if not is_safe_url(issuer) or (must_be_https and issuer.startswith("http://")):
        raise SettingError(
            "The setting OIDC_ISSUER must be an https:// URL without a user or a query,"
            " exactly as in the tokens' `iss`."
        )
    return issuer


def _algorithms(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(ALGORITHMS):
        raise SettingError(
            "The setting OIDC_ALGORITHMS must be a list of RS256, ES256 and EdDSA,"
            f" not {text!r}."
        )
    return names


def _path(method_settings: MethodSettings, name: str, default: str) -> list[str]:
    r"""Parse the path of a claim: names separated by `.`; a dot in a name is `\.`."""
    text = method_settings.get(name, default)
    parts = re.split(r"(?<!\\)\.", text)
    cut = any(_CUT_URL.search(part) for part in parts[:-1])
    if cut or not all(part and part == part.strip() for part in parts):
        raise SettingError(
            f"The setting {name} must be the name of a claim, or a path of names"
            f" separated by dots, with a name's own dot as \\., not {text!r}."
        )
    return [part.replace("\\.", ".") for part in parts]


def _role_map(text: str) -> dict[str, str]:
    """Parse the map of the issuer's roles to ours: `theirs=reader,others=member`."""
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
            "The setting OIDC_ROLE_MAP must map each of the issuer's roles once to"
            " reader, member or admin, without blanks, as in"
            f" theirs=reader,others=member, not {text!r}."
        )
    return roles
