"""What all methods of identification share: the token, the settings, the refusal."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from chalicelib.domain.caller import Role
from chalicelib.errors import Unauthorized
from chalicelib.identity.http_client import PEM_START
from chalicelib.settings import SettingError

ROLES: Final = {
    "reader": Role.READER,
    "member": Role.MEMBER,
    "admin": Role.ADMIN,
}
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""The form of a token; API Gateway limits all headers to 10,240 bytes."""


class Incoming(NamedTuple):
    """A request whose caller is not identified yet.

    The path is the API's, as sent: without a stage or a domain's prefix, and not
    decoded. The names of headers are case-insensitive.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    request_id: str

    def __repr__(self) -> str:
        """Leave the headers out, which hold a token."""
        return f"Incoming({self.method} {self.path}, {self.request_id})"

    def token(self, *, bearer: bool = False) -> str | None:
        """Return the token of `X-Auth-Token`, or None if it is malformed or absent.

        Without that header, or where it is empty, *bearer* permits `Authorization`.
        """
        text = self.headers.get("x-auth-token", "").strip(" \t")
        if not text and bearer:
            scheme, _, text = self.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return None
        text = text.strip(" \t")
        return text if _TOKEN.fullmatch(text) else None


class MethodSettings(NamedTuple):
    """The settings of one method of identification; none is empty."""

    method: str
    values: Mapping[str, str]

    def __repr__(self) -> str:
        """Leave the values out, which may be secrets."""
        return f"MethodSettings({self.method})"

    def require(self, name: str) -> str:
        """Return a mandatory setting.

        Raises:
            SettingError: It is missing.
        """
        if name not in self.values:
            raise SettingError(
                f"The setting {name} is missing: AUTH={self.method} requires it."
            )
        return self.values[name]

    def get(self, name: str, default: str = "") -> str:
        """Return a setting, or its default."""
        return self.values.get(name, default)


def read_method_settings(
    method: str, names: Iterable[str], environ: Mapping[str, str]
) -> MethodSettings:
    """Read the settings of a method of identification from environment variables.

    Raises:
        SettingError: A value has leading or trailing blanks, or control characters:
            a mistake that would be invisible in later errors. The message does not
            quote it, as it may be a misplaced secret.
    """
    values = {name: environ[name] for name in names if environ.get(name)}
    for name, text in values.items():
        if text.startswith(PEM_START):
            continue  # Certificates have several lines.
        if not text.isprintable() or text != text.strip():
            raise SettingError(
                f"The setting {name} has a leading or trailing blank, or an"
                " unprintable character; remove it."
            )
    return MethodSettings(method, values)


def highest_role(names: Iterable[str]) -> Role:
    """Return the highest of the named roles; unknown names count for none."""
    return max((ROLES.get(name, Role.NONE) for name in names), default=Role.NONE)


def unauthorized(challenge: str) -> Unauthorized:
    """Return the error of every missing or invalid token."""
    return Unauthorized(
        "The request you have made requires authentication.",
        {"WWW-Authenticate": challenge},
    )
