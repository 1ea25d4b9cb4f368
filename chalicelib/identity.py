"""
Who the caller is: a token turned into a project, a user and a role.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from chalicelib.domain import Caller, Role, is_project_id
from chalicelib.environment import SettingError
from chalicelib.errors import Unauthorized

Identify = Callable[[Mapping[str, str], str], Caller]
"""
Takes a request's headers and id, and gives its caller or raises `Unauthorized`.
"""

ROLES: Final = {
    "reader": Role.READER,
    "member": Role.MEMBER,
    "admin": Role.ADMIN,
}
_PARTS = 3


def choose_identity(way: str, environ: Mapping[str, str]) -> Identify:
    """
    Give the way of identification that the setting `AUTH` names.

    Raises:
        SettingError: The way is unknown, or is not allowed where the service runs.
    """
    if way != "development":
        raise SettingError(f"The setting AUTH must be development, not {way!r}.")
    if "AWS_LAMBDA_FUNCTION_NAME" in environ:
        raise SettingError("AUTH=development trusts everyone: never inside Lambda.")
    return identify_in_development


def identify_in_development(headers: Mapping[str, str], request_id: str) -> Caller:
    """
    Believe a token that reads `user:project:role,role`, three parts, none empty.

    A user's id is bound as a project's is: both are stored. The token may come
    percent-encoded, as python-glanceclient sends it.

    Raises:
        Unauthorized: The token is missing or does not read so.
    """
    parts = unquote(headers.get("x-auth-token", "")).split(":")
    if len(parts) != _PARTS or not all(map(is_project_id, parts[:2])) or not parts[2]:
        raise unauthorized('Development realm="cloud-images"')
    user_id, project_id, roles = parts
    return Caller(project_id, user_id, highest_role(roles.split(",")), request_id)


def highest_role(names: list[str]) -> Role:
    """
    Give the widest of the roles named; names that mean nothing here count for none.
    """
    return max((ROLES.get(name, Role.NONE) for name in names), default=Role.NONE)


def unauthorized(challenge: str) -> Unauthorized:
    """
    Make the one answer to every missing or bad token.
    """
    return Unauthorized(
        "The request you have made requires authentication.",
        {"WWW-Authenticate": challenge},
    )
