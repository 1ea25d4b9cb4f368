"""`tools/upload`: a file becomes an image's data, whatever happens on the way."""

import hashlib
import os
import pty
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import disks
from tests.actors import Actor
from tests.disks import put
from tests.local.proxy import CUT, proxied
from tests.local.upload_tool import (
    FORMATS,
    UPLOAD,
    Done,
    Tool,
    at_s3,
    begun,
    downloaded,
)

PART = 16 * 1024**2
SIZE = 40_000_000
"""Two parts, and one that is smaller."""

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three parts."""
    path = tmp_path_factory.mktemp("data") / "disk image.qcow2"
    content = random.Random(5).randbytes(SIZE)  # noqa: S311 - any bytes do
    path.write_bytes(put(content, 0, disks.qcow2()))
    return path


def sha512(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha512(path.read_bytes()).hexdigest()


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
    # What a background job starts ignores it, and so would the tool.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
