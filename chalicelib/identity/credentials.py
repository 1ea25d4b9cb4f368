"""
What every way of identification shares: who asks, their token, and the one refusal.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chalicelib.domain.caller import Role
from chalicelib.errors import Unauthorized
from chalicelib.settings import SettingError

ROLES: Final = {
    "reader": Role.READER,
    "member": Role.MEMBER,
    "admin": Role.ADMIN,
}
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""What can be a token: API Gateway ends all headers at 10,240 bytes."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request before it is known whose it is.

    The path is that of the API, as sent: without a stage or a domain's prefix, and not
    decoded. Names of headers are found in any case.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    request_id: str

    def token(self, *, bearer: bool = False) -> str | None:
        """Give the token that it carries, or nothing where that can't be one.

        From `X-Auth-Token`; without it, where *bearer* is set, from `Authorization`.
        """
        text = self.headers.get("x-auth-token")
        if text is None and bearer:
            scheme, _, text = self.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return None
        text = (text or "").strip(" \t")
        return text if _TOKEN.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Given:
    """The settings of one way of identification, as they were given; none is empty."""

    way: str
    values: Mapping[str, str] = field(repr=False)

    def needed(self, name: str) -> str:
        """Give a setting that must be there.

        Raises:
            SettingError: It is not.
        """
        if name not in self.values:
            raise SettingError(
                f"The setting {name} is missing: AUTH={self.way} needs it."
            )
        return self.values[name]

    def get(self, name: str, otherwise: str = "") -> str:
        """Give a setting, or what holds where it is missing."""
        return self.values.get(name, otherwise)


def given(way: str, names: Iterable[str], environ: Mapping[str, str]) -> Given:
    """Take the settings of a way of identification from where they are.

    Raises:
        SettingError: One has a blank at an end, or a control character: the mark of a
            slip, which nobody would see in what goes wrong later. It is not quoted, as
            it may be a secret in a wrong place.
    """
    values = {name: environ[name] for name in names if environ.get(name)}
    for name, text in values.items():
        if not text.isprintable() or text != text.strip():
            raise SettingError(
                f"The setting {name} begins or ends with a blank, or has a character"
                " that does not print."
            )
    return Given(way, values)


def highest_role(names: Iterable[str]) -> Role:
    """
    Give the widest of the roles named; names that mean nothing here count for none.
    """
    return max((ROLES.get(name, Role.NONE) for name in names), default=Role.NONE)


def unauthorized(challenge: str) -> Unauthorized:
    """Make the one answer to every missing or bad token."""
    return Unauthorized(
        "The request you have made requires authentication.",
        {"WWW-Authenticate": challenge},
    )
