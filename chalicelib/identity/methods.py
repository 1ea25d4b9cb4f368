"""The methods of identification; the setting `AUTH` chooses one."""

from collections.abc import Callable, Mapping

from chalicelib.domain.caller import Caller
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.development import identify_in_development
from chalicelib.late_imports import import_when_used
from chalicelib.settings import SettingError

Identify = Callable[[Incoming], Caller]
"""Returns the caller of a request.

Raises `Unauthorized` if the token is invalid, and `Unavailable` if that cannot be
determined at the moment.
"""


def choose_identity(method: str, environ: Mapping[str, str]) -> Identify:
    """Return the method of identification that the setting `AUTH` names.

    Only the modules of that method are imported: each adds to the cold start.

    Raises:
        SettingError: The method is unknown or not allowed in Lambda, or one of its
            settings is missing or wrong.
    """
    if method == "keystone":
        from chalicelib.identity.keystone import Keystone  # noqa: PLC0415 - see above

        return Keystone(environ).identify
    if method == "oidc":
        # PyJWT imports it for keys in certificates, which no issuer's key set has.
        import_when_used("cryptography.x509")
        from chalicelib.identity.oidc import Oidc  # noqa: PLC0415 - see above

        return Oidc(environ).identify
    if method != "development":
        raise SettingError(
            f"The setting AUTH must be keystone, oidc or development, not {method!r}."
        )
    if "AWS_LAMBDA_FUNCTION_NAME" in environ:
        raise SettingError(
            "AUTH=development accepts every token and is refused in Lambda."
        )
    return identify_in_development
