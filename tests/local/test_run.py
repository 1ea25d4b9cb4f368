"""The whole service on this machine: started, tried out, and ended."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from infra.local.examples import CONSUMER, PRODUCER
from infra.local.examples import CONTENT as EXAMPLE
from infra.local.spelling import misspelt
from tests.actors import Actor, over_http
from tests.local.service import ROOT, RUN, Run, environment, failing, running
from tests.scene import CONTENT
from tests.web_source import WebSource, serving

SHOWN = 100_000
"""Bytes of the log that are read while the service runs; it writes fewer."""

CHALICE = "from chalice.cli import main; main()"
PENDING = "?visibility=shared&member_status=pending"

# They share the services that they only look at.
pytestmark = pytest.mark.xdist_group("run")


def shell(command: str) -> Any:
    """Run a printed command as it is; return the document that came."""
    if shutil.which("curl") is None:
        pytest.skip("The printed commands need curl, which is not installed.")
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def names(actor: Actor, query: str = "") -> list[str]:
    """Return the names in a project's list, in order."""
    images = actor.get(f"/v2/images{query}").document["images"]
    return [image["name"] for image in images]


@pytest.fixture(scope="module", params=["waitress", "chalice"])
def service(request: pytest.FixtureRequest) -> Iterator[Run]:
    """A service with its examples, behind our own server or that of `chalice local`."""
    with running(SERVER=request.param) as run:
        yield run


def test_it_is_healthy_once_it_tells_its_address(service: Run) -> None:
    """The printed address can be called."""
    response = over_http(service.url)("GET", "/healthcheck", {}, b"")

    assert (response.status, response.body) == (200, b"OK")


def test_it_tells_two_tokens(service: Run) -> None:
    """One of the producer, one of the consumer."""
    assert f"Producer's token: {PRODUCER}\n" in service.greeting
    assert f"Consumer's token: {CONSUMER}\n" in service.greeting


def test_the_examples_are_images_and_shares(service: Run) -> None:
    """One share waits for the consumer's answer, another one was accepted."""
    mine = ["nightly-build", "debian-13", "ubuntu-24.04"]

    assert names(service.actor("producer")) == ["rocky-10", *mine]
    assert names(service.actor("consumer")) == ["rocky-10", "debian-13"]
    assert names(service.actor("consumer"), PENDING) == ["ubuntu-24.04"]
    assert names(service.actor("stranger")) == ["rocky-10"]


def test_the_examples_show_both_sides(service: Run) -> None:
    """A verified producer, notes, an answer by a rule, a member of a private image."""
    consumer, partner = service.actor("consumer"), service.actor("partner")
    (offer,) = consumer.get("/ext/v1/incoming").document["memberships"]
    (accepted, dormant) = partner.get("/ext/v1/incoming?status=all").document[
        "memberships"
    ]

    assert offer["producer"]["verified"] is True
    assert offer["note"] == "Hardened, CIS level 1."
    assert (accepted["status"], accepted["usable"]) == ("accepted", True)
    assert (dormant["status"], dormant["usable"]) == ("accepted", False)
    assert f"{service.url}/console" in service.greeting


def test_requests_at_the_same_time_never_mix(service: Run) -> None:
    """Eight projects work at once, and each sees its own images alone."""

    def work(project: str) -> list[str]:
        actor = service.actor(project)
        for number in range(5):
            image_id = actor.make_image(name=f"{project}-{number}")
            assert actor.get(f"/v2/images/{image_id}").document["owner"] == project
        return names(actor, "?visibility=shared&sort=name:asc")

    projects = [f"project-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(work, projects))

    assert seen == [[f"{project}-{n}" for n in range(5)] for project in projects]


@pytest.mark.parametrize("server", ["waitress", "chalice"])
def test_its_commands_work(server: str) -> None:
    """Copied and pasted in their order, they lead to an accepted share."""
    with running(SERVER=server) as run:
        owned, offered, accepted = map(shell, run.commands)
        left = names(run.actor("consumer"), PENDING)

    assert len(owned["images"]) == 4
    assert [image["name"] for image in offered["images"]] == ["ubuntu-24.04"]
    assert accepted["image_id"] == offered["images"][0]["id"]
    assert accepted["status"] == "accepted"
    assert left == []


def test_without_examples_there_is_nothing() -> None:
    """DATA=none: no images, and commands that make the first ones."""
    with running(DATA="none") as run:
        before = names(run.actor("producer"))
        created, member, offered = map(shell, run.commands)

    assert before == []
    assert created["name"] == "ubuntu-24.04"
    assert (member["member_id"], member["status"]) == ("consumer", "pending")
    assert [image["id"] for image in offered["images"]] == [created["id"]]


def test_each_run_starts_afresh() -> None:
    """Nothing is kept from one run to the next, on the same port at once."""
    with running(DATA="none") as first:
        first.actor("producer").make_image(name="ubuntu")
        first.end()
        with running(DATA="none", PORT=str(urlsplit(first.url).port)) as second:
            kept = names(second.actor("producer"))

    assert (first.url, []) == (second.url, kept)


@pytest.mark.parametrize("quota", [0, 1])
def test_the_member_quota_is_taken(quota: int) -> None:
    """As many members as it says; the examples make do with it."""
    with running(MEMBER_QUOTA=str(quota)) as run:
        producer = run.actor("producer")
        image_id = producer.make_image(name="ubuntu")
        members = f"/v2/images/{image_id}/members"
        statuses = [producer.post(members, {"member": one}).status for one in "ab"]

    assert statuses == [200] * quota + [413] * (2 - quota)


def test_a_first_run_installs_what_running_needs() -> None:
    """Neither linters nor clients; and uv, which installs the rest."""
    text = (ROOT / "requirements-run.txt").read_text("utf-8")
    names = set(re.findall(r"(?m)^([\w.-]+)==", text))

    assert {"uv", "chalice", "moto", "waitress"} <= names
    assert not names & {"ruff", "mypy", "pytest", "cfn-lint", "openstacksdk"}


def test_a_port_in_use_is_one_clear_line() -> None:
    """It says which port, and one that is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, stderr = failing(PORT=str(port))

    line = rf"Port {port} is in use\. Choose another: make run PORT=\d+\n"
    assert (status, out) == (1, "")
    assert re.fullmatch(line, stderr)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "http", "PORT must be a number up to 65535, not 'http'.\n"),
        ("PORT", "65536", "PORT must be a number up to 65535, not '65536'.\n"),
        ("DATA", "some", "DATA must be examples or none, not 'some'.\n"),
        ("SERVER", "nginx", "SERVER must be waitress or chalice, not 'nginx'.\n"),
        (
            "MEMBER_QUOTA",
            "many",
            (
                "The setting MEMBER_QUOTA must be a whole number, 0 or more, of 9"
                " digits at most, not 'many'.\n"
            ),
        ),
    ],
)
def test_a_wrong_setting_is_one_clear_line(name: str, value: str, line: str) -> None:
    """It says what is allowed."""
    assert failing(**{name: value}) == (1, "", line)


def test_ctrl_c_ends_its_start_without_a_word() -> None:
    """Its imports take seconds, in which one may think better of it."""
    imports = [sys.executable, "-X", "importtime", *RUN[1:]]
    with subprocess.Popen(
        imports, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.endswith(" chalice.app\n"):
                    process.send_signal(signal.SIGINT)
                    break
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == -signal.SIGINT
    assert [line for line in errors.splitlines() if "import time:" not in line] == []


def test_its_start_leaves_the_terminal_alone() -> None:
    """
    Chalice's command line would ask what the terminal can do, and wait for a response.
    """
    imports = [sys.executable, "-X", "importtime", *RUN[1:]]
    wrong = environment(MEMBER_QUOTA="many")
    done = subprocess.run(
        imports, cwd=ROOT, env=wrong, capture_output=True, check=False, text=True
    )

    assert "chalice.local" in done.stderr
    assert "chalice.cli" not in done.stderr


@pytest.mark.parametrize("server", ["waitress", "chalice"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(number: signal.Signals, server: str) -> None:
    """At once, even with a client connected; no process is left, the port is free."""
    with running(SERVER=server, DATA="none") as run:
        client = http.client.HTTPConnection(urlsplit(run.url).netloc)
        client.request("GET", "/v2/images?name=hidden", headers={"X-Auth-Token": "a"})
        client.getresponse().read()
        start = time.monotonic()
        status, stderr = run.end(number)
        took = time.monotonic() - start
        client.close()

        assert status == 0
        assert took < 5
        assert "Traceback" not in stderr
        assert stderr.count("\n") == 1
        with pytest.raises(ProcessLookupError):
            os.killpg(run.process.pid, 0)
        with pytest.raises(ConnectionRefusedError):
            run.actor("producer").get("/healthcheck")


def test_it_notes_requests_without_their_secrets() -> None:
    """On stderr, a line each: no token, no query. Events stand there as well."""
    with running() as run:
        producer = run.actor("producer")
        producer.get("/v2/images?name=secret")
        image_id = producer.make_image()
        while "image.created" not in os.pread(run.log.fileno(), SHOWN, 0).decode():
            time.sleep(0.1)
        _, stderr = run.end()

    lines = stderr.splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    seen = [(event["event"], event["image_id"]) for event in events]
    assert seen == [("image.created", image_id)]
    listed, created = [line for line in lines if not line.startswith("{")]
    assert re.fullmatch(r"GET /v2/images 200 \d+ ms", listed)
    assert re.fullmatch(r"POST /v2/images 201 \d+ ms", created)


def test_slow_imports_keep_no_other_project_waiting() -> None:
    """Beside six sources of 45 kB/s a small import and a direct upload are done."""
    disk = {"disk_format": "raw", "container_format": "bare"}
    slow, small = WebSource(bytes(10**7), rate=45_000), WebSource(CONTENT)

    def ask_import(project: str, source: WebSource) -> str:
        image_id = run.actor(project).make_image(**disk)
        method = {"name": "web-download", "uri": source.uri}
        path = f"/v2/images/{image_id}/import"
        assert run.actor(project).post(path, {"method": method}).status == 202
        return image_id

    with (
        serving(slow),
        serving(small),
        running(DATA="none", IMPORT_ALLOW="127.0.0.1") as run,
    ):
        held = [ask_import(f"slow-{number % 2}", slow) for number in range(6)]
        while len(slow.asked) < 6:
            time.sleep(0.1)
        other = run.actor("other")
        sent = other.make_image(**disk)
        waiting = {ask_import("other", small), sent}
        upload = other.post(
            f"/ext/v1/images/{sent}/uploads", {"size": len(CONTENT)}
        ).document
        requests.put(upload["parts"][0]["url"], CONTENT, timeout=10)
        other.post(f"{upload['self']}/complete")
        give_up = time.monotonic() + 10
        while waiting and time.monotonic() < give_up:
            waiting -= {image["id"] for image in _images(other, "active")}
            time.sleep(0.1)
        still = [one["id"] for one in _images(run.actor("slow-0"), "importing")]

    assert waiting == set()
    assert set(still) == set(held[::2])


def _images(actor: Actor, status: str) -> list[Any]:
    images: list[Any] = actor.get(f"/v2/images?status={status}").document["images"]
    return images


def test_a_proxy_stands_in_the_way_of_nothing() -> None:
    """It talks to this machine alone, whatever proxy the shell names."""
    with running(
        http_proxy="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9"
    ) as run:
        status = run.actor("producer").get("/v2/images").status

    assert status == 200


def test_the_examples_do_without_the_extension() -> None:
    """Where it is off, the greeting names no console."""
    with running(EXTENSION="off") as run:
        images = run.actor("producer").listed()

    assert len(images) > 1
    assert "/console" not in run.greeting


def test_one_port_is_enough() -> None:
    """The page of the API and images' data have the address that it tells."""
    with running() as run:
        producer = run.actor("producer")
        (image,) = producer.get("/v2/images?name=debian-13").document["images"]
        response = producer.get(image["file"])
        data = producer.download(image["id"]).body
        page = producer.get("/docs")

    assert f"The page of the API: {run.url}/docs\n" in run.greeting
    assert page.status == 200
    assert response.headers["location"].startswith(f"{run.url}/")
    assert data == EXAMPLE


@pytest.mark.parametrize(
    ("name", "setting"),
    [("AUHT", "AUTH"), ("MEMBER_QOUTA", "MEMBER_QUOTA"), ("PAGESIZE", "PAGE_SIZE")],
)
def test_a_misspelt_setting_is_named(name: str, setting: str) -> None:
    """It looks like one that is not set."""
    environ = {name: "x", "PATH": "/bin", "HOME": "/root", "LANG": "C", "PORT": "0"}

    assert list(misspelt(environ)) == [(name, setting)]


def test_a_shell_has_no_misspelt_setting() -> None:
    """The variables of a usual shell are not taken for settings."""
    names = (
        "PATH HOME LANG SHELL TERM USER PWD OLDPWD LOGNAME EDITOR DISPLAY DATE HOST"
        " HOSTNAME AWS_PROFILE AWS_REGION OS_CLOUD OS_REGION_NAME http_proxy"
    )

    assert list(misspelt(dict.fromkeys(names.split(), "x"))) == []


def test_misspelt_settings_are_warned_of() -> None:
    """One line each, and the service starts."""
    with running(AUHT="keystone", DATA="none") as run:
        _, stderr = run.end()

    assert stderr == "AUHT is not a setting. Is AUTH meant?\n"


def test_it_never_calls_aws() -> None:
    """Whatever the shell says about AWS: it may be somebody's production."""
    with running(
        AWS_PROFILE="production",
        AWS_ENDPOINT_URL="http://192.0.2.1",
        AWS_ENDPOINT_URL_DYNAMODB="http://192.0.2.1",
        AWS_REGION="eu-central-1",
    ) as run:
        listed = names(run.actor("consumer"))

    assert listed == ["rocky-10", "debian-13"]


def test_chalice_local_serves_the_same_calls() -> None:
    """Chalice's own command, on the embedded DynamoDB by a setting of PynamoDB's."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-c",
            CHALICE,
            "local",
            "--no-autoreload",
            "--port",
            port,
        ],
        cwd=ROOT,
        env=environment(PYNAMODB_CONFIG="infra/local/pynamodb_settings.py"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            while "Serving on" not in (line := process.stdout.readline()):
                assert line, "chalice local ended"
            send = over_http(f"http://127.0.0.1:{port}")
            producer, consumer = Actor(send, "producer"), Actor(send, "consumer")
            image_id = producer.make_image(name="ubuntu")
            producer.share(image_id, "consumer")
            offered = consumer.listed(PENDING)
            consumer.set_status(image_id, "accepted")
            listed = consumer.listed()
            disk = producer.make_image(disk_format="raw", container_format="bare")
            producer.upload(disk, CONTENT)
            content = producer.download(disk).body
        finally:
            process.kill()

    assert (offered, listed, content) == ([image_id], [image_id], CONTENT)
