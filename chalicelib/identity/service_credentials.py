"""The settings of Keystone: its URL, and the credential of the service's own user."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from chalicelib.identity.credentials import MethodSettings
from chalicelib.identity.http_client import PEM_START, is_url, tls_context
from chalicelib.settings import SettingError

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
"""The settings of this method; docs/settings.md describes each."""

_VERSION: Final = re.compile(r"/(v\d[^/]*)", re.IGNORECASE)


def auth_url(method_settings: MethodSettings) -> str:
    """Return the URL of Keystone's version 3.

    Raises:
        SettingError: It is missing or invalid.
    """
    url = method_settings.require("OS_AUTH_URL").rstrip("/")
    version = _VERSION.search(urlsplit(url).path) if is_url(url) else None
    has_version = version is not None and url.endswith("/v3")
    if not is_url(url) or (version and not (has_version and version[1] == "v3")):
        raise SettingError(
            "The setting OS_AUTH_URL must be the URL of a Keystone v3, without a user,"
            " a query, or a path after /v3."
        )
    return url if has_version else f"{url}/v3"


def certificate_authorities(method_settings: MethodSettings) -> str | None:
    """Return the file or the PEM of Keystone's CAs, or None for the system's.

    Raises:
        SettingError: There is no such file, or it or the PEM has no certificates.
    """
    authorities = method_settings.get("OS_CACERT") or None
    try:
        if authorities:
            tls_context(authorities)
    except (OSError, ValueError):  # An SSLError, too.
        is_pem = str(authorities).startswith(PEM_START)
        found = "damaged ones" if is_pem else repr(authorities)
        raise SettingError(
            f"The setting OS_CACERT must name a file of certificates, not {found}."
        ) from None
    return authorities


def sign_in_request(method_settings: MethodSettings) -> dict[str, Any]:
    """Return the body of the request for the service's own token.

    Raises:
        SettingError: A setting of the credential is missing, or contradicts another.
    """
    prefix = "OS_APPLICATION_CREDENTIAL"
    if method_settings.get(f"{prefix}_ID") or method_settings.get(f"{prefix}_SECRET"):
        method = "application_credential"
        by = {
            name: method_settings.require(f"{prefix}_{name.upper()}")
            for name in ("id", "secret")
        }
        return {"auth": {"identity": {"methods": [method], method: by}}}
    password = method_settings.require("OS_PASSWORD")
    user = {**_named(method_settings, "OS_USER", "OS_USERNAME"), "password": password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": _scope(method_settings)}}


def _scope(method_settings: MethodSettings) -> dict[str, Any]:
    system = method_settings.get("OS_SYSTEM_SCOPE")
    if not system:
        return {"project": _named(method_settings, "OS_PROJECT", "OS_PROJECT_NAME")}
    if system != "all":
        raise SettingError(f"The setting OS_SYSTEM_SCOPE must be all, not {system!r}.")
    for name in ("OS_PROJECT_ID", "OS_PROJECT_NAME"):
        if method_settings.get(name):
            raise SettingError(
                f"The settings OS_SYSTEM_SCOPE and {name} cannot be combined."
            )
    return {"system": {"all": True}}


def _named(method_settings: MethodSettings, prefix: str, name: str) -> dict[str, Any]:
    if method_settings.get(f"{prefix}_ID"):
        return {"id": method_settings.get(f"{prefix}_ID")}
    named = method_settings.require(name)
    if method_settings.get(f"{prefix}_DOMAIN_ID"):
        domain = {"id": method_settings.get(f"{prefix}_DOMAIN_ID")}
    else:
        domain = {"name": method_settings.require(f"{prefix}_DOMAIN_NAME")}
    return {"name": named, "domain": domain}


def check_arn(arn: str) -> None:
    """Raise unless the setting of the secret is an ARN.

    Raises:
        SettingError: It is not. The message does not quote it: it may be the secret.
    """
    from chalicelib.identity.secret import ARN  # noqa: PLC0415 - in AWS alone

    if not ARN.fullmatch(arn):
        raise SettingError(
            "The setting KEYSTONE_CREDENTIAL must be the ARN of a secret of Secrets"
            " Manager or of a parameter of SSM, not the secret itself."
        )
