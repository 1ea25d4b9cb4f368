"""`tools/upload`: a file becomes an image's data, whatever happens on the way."""

import hashlib
import json
import os
import pty
import random
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import requests

from chalicelib.background import transfers
from chalicelib.errors import Unavailable
from chalicelib.store import objects
from infra.local.worker import Pump
from tests import disks
from tests.actors import Actor, Response, over_http
from tests.clients.environments import install
from tests.disks import put
from tests.local.keystone import PASSWORD, keystone
from tests.local.proxy import CUT, proxied
from tests.local.service import ROOT, Run, running
from tools import uploading

UPLOAD = ROOT / "tools" / "upload"
PART = 16 * 1024**2
SIZE = 40_000_000
"""Two parts, and one that is smaller."""

SECRET = "5ecret"  # noqa: S105 - it is nobody's
TOKEN = f"{SECRET}:producer:member"
NOBODY = (
    "Say who you are as for the openstack command: by OS_CLOUD, OS_AUTH_URL and"
    " the like, or OS_AUTH_TYPE=admin_token, OS_ENDPOINT and OS_TOKEN."
)
FORMATS = {"disk_format": "raw", "container_format": "bare"}

pytestmark = pytest.mark.xdist_group("run")


@dataclass(frozen=True)
class Done:
    """How a run ended, and what it said: neither a token nor a signed URL."""

    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for secret in (SECRET, PASSWORD, "X-Amz-", "Signature", "Traceback"):
            assert secret not in self.out + self.err

    @property
    def image_id(self) -> str:
        """The image that its output names."""
        match = re.search(r"(?m)^Image (\S{36}) was created\.$", self.err)
        assert match, self.err
        return match[1]

    @property
    def command(self) -> list[str]:
        """The command to resume with, printed last."""
        return shlex.split(self.err.splitlines()[-1])


@dataclass(frozen=True)
class Tool:
    """Where the tool is run: in a folder, against a service."""

    home: Path
    url: str
    command: tuple[str | Path, ...] = (sys.executable, UPLOAD)

    def by(self, *command: str | Path) -> "Tool":
        """Start it by another command."""
        return replace(self, command=command)

    def start(self, *words: str | Path, **settings: str) -> subprocess.Popen[str]:
        """Start it, with what it says going to files, so that it is no terminal."""
        with (self.home / "out").open("w") as out, (self.home / "err").open("w") as to:
            return subprocess.Popen(
                [*self.command, *words],
                cwd=self.home,
                env=self.environment(**settings),
                stdout=out,
                stderr=to,
                text=True,
            )

    def ended(self, process: subprocess.Popen[str]) -> Done:
        """Wait until it ended; return what it said."""
        with process:
            try:
                status = process.wait(timeout=60)
            finally:
                process.kill()
        out, err = ((self.home / name).read_text("utf-8") for name in ("out", "err"))
        return Done(status, out, err)

    def run(self, *words: str | Path, **settings: str) -> Done:
        """Run it to its end."""
        return self.ended(self.start(*words, **settings))

    def environment(self, **settings: str) -> dict[str, str]:
        """
        Return the environment of a user who has a token, unless the settings say else.
        """
        access = {
            "OS_AUTH_TYPE": "admin_token",
            "OS_ENDPOINT": f"{self.url}/v2",
            "OS_TOKEN": TOKEN,
        }
        given = {} if any(name.startswith("OS_") for name in settings) else access
        home = str(self.home)
        return {"PATH": os.environ["PATH"], "HOME": home, **given, **settings}


@pytest.fixture(scope="module")
def service() -> Iterator[Run]:
    """The whole service, without examples."""
    with running(DATA="none") as run:
        yield run


@pytest.fixture
def owner(service: Run) -> Actor:
    """The project whose images these are."""
    return service.actor("producer")


@pytest.fixture
def tool(service: Run, tmp_path: Path) -> Tool:
    """The tool of one of its users."""
    return Tool(tmp_path, service.url)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three parts."""
    path = tmp_path_factory.mktemp("data") / "disk image.qcow2"
    content = random.Random(5).randbytes(SIZE)  # noqa: S311 - any bytes do
    path.write_bytes(put(content, 0, disks.qcow2()))
    return path


def with_sdk(tool: Tool) -> Tool:
    """Have the tool run where openstacksdk is."""
    return tool.by(install("openstacksdk") / "python", UPLOAD)


def sha512(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha512(path.read_bytes()).hexdigest()


def downloaded(owner: Actor, image_id: str) -> bytes:
    """Download an image's data."""
    response = owner.get(f"/v2/images/{image_id}/file")
    assert response.status == 307
    data = at_s3("GET", response.headers["location"])
    assert data.headers["content-type"] == "application/octet-stream"
    return data.body


def begun(owner: Actor, image_id: str, **document: Any) -> Any:
    """Begin an upload of an image; return its document."""
    response = owner.post(f"/ext/v1/images/{image_id}/uploads", document)
    assert response.status == 201
    return response.document


def at_s3(method: str, url: str, content: bytes = b"") -> Response:
    """Use a signed URL."""
    parts = urlsplit(url)
    send = over_http(f"{parts.scheme}://{parts.netloc}")
    response = send(method, f"{parts.path}?{parts.query}", {}, content)
    assert response.status == 200
    return response


def test_a_file_becomes_an_image(tool: Tool, owner: Actor, file: Path) -> None:
    """Typed as it stands: an image is created, and has the file's very bytes."""
    words = ["--name", "ubuntu", "--disk-format", "qcow2"]
    done = tool.by(UPLOAD).run(file, *words)
    image = owner.get(f"/v2/images/{done.image_id}").document

    assert done.status == 0, done.err
    digest = sha512(file)
    assert done.out == (
        f"Image {image['id']} is active: {SIZE} bytes\nSHA-512 {digest}\n"
    )
    assert (image["name"], image["disk_format"]) == ("ubuntu", "qcow2")
    assert (image["status"], image["size"]) == ("active", SIZE)
    assert image["os_hash_value"] == digest
    assert downloaded(owner, image["id"]) == file.read_bytes()


def test_after_a_kill_it_sends_only_what_is_missing(
    tool: Tool, owner: Actor, file: Path
) -> None:
    """S3 tells what has arrived; nothing of it is sent again."""
    with proxied(passed=2) as before:
        process = tool.start(file, "--jobs", "1", http_proxy=before.url)
        assert before.holds.wait(30)
        process.kill()
        killed = tool.ended(process)
    with proxied() as after:
        done = tool.run("--image", killed.image_id, file, http_proxy=after.url)

    assert killed.status == -signal.SIGKILL
    assert (before.kept, after.kept) == ([1, 2], [3])
    assert done.status == 0, done.err
    assert "Sent 1 of 3 parts; 2 were there.\n" in done.err
    assert downloaded(owner, killed.image_id) == file.read_bytes()


def test_ctrl_c_tells_how_to_go_on(tool: Tool, owner: Actor, file: Path) -> None:
    """The command printed last finishes the upload."""
    with proxied(passed=1) as proxy:
        process = tool.start(file, "--jobs", "2", http_proxy=proxy.url)
        assert proxy.holds.wait(30)
        process.send_signal(signal.SIGINT)
        stopped = tool.ended(process)
    done = tool.by(*stopped.command).run()

    assert (stopped.status, stopped.out) == (130, "")
    assert "\nInterrupted. Go on with:\n" in stopped.err
    assert stopped.command == [
        str(UPLOAD),
        *("--image", stopped.image_id, "--jobs", "2", str(file)),
    ]
    assert done.status == 0, done.err
    assert owner.get(f"/v2/images/{stopped.image_id}").document["status"] == "active"


def test_a_part_that_differs_is_sent_again(
    tool: Tool, owner: Actor, file: Path
) -> None:
    """Whatever S3 has under a part's number, it ends up with the file's."""
    image_id = owner.make_image(**FORMATS)
    urls = [part["url"] for part in begun(owner, image_id, size=SIZE)["parts"]]
    content = file.read_bytes()
    at_s3("PUT", urls[0], content[:PART])
    at_s3("PUT", urls[1], content[:PART])
    at_s3("PUT", urls[2], content[2 * PART : -1])
    with proxied() as proxy:
        done = tool.run("--image", image_id, file, http_proxy=proxy.url)

    assert done.status == 0, done.err
    assert sorted(proxy.kept) == [2, 3]
    assert downloaded(owner, image_id) == content


def test_what_may_heal_is_tried_again(tool: Tool, file: Path) -> None:
    """A URL that expired, itself or its signer's token; a server in trouble; a cut."""
    spoiled = {
        1: ["403 AccessDenied", "400 ExpiredToken"],
        2: [CUT],
        3: ["503 SlowDown", "400 BadDigest"],
    }
    with proxied(spoiled=spoiled) as proxy:
        done = tool.run(file, http_proxy=proxy.url)

    assert done.status == 0, done.err
    assert sorted(proxy.kept) == [1, 2, 3]


def test_what_cannot_heal_ends_it(tool: Tool, file: Path) -> None:
    """The message has S3's code of the error."""
    with proxied(spoiled={2: ["400 InvalidRequest"]}) as proxy:
        done = tool.run(file, http_proxy=proxy.url)

    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("\nupload: S3 did not take part 2: InvalidRequest.\n")


def test_a_file_that_changes_is_refused(
    tool: Tool, owner: Actor, tmp_path: Path
) -> None:
    """Nobody knows which of its states was sent."""
    changing = tmp_path / "changing"
    changing.write_bytes(bytes(SIZE))
    with proxied(passed=1) as proxy:
        process = tool.start(changing, "--jobs", "1", http_proxy=proxy.url)
        assert proxy.holds.wait(30)
        with changing.open("r+b") as file:
            file.seek(SIZE - 4)
            file.write(b"data")
        proxy.go_on()
        done = tool.ended(process)

    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("\nupload: The file was changed while it was sent.\n")
    assert owner.get(f"/v2/images/{done.image_id}").document["status"] == "saving"


def test_the_services_reason_is_told(tool: Tool, owner: Actor, file: Path) -> None:
    """All was sent, and yet it is not what was announced."""
    image_id = owner.make_image(**FORMATS)
    begun(owner, image_id, size=SIZE, sha512="0" * 128)
    done = tool.run("--image", image_id, file)

    assert (done.status, done.out) == (1, "")
    assert done.err.endswith(
        "\nupload: The service answered 409: sha512 differs from the value sent when"
        " the upload began.\n"
    )


def test_it_gives_an_upload_up(tool: Tool, owner: Actor) -> None:
    """The image waits for data again, and there is nothing more to give up."""
    image_id = owner.make_image(**FORMATS)
    begun(owner, image_id, size=SIZE)
    done = tool.run("--abort", "--image", image_id)
    again = tool.run("--abort", "--image", image_id)
    image = owner.get(f"/v2/images/{image_id}").document

    assert done == Done(
        0, f"The upload was given up; image {image_id} waits for data.\n", ""
    )
    assert image["status"] == "queued"
    assert again == Done(1, "", "upload: The image has no upload that goes on.\n")


def test_an_image_with_data_is_only_compared(tool: Tool, tmp_path: Path) -> None:
    """The same data is there already; other data is refused."""
    small, same, other = (tmp_path / name for name in ("small", "same", "other"))
    small.write_bytes(b"data")
    same.write_bytes(b"date")
    other.write_bytes(b"other data")
    image_id = tool.run(small).image_id
    equal, unlike, refused = (
        tool.run("--image", image_id, file) for file in (small, same, other)
    )

    assert equal.status == 0
    assert equal.out.startswith(f"Image {image_id} is active: 4 bytes\n")
    assert (unlike.status, refused.status) == (1, 1)
    assert "upload: The image's data is not the file's" in unlike.err
    assert refused.err == (
        "upload: The service answered 409: The image is active; data is accepted"
        " only while it is queued.\n"
    )


def test_another_file_is_not_mixed_in(tool: Tool, owner: Actor, tmp_path: Path) -> None:
    """An upload goes on with a file of its size alone."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    image_id = owner.make_image(**FORMATS)
    begun(owner, image_id, size=SIZE)
    done = tool.run("--image", image_id, small)

    assert (done.status, done.out) == (1, "")
    assert f"An upload of {SIZE} bytes goes on, and the file has 4." in done.err


class Clock:
    """The time that the tool sees; while it sleeps, something may happen."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self._now = 0.0
        self._happenings = list(happenings)

    def monotonic(self) -> float:
        """Return the time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self._now += seconds
        if self._happenings:
            self._happenings.pop(0)()


@dataclass(frozen=True)
class InProcess:
    """The service as the tool asks it, where nothing works unless a test lets it."""

    actor: Actor

    def ask(self, method: str, path: str, document: Any = None, **_: object) -> Any:
        """Ask it, of whom nothing is refused."""
        response = self.actor.ask(method, path, document)
        assert response.status < 300, response.body
        return response.document


def completed(owner: Actor, content: bytes) -> str:
    """Send an image's data, which a worker is to hash; give the image's id."""
    image_id = owner.make_image(**FORMATS)
    upload = begun(owner, image_id, size=len(content))
    requests.put(upload["parts"][0]["url"], content, timeout=10).raise_for_status()
    assert owner.post(f"{upload['self']}/complete").status == 202
    return image_id


def test_it_tells_what_it_waits_for(
    producer: Actor,
    pump: Pump,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Each time that there is news: as long as nobody works on it, and when a try failed.
    """
    small = tmp_path / "small"
    small.write_bytes(b"data")
    image_id = completed(producer, b"data")

    def fail_once() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(objects, "etag_of", Mock(side_effect=Unavailable("Down.")))
            pump.step()

    clock = Clock(lambda: None, fail_once, lambda: None, pump.drain)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    monkeypatch.setattr(uploading, "time", clock)
    monkeypatch.setattr(uploading, "connect", lambda: InProcess(producer))
    status = uploading.main(["--image", image_id, str(small)])

    assert status == 0
    assert capsys.readouterr().err.splitlines()[2:] == [
        "All is in S3. The service checks it, and hashes it.",
        "It waits for a worker; 0 % is hashed.",
        "A worker has it; 0 % is hashed. The last try failed: Down.",
    ]


def test_it_does_not_wait_for_ever(
    producer: Actor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where no worker runs: all was sent, and it can be looked at later."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    image_id = completed(producer, b"data")
    clock = Clock()
    monkeypatch.setattr(uploading, "time", clock)
    monkeypatch.setattr(uploading, "connect", lambda: InProcess(producer))
    status = uploading.main(["--image", image_id, str(small)])

    err = capsys.readouterr()
    assert (status, err.out) == (1, "")
    assert err.err.splitlines()[-2] == (
        "upload: All data was sent, but the service has not got any further for 30"
        " minutes. Nothing need be sent again; see how it is with:"
    )
    assert err.err.splitlines()[-1].endswith(f" --image {image_id} {small}")
    assert 1800 < clock.monotonic() < 1900


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


@pytest.mark.parametrize("words", [["nothing-there"], ["."], ["/dev/null"]])
def test_what_is_no_file_is_refused(tool: Tool, words: list[str]) -> None:
    """Before anything is created."""
    done = tool.run(*words)

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"upload: {words[0]}")


@pytest.mark.parametrize("words", [[], ["--abort"], ["file", "--jobs", "0"]])
def test_a_wrong_command_line_is_refused(tool: Tool, words: list[str]) -> None:
    """In one line, which names the help."""
    done = tool.run(*words)

    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("upload: ")
    assert line.endswith(". See tools/upload --help.")


def test_on_a_terminal_there_is_a_bar(tool: Tool, file: Path) -> None:
    """It is drawn in place, and ends full."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, UPLOAD, file],
        cwd=tool.home,
        env=tool.environment(TERM="xterm", COLUMNS="100"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # What Linux has for the end.
            pass
        finally:
            os.close(ours)
    done = Done(process.returncode, "", shown.decode())
    bars = re.findall(r"\r\[(#*)(\.*)\] (\S+ \S+) of 38\.1 MiB, (\d+) %", done.err)

    assert done.status == 0
    assert len(bars) >= 2
    assert bars[-1][1:] == ("", "38.1 MiB", "100")


def test_elsewhere_there_are_plain_lines(tool: Tool, file: Path) -> None:
    """A few, and no control characters."""
    done = tool.run(file)
    lines = re.findall(r"(?m)^\S+ \S+ of 38\.1 MiB, (\d+) %", done.err)

    assert done.status == 0, done.err
    assert 2 <= len(lines) <= 12
    assert lines == sorted(lines, key=int)
    assert lines[-1] == "100"
    assert re.search(r"[\r\x1b]", done.err) is None


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
