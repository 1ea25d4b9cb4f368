"""A local run with a Keystone of one's own, which then dies."""

import re
import shutil
import subprocess

import pytest

from chalicelib.identity.oidc import SETTINGS as OF_OIDC
from chalicelib.identity.service_credentials import SETTINGS as OF_KEYSTONE
from infra.local import keystone as local_keystone
from infra.local.identities import EXTERNAL, OF_EXTERNAL
from infra.local.keystone import PASSWORD, PEOPLE, scope_to, service_environment
from tests.actors import Response, over_http
from tests.identity.conftest import Cloud
from tests.local.service import failing, running

pytestmark = [pytest.mark.keystone, pytest.mark.xdist_group("keystone")]


def test_it_tells_how_to_use_openstack(cloud: Cloud) -> None:
    """Three commands, for the clouds of the file that it names."""
    clouds = (cloud.keystone.home / "clouds.yaml").read_text("utf-8")

    assert clouds in cloud.run.greeting
    assert re.findall(r"(?m)^  (\w+):$", clouds) == list(PEOPLE)
    assert cloud.run.greeting.count("\n  openstack --os-cloud ") == 3


def test_the_examples_are_those_of_its_users(cloud: Cloud) -> None:
    """One share waits for the consumer's answer, another one was accepted."""
    user, project, _ = PEOPLE["consumer"]
    token, _ = cloud.keystone.sign_in(user, PASSWORD, scope_to(project))
    (offered,) = re.findall(r"image set --accept (\S+)\n", cloud.run.greeting)

    def listed(query: str) -> list[dict[str, str]]:
        path, headers = f"/v2/images?{query}", {"X-Auth-Token": token}
        response = over_http(cloud.run.url)("GET", path, headers, b"")
        return list(response.document["images"])

    pending = listed("visibility=shared&member_status=pending&name=ubuntu-24.04")
    assert [image["id"] for image in pending] == [offered]
    assert [image["name"] for image in listed("name=debian-13")] == ["debian-13"]


def test_a_keystone_of_ones_own_is_used_until_it_dies() -> None:
    """
    A token that it validated goes on to serve; another one is neither let in nor 401.
    """
    with (
        local_keystone.running("http://127.0.0.1:9") as keystone,
        running(
            AUTH="keystone", DATA="none", **service_environment(keystone.url)
        ) as run,
    ):

        def ask(token: str) -> Response:
            send = over_http(run.url)
            return send("GET", "/v2/images", {"X-Auth-Token": token}, b"")

        first, second = (
            keystone.sign_in(user, PASSWORD, scope_to(project))[0]
            for user, project, _ in (PEOPLE["producer"], PEOPLE["consumer"])
        )
        before = ask(first).status
        assert keystone.process is not None
        keystone.process.kill()
        keystone.process.wait()
        shutil.rmtree(keystone.home)
        known, unknown = ask(first), ask(second)
        _, log = run.end()
        assert run.process.stdout is not None
        log += run.process.stdout.read()

    assert (before, known.status) == (200, 200)
    assert (unknown.status, unknown.headers["retry-after"]) == (503, "1")
    assert keystone.url in run.greeting
    assert "ConnectionRefusedError" in log
    assert [token for token in (first, second) if token in log] == []


def test_its_commands_work_with_an_issuer() -> None:
    """
    Copied and pasted in their order; what the shell had for another issuer is no harm.
    """
    if shutil.which("curl") is None:
        pytest.skip("The printed commands need curl, which is not installed.")
    with running(AUTH="oidc", OIDC_PROJECT_CLAIM="tenant", OIDC_AUDIENCE="b") as run:
        tokens = re.findall(r"(?m)^  ([A-Z]+=.+)$", run.greeting)
        script = "\n".join([*tokens, *run.commands])
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )

    ignored = "Ignored, as OIDC_ISSUER is not set: OIDC_AUDIENCE, OIDC_PROJECT_CLAIM.\n"
    assert ignored in run.greeting
    assert len(tokens) == 2
    assert '"status":"accepted"' in done.stdout.replace(" ", "")


@pytest.mark.parametrize(
    ("method", "settings"), [("keystone", OF_KEYSTONE), ("oidc", OF_OIDC)]
)
def test_what_belongs_to_another_is_known(
    method: str, settings: tuple[str, ...]
) -> None:
    """It is what the service reads, but for what names the other."""
    unmatched = {name for name in settings if not OF_EXTERNAL[method].fullmatch(name)}

    assert unmatched == {EXTERNAL[method]}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"AUTH": "ldap"},
            "AUTH must be development or keystone or oidc, not 'ldap'.\n",
        ),
        (
            {"AUTH": "keystone", "OS_AUTH_URL": "http://127.0.0.1:9"},
            "The setting OS_PASSWORD is missing: AUTH=keystone requires it.\n",
        ),
        (
            {"AUTH": "oidc", "OIDC_ISSUER": "https://issuer.example.org"},
            "The setting OIDC_AUDIENCE is missing: AUTH=oidc requires it.\n",
        ),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, str], line: str) -> None:
    """Before anything is served."""
    assert failing(**settings) == (1, "", line)
