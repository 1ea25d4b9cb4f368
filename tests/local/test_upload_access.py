"""`tools/upload` gets in as the openstack command does, or says what it needs."""

import json
from pathlib import Path

import pytest

from tests.actors import Actor
from tests.clients.environments import install
from tests.local.keystone import PASSWORD, keystone
from tests.local.service import Run
from tests.local.upload_tool import (
    FORMATS,
    SECRET,
    TOKEN,
    UPLOAD,
    Done,
    Tool,
    downloaded,
)

NOBODY = (
    "Say who you are as for the openstack command: by OS_CLOUD, OS_AUTH_URL and"
    " the like, or OS_AUTH_TYPE=admin_token, OS_ENDPOINT and OS_TOKEN."
)

pytestmark = pytest.mark.xdist_group("run")


def with_sdk(tool: Tool) -> Tool:
    """Have the tool run where openstacksdk is."""
    return tool.by(install("openstacksdk") / "python", UPLOAD)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {},
            NOBODY,
        ),
        (
            {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": TOKEN},
            "OS_AUTH_TYPE=admin_token needs OS_ENDPOINT and OS_TOKEN.",
        ),
        (
            {
                "OS_AUTH_TYPE": "admin_token",
                "OS_TOKEN": SECRET,
                "OS_ENDPOINT": "http://127.0.0.1:9",
            },
            "The Images service does not answer: Connection refused.",
        ),
        (
            {"OS_AUTH_URL": "http://127.0.0.1:9", "OS_PASSWORD": SECRET},
            "Keystone and clouds.yaml need openstacksdk: pip install openstacksdk",
        ),
    ],
)
def test_without_access_it_says_what_is_needed(
    tool: Tool, settings: dict[str, str], line: str
) -> None:
    """One line, and nothing of what was to prove who one is."""
    done = tool.run(UPLOAD, **(settings or {"OS_NOTHING": ""}))

    assert done == Done(1, "", f"upload: {line}\n")


def test_a_wrong_token_is_refused(tool: Tool, service: Run) -> None:
    """As the service says it."""
    settings = {"OS_AUTH_TYPE": "admin_token", "OS_ENDPOINT": service.url}
    done = tool.run(UPLOAD, **settings, OS_TOKEN=f"{SECRET}:")

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("upload: The service answered 401: ")


def test_who_may_not_upload_is_refused(tool: Tool, service: Run) -> None:
    """To a stranger there is no such image, and nothing to go on with."""
    image_id = service.actor("stranger").make_image(**FORMATS)
    done = tool.run("--image", image_id, UPLOAD)

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("upload: The service answered 404: ")


USER = {
    "username": "alice",
    "password": PASSWORD,
    "project_name": "producer",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}
CREDENTIAL = {
    "application_credential_id": "c0ffee",
    "application_credential_secret": PASSWORD,
}


@pytest.mark.clients
@pytest.mark.parametrize(
    ("kind", "auth"),
    [("password", USER), ("v3applicationcredential", CREDENTIAL)],
)
def test_keystone_lets_it_in(
    tool: Tool, owner: Actor, tmp_path: Path, kind: str, auth: dict[str, str]
) -> None:
    """By openstacksdk, as the command; the catalog tells where the service is."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    settings = {f"OS_{name.upper()}": value for name, value in auth.items()}
    with keystone(f"{tool.url}/v2", TOKEN) as url:
        done = with_sdk(tool).run(small, OS_AUTH_TYPE=kind, OS_AUTH_URL=url, **settings)

    assert done.status == 0, done.err
    assert downloaded(owner, done.image_id) == b"data"


@pytest.mark.clients
@pytest.mark.parametrize("kind", ["password", "admin_token"])
def test_a_cloud_of_clouds_yaml_is_known(
    tool: Tool, owner: Actor, tmp_path: Path, kind: str
) -> None:
    """By its name, whatever it says of how to get in."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    with keystone(tool.url, TOKEN) as url:
        auth = {"auth_url": url, **USER}
        if kind == "admin_token":
            auth = {"endpoint": f"{tool.url}/v2", "token": TOKEN}
        clouds = {"clouds": {"mine": {"auth_type": kind, "auth": auth}}}
        (tmp_path / "clouds.yaml").write_text(json.dumps(clouds))
        done = with_sdk(tool).run(small, OS_CLOUD="mine")

    assert done.status == 0, done.err
    assert downloaded(owner, done.image_id) == b"data"


@pytest.mark.clients
def test_a_token_that_expired_is_renewed(tool: Tool, tmp_path: Path) -> None:
    """Keystone gives another one: an upload may take longer than a token lasts."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    settings = {f"OS_{name.upper()}": value for name, value in USER.items()}
    with keystone(tool.url, f"{SECRET}:", TOKEN) as url:
        done = with_sdk(tool).run(small, OS_AUTH_URL=url, **settings)

    assert done.status == 0, done.err


@pytest.mark.clients
def test_keystone_refuses_it(tool: Tool) -> None:
    """As Keystone says it, in one line."""
    with keystone(f"{tool.url}/v2", TOKEN) as url:
        done = with_sdk(tool).run(
            UPLOAD,
            OS_AUTH_URL=url,
            OS_USERNAME="alice",
            OS_PASSWORD=SECRET,
            OS_PROJECT_NAME="producer",
            OS_USER_DOMAIN_NAME="Default",
            OS_PROJECT_DOMAIN_NAME="Default",
        )

    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "upload: Unauthorized: The request you have made requires authentication."
        " (HTTP 401)\n"
    )
