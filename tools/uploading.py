"""The command `tools/upload`: a file of any size becomes an image's data."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from tools.access import RefusedError, Service, ToolError, connect
from tools.command_line import CREDENTIALS, FAILED, INTERRUPTED, Parser
from tools.parts import Arrived, Sending, Source
from tools.progress import Progress

JOBS: Final = 4
JOBS_MAX: Final = 64

PATIENCE_SECONDS: Final = 1800
"""How long nothing may change while the service is to hash what was sent."""

_POLLED_EACH = (0.2, 5.0)


class _Canceled(Exception):  # noqa: N818 - nothing failed
    """The user pressed Ctrl-C; the message has the command that goes on."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    asked = _parser().parse_args(words)
    if asked.abort != (asked.file is None) or (asked.abort and not asked.image):
        _parser().error(
            "pass FILE to upload it, or --abort --image ID to cancel an upload"
        )
    try:
        service = connect()
        if asked.abort:
            _abort(service, asked.image)
        else:
            _upload(service, asked)
    except ToolError as error:
        _say(f"upload: {error}")
        return FAILED
    except _Canceled as canceled:
        _say(str(canceled))
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _parser() -> Parser:
    parser = Parser(
        "upload",
        description="Send a file to S3, in parts, as the data of an image.",
        epilog=f"{CREDENTIALS} What was interrupted goes on by --image: only what S3"
        " does not have is sent again.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the data")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--image", metavar="ID", help="a queued image; without it, one is created"
    )
    which.add_argument("--name", help="the new image's name; by default the file's")
    parser.add_argument("--disk-format", default="raw", help="the new image's; raw")
    parser.add_argument("--container-format", default="bare", help="the same; bare")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        default=JOBS,
        help=f"how many parts to send at the same time; {JOBS}",
    )
    parser.add_argument(
        "--abort", action="store_true", help="give up what --image has begun"
    )
    return parser


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) not in range(1, JOBS_MAX + 1):
        raise argparse.ArgumentTypeError(f"it must be 1 to {JOBS_MAX}")
    return int(text)


def _upload(service: Service, asked: argparse.Namespace) -> None:
    source = Source(asked.file)
    image_id = asked.image or _create(service, asked)
    again = _again(image_id, asked)
    try:
        sha512 = _send(service, image_id, source, asked.jobs, again)
    except KeyboardInterrupt:
        raise _Canceled(f"Interrupted. Go on with:\n  {again}") from None
    sys.stdout.write(f"Image {image_id} is active: {source.size} bytes\n")
    sys.stdout.write(f"SHA-512 {sha512}\n")


def _create(service: Service, asked: argparse.Namespace) -> str:
    image = {
        "name": asked.name or Path(asked.file).name,
        "disk_format": asked.disk_format,
        "container_format": asked.container_format,
    }
    # Sent twice, it might create two.
    image_id = str(service.ask("POST", "/v2/images", image, tries=1)["id"])
    _say(f"Image {image_id} was created.")
    return image_id


def _again(image_id: str, asked: argparse.Namespace) -> str:
    jobs = [] if asked.jobs == JOBS else ["--jobs", str(asked.jobs)]
    file = ["--", asked.file] if asked.file.startswith("-") else [asked.file]
    return shlex.join([sys.argv[0], "--image", image_id, *jobs, *file])


def _send(
    service: Service, image_id: str, source: Source, jobs: int, again: str
) -> str:
    """Make the file's data that of the image; return its SHA-512."""
    image = service.ask("GET", f"/v2/images/{image_id}")
    if (image["status"], image["size"]) == ("active", source.size):
        _say("The image is active already. Its data is compared with the file.")
        return _verified(image, source.sha512())
    upload, arrived = _open_upload(service, image_id, source.size)
    if upload["size"] != source.size:
        raise ToolError(
            f"An upload of {upload['size']} bytes goes on, and the file has"
            f" {source.size}. Choose that file, or give it up with --abort."
        )
    _say(f"If this is interrupted, go on with:\n  {again}")
    if upload["state"] == "open":
        sha512 = _send_parts(service, upload, arrived, source, jobs)
    else:
        sha512 = source.sha512()
    _wait(service, upload, again)
    return _verified(service.ask("GET", f"/v2/images/{image_id}"), sha512)


def _send_parts(
    service: Service,
    upload: Any,  # noqa: ANN401 - a document
    arrived: dict[int, Arrived],
    source: Source,
    jobs: int,
) -> str:
    progress = Progress(source.size, sys.stderr)
    sent = Sending(service, upload, source, progress, jobs).run(arrived)
    _say(f"Sent {sent.sent} of {upload['part_count']} parts; {sent.kept} were there.")
    if replaced := len(arrived) - sent.kept:
        _say(
            f"{replaced} parts that were there were not this file's: they are replaced."
        )
    document = {"etags": sent.etags, "sha512": sent.sha512}
    service.ask("POST", f"{upload['self']}/complete", document)
    return sent.sha512


def _open_upload(
    service: Service, image_id: str, size: int
) -> tuple[Any, dict[int, Arrived]]:
    """Return the upload that goes on, and what has arrived of it, or begin one."""
    upload = _ongoing(service, image_id)
    if upload is None:
        path = f"/ext/v1/images/{image_id}/uploads"
        try:
            return service.ask("POST", path, {"size": size}), {}
        except RefusedError as refusal:
            # It may be that of a first try, whose answer got lost.
            upload = _ongoing(service, image_id)
            if upload is None or refusal.status != HTTPStatus.CONFLICT:
                raise
    shown = service.ask("GET", upload["self"])
    arrived = {
        part["part_number"]: Arrived(part["size"], part["etag"])
        for part in shown.get("arrived", [])
    }
    return shown, arrived


def _ongoing(service: Service, image_id: str) -> Any:  # noqa: ANN401 - a document
    path = f"/ext/v1/images/{image_id}/uploads"
    uploads = service.ask("GET", path)["uploads"]
    over = ("success", "failure")
    return next((one for one in uploads if one["state"] not in over), None)


def _wait(service: Service, upload: Any, again: str) -> None:  # noqa: ANN401 - as above
    """Wait until the service has hashed what was sent, and the image is active.

    Raises:
        ToolError: It failed, or nothing has changed for too long.
    """
    _say("All is in S3. The service checks it, and hashes it.")
    said, since = "", time.monotonic()
    pause, longest = _POLLED_EACH
    while (now := service.ask("GET", upload["self"]))["state"] != "success":
        if now["state"] == "failure":
            raise ToolError(f"The upload failed: {now['message']}")
        if (words := _awaited(now)) != said:
            _say(words)
            said, since = words, time.monotonic()
        elif time.monotonic() - since > PATIENCE_SECONDS:
            raise ToolError(
                "All data was sent, but the service has not got any further for"
                f" {PATIENCE_SECONDS // 60} minutes. Nothing need be sent again; see"
                f" how it is with:\n  {again}"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


def _awaited(upload: Any) -> str:  # noqa: ANN401 - a document
    """Say what must happen before an upload is over."""
    hashed = f"{100 * upload['hashed'] // upload['size']} % is hashed."
    waits = upload["state"] == "pending"
    words = "It waits for a worker" if waits else "A worker has it"
    before = upload["message"] and f" The last try failed: {upload['message']}"
    return f"{words}; {hashed}{before}"


def _verified(image: Any, sha512: str) -> str:  # noqa: ANN401 - a document
    """Return the file's SHA-512, if it is the image's."""
    theirs = image["os_hash_value"]
    if (image["os_hash_algo"], theirs) != ("sha512", sha512):
        raise ToolError(
            "The image's data is not the file's: their SHA-512 are"
            f"\n  {theirs}\n  {sha512}"
        )
    return sha512


def _abort(service: Service, image_id: str) -> None:
    upload = _ongoing(service, image_id)
    if upload is None:
        raise ToolError("The image has no upload that goes on.")
    service.ask("DELETE", upload["self"])
    sys.stdout.write(f"The upload was given up; image {image_id} waits for data.\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
