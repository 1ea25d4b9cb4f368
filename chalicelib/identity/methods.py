"""The ways to identify a caller; the setting `AUTH` chooses one."""

from collections.abc import Callable, Mapping

from chalicelib.domain.caller import Caller
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.development import identify_in_development
from chalicelib.settings import SettingError

Identify = Callable[[Incoming], Caller]
"""Takes a request, and gives its caller.

Raises `Unauthorized` where there is none that is known, and `Unavailable` where that
cannot be found out just now; it never guesses.
"""


def choose_identity(way: str, environ: Mapping[str, str]) -> Identify:
    """Give the way of identification that the setting `AUTH` names.

    Only the modules of that way are imported: each costs a cold start.

    Raises:
        SettingError: The way is unknown, is not allowed where the service runs, or
            lacks a setting of its own.
    """
    if way == "keystone":
        from chalicelib.identity.keystone import Keystone  # noqa: PLC0415 - see above

        return Keystone(environ).identify
    if way == "oidc":
        from chalicelib.identity.oidc import Oidc  # noqa: PLC0415 - see above

        return Oidc(environ).identify
    if way != "development":
        raise SettingError(
            f"The setting AUTH must be keystone, oidc or development, not {way!r}."
        )
    if "AWS_LAMBDA_FUNCTION_NAME" in environ:
        raise SettingError("AUTH=development trusts everyone: never inside Lambda.")
    return identify_in_development
