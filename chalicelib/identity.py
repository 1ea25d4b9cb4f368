"""
Who the caller is: a token turned into a project, a user and a role.
"""

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from chalicelib.credentials import Incoming, highest_role, unauthorized
from chalicelib.domain.caller import Caller
from chalicelib.domain.projects import is_project_id
from chalicelib.settings import SettingError

Identify = Callable[[Incoming], Caller]
"""
Takes a request, and gives its caller.

Raises `Unauthorized` where there is none that is known, and `Unavailable` where that
cannot be found out just now; it never guesses.
"""

_PARTS = 3


def choose_identity(way: str, environ: Mapping[str, str]) -> Identify:
    """
    Give the way of identification that the setting `AUTH` names.

    Only the modules of that way are imported: each costs a cold start.

    Raises:
        SettingError: The way is unknown, is not allowed where the service runs, or
            lacks a setting of its own.
    """
    if way == "keystone":
        from chalicelib.keystone import Keystone  # noqa: PLC0415 - see above

        return Keystone(environ).identify
    if way == "oidc":
        from chalicelib.oidc import Oidc  # noqa: PLC0415 - see above

        return Oidc(environ).identify
    if way != "development":
        raise SettingError(
            f"The setting AUTH must be keystone, oidc or development, not {way!r}."
        )
    if "AWS_LAMBDA_FUNCTION_NAME" in environ:
        raise SettingError("AUTH=development trusts everyone: never inside Lambda.")
    return identify_in_development


def identify_in_development(incoming: Incoming) -> Caller:
    """
    Believe a token that reads `user:project:role,role`, three parts, none empty.

    A user's id is bound as a project's is: both are stored. The token may come
    percent-encoded, as python-glanceclient sends it.

    Raises:
        Unauthorized: The token is missing or does not read so.
    """
    parts = unquote(incoming.headers.get("x-auth-token", "")).split(":")
    if len(parts) != _PARTS or not all(map(is_project_id, parts[:2])) or not parts[2]:
        raise unauthorized('Development realm="cloud-images"')
    user_id, project_id, roles = parts
    role = highest_role(roles.split(","))
    return Caller(project_id, user_id, role, incoming.request_id)
