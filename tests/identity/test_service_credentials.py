"""What the settings of Keystone make: its URL, and the request that signs in."""

from pathlib import Path
from typing import Any

import pytest

from chalicelib.identity.credentials import MethodSettings
from chalicelib.identity.service_credentials import (
    auth_url,
    certificate_authorities,
    check_arn,
    sign_in_request,
)
from chalicelib.settings import SettingError
from tests.identity.test_settings import ARN, BAD_ARN, BAD_FILE, KEYSTONE
from tests.sources.test_connections import certificate


def settings(**changes: str) -> MethodSettings:
    """Return the settings of a password, with changes; none is empty."""
    values = {name: text for name, text in {**KEYSTONE, **changes}.items() if text}
    return MethodSettings("keystone", values)


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://k", "https://k/v3"),
        ("https://k/", "https://k/v3"),
        ("https://k/v3", "https://k/v3"),
        ("https://k/v3//", "https://k/v3"),
        ("http://k:5000/identity", "http://k:5000/identity/v3"),
        ("http://k:5000/identity/v3/", "http://k:5000/identity/v3"),
        ("https://v3.example.org", "https://v3.example.org/v3"),
        ("https://k/dev3", "https://k/dev3/v3"),
        ("https://k/X", "https://k/X/v3"),
    ],
)
def test_the_url_is_version_3s(url: str, used: str) -> None:
    """Whether the setting ends with it or not."""
    assert auth_url(settings(OS_AUTH_URL=url)) == used


NAMED = {"name": "images", "domain": {"name": "Default"}, "password": "secret"}
SERVICE = {"project": {"name": "service", "domain": {"id": "default"}}}


@pytest.mark.parametrize(
    ("changes", "user", "scope"),
    [
        ({}, NAMED, SERVICE),
        (
            {"OS_USER_DOMAIN_ID": "d", "OS_PROJECT_DOMAIN_ID": ""}
            | {"OS_PROJECT_DOMAIN_NAME": "n"},
            NAMED | {"domain": {"id": "d"}},
            {"project": {"name": "service", "domain": {"name": "n"}}},
        ),
        (
            {"OS_USER_ID": "u", "OS_PROJECT_ID": "p"},
            {"id": "u", "password": "secret"},
            {"project": {"id": "p"}},
        ),
        (
            {"OS_PROJECT_NAME": "", "OS_SYSTEM_SCOPE": "all"},
            NAMED,
            {"system": {"all": True}},
        ),
    ],
)
def test_a_password_signs_in_for_its_scope(
    changes: dict[str, str], user: dict[str, Any], scope: dict[str, Any]
) -> None:
    """By ids where they are set, else by names and their domains."""
    identity = {"methods": ["password"], "password": {"user": user}}

    request = sign_in_request(settings(**changes))

    assert request == {"auth": {"identity": identity, "scope": scope}}


def test_an_application_credential_goes_before_a_password() -> None:
    """It has a scope of its own."""
    request = sign_in_request(
        settings(
            OS_APPLICATION_CREDENTIAL_ID="id", OS_APPLICATION_CREDENTIAL_SECRET="kept"
        )
    )

    credential = {"id": "id", "secret": "kept"}
    identity = {
        "methods": ["application_credential"],
        "application_credential": credential,
    }
    assert request == {"auth": {"identity": identity}}


@pytest.mark.parametrize("name", ["OS_PROJECT_ID", "OS_PROJECT_NAME"])
def test_the_system_has_no_project(name: str) -> None:
    """Of two scopes neither is taken."""
    changes = {"OS_PROJECT_NAME": "", name: "p", "OS_SYSTEM_SCOPE": "all"}

    with pytest.raises(SettingError) as wrong:
        sign_in_request(settings(**changes))

    assert str(wrong.value) == (
        f"The settings OS_SYSTEM_SCOPE and {name} cannot be combined."
    )


def test_the_authorities_are_a_file_a_pem_or_the_systems(tmp_path: Path) -> None:
    """What has no certificates is none; a PEM is not quoted."""
    file, _ = certificate(tmp_path)
    pem = file.read_text("utf-8")
    damaged = "-----BEGIN CERTIFICATE-----\nnone\n"

    for text, used in (("", None), (str(file), str(file)), (pem, pem)):
        assert certificate_authorities(settings(OS_CACERT=text)) == used
    for text, words in (
        (damaged, BAD_FILE.replace("{!r}", "damaged ones")),
        ("/nowhere", BAD_FILE.format("/nowhere")),
    ):
        with pytest.raises(SettingError) as wrong:
            certificate_authorities(settings(OS_CACERT=text))
        assert str(wrong.value) == words


def test_a_secret_is_named_by_an_arn() -> None:
    """Of Secrets Manager or SSM, whole."""
    check_arn(ARN)
    check_arn("arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/k")
    for text in ("secret", f" {ARN}", "arn:aws:s3:eu-central-1:123456789012:k"):
        with pytest.raises(SettingError) as wrong:
            check_arn(text)
        assert str(wrong.value) == BAD_ARN
