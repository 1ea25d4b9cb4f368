"""The settings of an identity: what is wrong or missing ends the start, in one line."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from threading import Event, Lock
from typing import Any

import boto3
import pytest

from chalicelib.errors import Unavailable
from chalicelib.identity.http_client import UpstreamError, acquired, call_with_deadline
from chalicelib.identity.methods import choose_identity
from chalicelib.identity.oidc import SETTINGS
from chalicelib.settings import SettingError
from infra.local.keystone import (
    PASSWORD,
    SERVICE,
    Keystone,
    scope_to,
    service_environment,
)
from tests.identity import faulty_proxy
from tests.identity.asking import ask, refusal
from tests.identity.conftest import Clock
from tests.identity.faulty_proxy import FaultyProxy
from tests.identity.test_keystone_asked import SIGN_IN, VALIDATE, token_of
from tests.local.service import ROOT

KEYSTONE = {
    "OS_AUTH_URL": "https://keystone.example.org",
    "OS_USERNAME": "images",
    "OS_USER_DOMAIN_NAME": "Default",
    "OS_PASSWORD": "secret",
    "OS_PROJECT_NAME": "service",
    "OS_PROJECT_DOMAIN_ID": "default",
}
OIDC = {"OIDC_ISSUER": "https://issuer.example.org/realm", "OIDC_AUDIENCE": "images"}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keystone-AbCdEf"
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "api"}
NEEDED = {
    "TABLE_NAME": "images",
    "BUCKET_NAME": "data",
    "QUEUE_URL": "https://queue.invalid/uploads",
}


MISSING = "The setting {} is missing: AUTH={} requires it."
BAD_URL = (
    "The setting OS_AUTH_URL must be the URL of a Keystone v3, without a user, a query,"
    " or a path after /v3."
)
BAD_ARN = (
    "The setting KEYSTONE_CREDENTIAL must be the ARN of a secret of Secrets Manager or"
    " of a parameter of SSM, not the secret itself."
)
BAD_FILE = "The setting OS_CACERT must name a file of certificates, not {!r}."
BAD_ISSUER = (
    "The setting OIDC_ISSUER must be an https:// URL without a user or a query, exactly"
    " as in the tokens' `iss`."
)
BAD_ALGORITHMS = (
    "The setting OIDC_ALGORITHMS must be a list of RS256, ES256 and EdDSA, not {!r}."
)
BAD_MAP = (
    "The setting OIDC_ROLE_MAP must map each of the issuer's roles once to reader,"
    " member or admin, without blanks, as in theirs=reader,others=member, not {!r}."
)
BAD_CLAIM = (
    "The setting OIDC_PROJECT_CLAIM must be the name of a claim, or a path of names"
    " separated by dots, with a name's own dot as \\., not {!r}."
)
BAD_END = (
    "The setting {} has a leading or trailing blank, or an unprintable character;"
    " remove it."
)


def python(command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Python where the app finds some settings."""
    place = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**place, **NEEDED, **settings},
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize(
    ("method", "environ"),
    [
        ("keystone", KEYSTONE),
        ("keystone", KEYSTONE | LAMBDA),
        ("keystone", KEYSTONE | {"OS_AUTH_URL": "http://10.0.0.1:5000/identity/v3/"}),
        ("keystone", KEYSTONE | {"OS_PROJECT_NAME": "", "OS_SYSTEM_SCOPE": "all"}),
        ("keystone", {"OS_AUTH_URL": "https://k/v3", "KEYSTONE_CREDENTIAL": ARN}),
        ("keystone", KEYSTONE | {"OS_AUTH_URL": "https://[2001:db8::1]:5000"}),
        ("keystone", KEYSTONE | {"OS_AUTH_URL": "https://v2.example.org./v3/"}),
        ("keystone", KEYSTONE | {"OS_PASSWORD": "a b"}),
        ("oidc", OIDC),
        ("oidc", OIDC | LAMBDA),
        ("oidc", OIDC | {"OIDC_ISSUER": "http://127.0.0.1:9000"}),
        ("oidc", OIDC | {"OIDC_ISSUER": "http://localhost"}),
        ("oidc", OIDC | {"OIDC_ISSUER": "http://[::1]:90/realm"}),
        ("oidc", OIDC | {"OIDC_ALGORITHMS": "EdDSA,ES256"}),
        ("oidc", OIDC | {"OIDC_ROLE_MAP": "cloudImages:observer=reader,a=b=admin"}),
        ("oidc", OIDC | {"OIDC_ISSUER": "https://k.example.org:8443/realms/a%20b/"}),
        ("oidc", OIDC | {"OIDC_PROJECT_CLAIM": r"https://example\.org/project.id"}),
    ],
)
def test_a_setting_that_is_complete_is_taken(
    method: str, environ: dict[str, str]
) -> None:
    """Nothing is asked of anybody at the start."""
    assert callable(choose_identity(method, environ))


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        *(
            ("keystone", {name: ""}, MISSING.format(name, "keystone"))
            for name in KEYSTONE
            if name not in ("OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_ID")
        ),
        (
            "keystone",
            {"OS_USER_DOMAIN_NAME": ""},
            MISSING.format("OS_USER_DOMAIN_NAME", "keystone"),
        ),
        (
            "keystone",
            {"OS_PROJECT_DOMAIN_ID": ""},
            MISSING.format("OS_PROJECT_DOMAIN_NAME", "keystone"),
        ),
        (
            "keystone",
            {"OS_APPLICATION_CREDENTIAL_ID": "a"},
            MISSING.format("OS_APPLICATION_CREDENTIAL_SECRET", "keystone"),
        ),
        *(
            ("keystone", {"OS_AUTH_URL": url}, BAD_URL)
            for url in (
                *("keystone", "ftp://k", "https://", "https://k:port", "https://k:0"),
                *("https://k:99999", "https://u:p@k", "https://k/?a", "https://k/ b"),
                *("https://k..org", "https://-k", "https://[k]", "https://k/%2"),
                *("https://k/v2.0", "https://k/v2.0/", "https://k/v4", "https://k#"),
                *("https://k/v3/auth/tokens", "https://k/v2.0/tokens", "https://k/V3"),
                *("HTTPS://k", "HTTP://k"),
            )
        ),
        (
            "keystone",
            {"OS_AUTH_URL": "http://k", **LAMBDA},
            "The setting OS_AUTH_URL must start with https:// in Lambda.",
        ),
        (
            "keystone",
            {"OS_CACERT": "/nowhere"},
            BAD_FILE.format("/nowhere"),
        ),
        ("keystone", {"OS_CACERT": __file__}, BAD_FILE.format(__file__)),
        (
            "keystone",
            {"OS_SYSTEM_SCOPE": "project"},
            "The setting OS_SYSTEM_SCOPE must be all, not 'project'.",
        ),
        (
            "keystone",
            {"OS_SYSTEM_SCOPE": "all"},
            "The settings OS_SYSTEM_SCOPE and OS_PROJECT_NAME cannot be combined.",
        ),
        *(
            ("keystone", {name: text}, BAD_END.format(name))
            for name in ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD")
            for text in (" ", "images ", "images\n", "ima\x00ges")
        ),
        ("keystone", {"KEYSTONE_CREDENTIAL": '{"OS_PASSWORD": "a"}'}, BAD_ARN),
        (
            "keystone",
            {"OS_APPLICATION_CREDENTIAL_SECRET": "a"},
            MISSING.format("OS_APPLICATION_CREDENTIAL_ID", "keystone"),
        ),
        (
            "keystone",
            {"OS_PROJECT_NAME": "", "OS_PROJECT_DOMAIN_ID": ""},
            MISSING.format("OS_PROJECT_NAME", "keystone"),
        ),
        *(("oidc", {name: ""}, MISSING.format(name, "oidc")) for name in OIDC),
        *(
            ("oidc", {"OIDC_ISSUER": url}, BAD_ISSUER)
            for url in (
                *("issuer", "http://issuer", "http://127.0.0.1.example.org"),
                *("https://u:p@issuer", "https://issuer?a=b"),
            )
        ),
        (
            "oidc",
            {"OIDC_ISSUER": "http://127.0.0.1:9000", **LAMBDA},
            BAD_ISSUER,
        ),
        *(("oidc", {name: " "}, BAD_END.format(name)) for name in SETTINGS),
        *(
            ("oidc", {"OIDC_PROJECT_CLAIM": path}, BAD_CLAIM.format(path))
            for path in (
                *(".", "a..b", ".a", "a.", "a. b"),
                *("https://a.org/project", "a.https://b.org/project"),
            )
        ),
        *(
            ("oidc", {"OIDC_ALGORITHMS": names}, BAD_ALGORITHMS.format(names))
            for names in ("none", "HS256", "RS256,HS256", "RS256, ES256", ",")
        ),
        *(
            ("oidc", {"OIDC_ROLE_MAP": text}, BAD_MAP.format(text))
            for text in (
                *("reader", "a=owner", "=admin", "a=reader,", "a=Admin"),
                *("a=reader, b=member", "a =reader", "a=reader,a=admin"),
            )
        ),
    ],
)
def test_a_wrong_setting_is_named(
    method: str, changes: dict[str, str], words: str
) -> None:
    """With what it may be."""
    with pytest.raises(SettingError) as wrong:
        choose_identity(method, (KEYSTONE if method == "keystone" else OIDC) | changes)

    assert str(wrong.value) == words


@pytest.mark.parametrize("method", ["development", "keystone", "oidc", ""])
def test_the_app_does_not_start_without_its_identity(method: str) -> None:
    """
    In Lambda: neither without the settings of the one that was chosen nor in another.
    """
    done = python("import app", AUTH=method, **LAMBDA)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("chalicelib.settings.SettingError: ")


@pytest.mark.parametrize(
    ("method", "environ", "packages"),
    [
        ("development", {}, set()),
        ("keystone", KEYSTONE, {"chalicelib.identity.keystone"}),
        ("oidc", OIDC, {"chalicelib.identity.oidc", "jwt", "cryptography"}),
    ],
)
def test_only_what_an_identity_needs_is_imported(
    method: str, environ: dict[str, str], packages: set[str]
) -> None:
    """A cold start pays for one method, not for all three."""
    names = {
        "chalicelib.identity.keystone",
        "chalicelib.identity.oidc",
        "jwt",
        "cryptography",
    }

    done = python("import app, sys; print(*sys.modules)", AUTH=method, **environ)

    assert names & set(done.stdout.split()) == packages


@pytest.fixture
def proxy(keystone: Keystone) -> Iterator[FaultyProxy]:
    """What stands between the service and its Keystone."""
    with faulty_proxy.before(keystone.url) as between:
        yield between


def keep(service: str, values: Any) -> str:
    """Have AWS keep a secret; return its ARN."""
    client = boto3.client(service, "us-east-1")
    text = values if isinstance(values, str) else json.dumps(values)
    if service == "ssm":
        client.put_parameter(Name="/k", Value=text, Type="SecureString", Overwrite=True)
        return str(client.get_parameter(Name="/k")["Parameter"]["ARN"])
    return str(client.create_secret(Name="k", SecretString=text)["ARN"])


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
@pytest.mark.parametrize("service", ["secretsmanager", "ssm"])
def test_the_credential_may_be_a_secret_of_aws(
    service: str, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """Read when it is first needed, and no more."""
    values = service_environment(proxy.url)
    url = values.pop("OS_AUTH_URL")
    arn = keep(service, values)
    identify = choose_identity(
        "keystone", {"OS_AUTH_URL": url, "KEYSTONE_CREDENTIAL": arn}
    )

    assert ask(identify, token_of(keystone)).project_id
    assert proxy.requests.count(SIGN_IN) == 1


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
def test_a_secret_that_was_rotated_is_read_again(
    proxy: FaultyProxy, keystone: Keystone, clock: Clock
) -> None:
    """Once Keystone knows the old one no more, within the same request.

    It then answers as to a bad token, so the service asks about its own as well.
    """
    user, project, _ = SERVICE
    token, said = keystone.sign_in(user, PASSWORD, scope_to(project))
    path = f"/users/{said['user']['id']}/application_credentials"

    def make() -> tuple[str, dict[str, str]]:
        wanted = {"application_credential": {"name": uuid.uuid4().hex}}
        made = keystone.call("POST", path, wanted, token)["application_credential"]
        return made["id"], {
            "OS_APPLICATION_CREDENTIAL_ID": made["id"],
            "OS_APPLICATION_CREDENTIAL_SECRET": made["secret"],
        }

    old, values = make()
    environ = {"OS_AUTH_URL": proxy.url, "KEYSTONE_CREDENTIAL": keep("ssm", values)}
    identify = choose_identity("keystone", environ)
    assert ask(identify, token_of(keystone)).project_id
    keep("ssm", make()[1])
    keystone.call("DELETE", f"{path}/{old}", token=token)
    proxy.requests.clear()
    clock.advance(5)

    assert ask(identify, token_of(keystone)).project_id
    assert proxy.requests == [VALIDATE, VALIDATE, SIGN_IN, SIGN_IN, VALIDATE]


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
def test_a_secret_that_was_mended_is_read_again(
    proxy: FaultyProxy, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a new start."""
    monkeypatch.setattr("chalicelib.identity.keystone.SIGN_IN_PAUSE_SECONDS", 0.0)
    values = service_environment(proxy.url)
    url = values.pop("OS_AUTH_URL")
    arn = keep("ssm", values | {"OS_PASSWORD": "old"})
    identify = choose_identity(
        "keystone", {"OS_AUTH_URL": url, "KEYSTONE_CREDENTIAL": arn}
    )

    assert isinstance(refusal(identify, token_of(keystone)), Unavailable)
    keep("ssm", values)

    assert ask(identify, token_of(keystone)).project_id


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
@pytest.mark.parametrize("text", ["none", '{"OS_PASSWORD": "new\\n"}', "{}"])
def test_a_rotation_that_went_wrong_locks_nobody_out(
    text: str, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """
    The old credential is not tried at each request while the new one can't be read.
    """
    values = service_environment(proxy.url)
    url = values.pop("OS_AUTH_URL")
    arn = keep("ssm", values)
    identify = choose_identity(
        "keystone", {"OS_AUTH_URL": url, "KEYSTONE_CREDENTIAL": arn}
    )
    assert ask(identify, token_of(keystone)).project_id
    keep("ssm", text)
    proxy.response = (401, "{}")
    proxy.requests.clear()

    for _ in range(5):
        assert isinstance(refusal(identify, token_of(keystone)), Unavailable)

    assert proxy.requests == [VALIDATE, SIGN_IN]


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
@pytest.mark.parametrize(
    "text", ["secret", "[]", '{"OS_PASSWORD": 1}', '{"OS_PASSWORD": "secret"}']
)
def test_a_secret_that_is_none_is_503(
    text: str, proxy: FaultyProxy, keystone: Keystone
) -> None:
    """No message quotes what it holds instead."""
    environ = {"OS_AUTH_URL": proxy.url, "KEYSTONE_CREDENTIAL": keep("ssm", text)}
    identify = choose_identity("keystone", environ)

    refused = refusal(identify, token_of(keystone))

    assert isinstance(refused, Unavailable)
    assert "secret" not in f"{refused!r} {refused.__cause__!r}".replace("arn:", "")
    assert proxy.requests == []


@pytest.mark.keystone
@pytest.mark.xdist_group("keystone")
def test_a_secret_that_is_gone_is_503(proxy: FaultyProxy, keystone: Keystone) -> None:
    """The log tells its ARN."""
    environ = {"OS_AUTH_URL": proxy.url, "KEYSTONE_CREDENTIAL": ARN}
    identify = choose_identity("keystone", environ)

    refused = refusal(identify, token_of(keystone))

    assert isinstance(refused, Unavailable)
    assert ARN in str(refused.__cause__)


def test_a_secret_that_is_long_in_coming_is_not_waited_for() -> None:
    """
    Botocore bounds each wait for a few bytes, and nothing bounds how many those are.
    """
    ended = Event()
    deadline = time.monotonic() + 0.2

    with pytest.raises(UpstreamError, match="the secret did not respond in time"):
        call_with_deadline(deadline, "the secret", ended.wait)
    ended.set()


def test_a_turn_is_not_waited_for_beyond_the_bound() -> None:
    """Once the others are done, the next one has it."""
    lock = Lock()

    with (
        acquired(lock, time.monotonic()),
        pytest.raises(UpstreamError, match="took all the time"),
        acquired(lock, time.monotonic() + 0.1),
    ):
        pass

    with acquired(lock, time.monotonic()):
        assert lock.locked()


def test_what_a_call_within_a_bound_gives_or_raises_comes_back() -> None:
    """As if it had been made at once."""

    def fail() -> None:
        raise SettingError("wrong")

    deadline = time.monotonic() + 30

    assert call_with_deadline(deadline, "a call", lambda: "found") == "found"
    with pytest.raises(SettingError, match="wrong"):
        call_with_deadline(deadline, "a call", fail)
