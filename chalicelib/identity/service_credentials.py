"""
What an `openrc` file tells: where a Keystone is, and how the service signs in there.
"""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from chalicelib.identity.credentials import Given
from chalicelib.identity.http_client import is_url, trust
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
"""The settings of this way alone; `docs/settings.md` tells what each is for."""

_VERSION: Final = re.compile(r"/(v\d[^/]*)", re.IGNORECASE)


def auth_url(given: Given) -> str:
    """Give Keystone's URL, up to its version.

    Raises:
        SettingError: It is missing, or is none.
    """
    url = given.needed("OS_AUTH_URL").rstrip("/")
    version = _VERSION.search(urlsplit(url).path) if is_url(url) else None
    has_version = version is not None and url.endswith("/v3")
    if not is_url(url) or (version and not (has_version and version[1] == "v3")):
        raise SettingError(
            "The setting OS_AUTH_URL must be the URL of a Keystone v3, without a user,"
            " a query, or anything behind /v3."
        )
    return url if has_version else f"{url}/v3"


def ca_file(given: Given) -> str | None:
    """
    Give the file of authorities that Keystone's certificate may be of, if one is named.

    Raises:
        SettingError: It is none.
    """
    path = given.get("OS_CACERT") or None
    try:
        if path:
            trust(path)
    except OSError:  # An SSLError, too.
        raise SettingError(
            f"The setting OS_CACERT must name a file of certificates, not {path!r}."
        ) from None
    return path


def sign_in_request(given: Given) -> dict[str, Any]:
    """Make the request by which the service signs in.

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


def check_arn(arn: str) -> None:
    """See that what names the secret is an ARN.

    Raises:
        SettingError: It is none; it is not quoted, as it may be the secret itself.
    """
    from chalicelib.identity.secret import ARN  # noqa: PLC0415 - in AWS alone

    if not ARN.fullmatch(arn):
        raise SettingError(
            "The setting KEYSTONE_CREDENTIAL must be the ARN of a secret of Secrets"
            " Manager or of a parameter of SSM, and not what that holds."
        )
