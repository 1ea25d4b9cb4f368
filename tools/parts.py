"""A file sent to S3 in parts, several at a time, with each byte checked by S3.

No part is ever in memory as a whole: it is read once to be hashed, and again, from
what the system still has of it, to be sent.
"""

import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import md5, sha512
from http import HTTPStatus
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any, Final

from tools.access import (
    RETRIED,
    TRIES,
    Response,
    Service,
    SilenceError,
    ToolError,
    delay,
)
from tools.progress import Progress

PIECE: Final = 256 * 1024
"""How much of a part is in memory at a time."""

URLS_MAX: Final = 100
_FRESH = 0.5
# A URL ends with the token of who signed it, too.
_HEALING = frozenset({"BadDigest", "ExpiredToken", "RequestTimeout"})
_CODE = re.compile(rb"<Code>(\w{1,64})</Code>")


class Source:
    """The file, which must stay as it is."""

    def __init__(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY)
            self.size = os.fstat(self._file).st_size
            os.pread(self._file, 1, 0)
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror}.") from None
        self._state = self._now()
        if not self.size:
            raise ToolError(f"{path} is empty, or is no plain file.")

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Read a range of the file in small pieces.

        Raises:
            ToolError: The file is shorter by now, or cannot be read.
        """
        end = start + size
        while start < end:
            try:
                piece = os.pread(self._file, min(PIECE, end - start), start)
            except OSError as error:
                raise ToolError(f"The file cannot be read: {error.strerror}.") from None
            if not piece:
                raise ToolError("The file got shorter while it was sent.")
            start += len(piece)
            yield piece

    def sha512(self) -> str:
        """Hash the whole file."""
        digest = sha512()
        for piece in self.read(0, self.size):
            digest.update(piece)
        return digest.hexdigest()

    def check(self) -> None:
        """Check that the file is as it was when it was opened.

        Raises:
            ToolError: It is not.
        """
        if self._now() != self._state:
            raise ToolError("The file was changed while it was sent.")

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._file)
        return state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class Arrived:
    """A part that S3 has; the tag is its MD5 in hex."""

    size: int
    etag: str


@dataclass(frozen=True)
class Sent:
    """
    What S3 has once all parts were sent: their tags, and the SHA-512 of the whole.
    """

    etags: list[str]
    sha512: str
    sent: int
    kept: int


class Urls:
    """
    The signed URLs of an upload's parts: asked for when needed, for some at a time.
    """

    def __init__(
        self, service: Service, upload: Mapping[str, Any], at_once: int
    ) -> None:
        self._service, self._at_once = service, min(at_once, URLS_MAX)
        self._path, self._count = upload["self"], upload["part_count"]
        self._urls: dict[int, tuple[str, float]] = {}
        self._lock = Lock()
        if "parts" in upload:  # It was begun just now.
            self._keep(upload, time.monotonic())

    def take(self, number: int) -> str:
        """Return the URL of a part, for one try."""
        with self._lock:
            url, until = self._urls.pop(number, ("", 0.0))
            if time.monotonic() < until:
                return url
            self._ask(number)
            return self._urls.pop(number)[0]

    def _ask(self, number: int) -> None:
        last = min(number + self._at_once, self._count + 1)
        asked = {"part_numbers": list(range(number, last))}
        now = time.monotonic()
        self._keep(self._service.ask("POST", f"{self._path}/urls", asked), now)

    def _keep(self, response: Mapping[str, Any], now: float) -> None:
        until = now + response["expires_in"] * _FRESH
        for part in response["parts"]:
            self._urls[part["part_number"]] = part["url"], until


class Sending:
    """The sending of a file's parts that S3 does not have yet, or has otherwise."""

    def __init__(
        self,
        service: Service,
        upload: Mapping[str, Any],
        source: Source,
        progress: Progress,
        jobs: int,
    ) -> None:
        self._service, self._source, self._progress = service, source, progress
        self._part_size, self._count = upload["part_size"], upload["part_count"]
        self._jobs = min(jobs, self._count)
        self._urls = Urls(service, upload, 4 * self._jobs)
        self._to_send: Queue[tuple[int, bytes] | None] = Queue(self._jobs)
        self._ended = Event()
        self._failures: list[Exception] = []
        self._etags: list[str] = []
        self._sha512 = sha512()
        self._sent: list[int] = []

    def run(self, arrived: Mapping[int, Arrived]) -> Sent:
        """Send what is missing or different; come back once S3 has all of the file.

        Raises:
            ToolError: It could not be sent.
        """
        threads = [
            self._start(lambda: self._hash(arrived)),
            *(self._start(self._send) for _ in range(self._jobs)),
        ]
        try:
            while any(thread.is_alive() for thread in threads) and not self._failures:
                self._progress.show()
                self._ended.wait(0.05)
        finally:
            self._ended.set()
            self._progress.end()
        if self._failures:
            raise self._failures[0]
        self._source.check()
        kept = self._count - len(self._sent)
        return Sent(self._etags, self._sha512.hexdigest(), len(self._sent), kept)

    def _start(self, work: Callable[[], None]) -> Thread:
        def run() -> None:
            try:
                work()
            except Exception as failure:  # noqa: BLE001 - it is raised by who waits
                self._failures.append(failure)
                self._ended.set()

        # After giving up, do not wait for requests in flight.
        thread = Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _hash(self, arrived: Mapping[int, Arrived]) -> None:
        """Read the file in order, and have those parts sent that have not arrived."""
        for number in range(1, self._count + 1):
            digest = md5(usedforsecurity=False)
            start, size = self._range(number)
            for piece in self._source.read(start, size):
                digest.update(piece)
                self._sha512.update(piece)
                if self._ended.is_set():
                    return
            self._etags.append(digest.hexdigest())
            if arrived.get(number) == Arrived(size, digest.hexdigest()):
                self._progress.arrived(size)
            else:
                self._to_send.put((number, digest.digest()))
        for _ in range(self._jobs):
            self._to_send.put(None)

    def _send(self) -> None:
        while (part := self._to_send.get()) is not None:
            self._send_part(*part)
            self._sent.append(part[0])

    def _send_part(self, number: int, digest: bytes) -> None:
        """Send a part, more than once if need be, each time with a URL of its own."""
        reason = ""
        for tried in range(1, TRIES + 1):
            try:
                response = self._put(number, digest)
            except SilenceError as silence:
                reason = str(silence)
            else:
                if response.status == HTTPStatus.OK:
                    return
                reason = _code(response)
                if reason == "BadDigest":
                    self._source.check()
                if not _may_heal(response.status, reason):
                    break
            if self._ended.wait(delay(tried)):
                raise ToolError("The upload ended.")
        raise ToolError(f"S3 did not take part {number}: {reason}.")

    def _put(self, number: int, digest: bytes) -> Response:
        url = self._urls.take(number)
        start, size = self._range(number)
        counted = _Counted(self._progress, self._source.read(start, size), self._ended)
        headers = {
            "Content-Length": str(size),
            "Content-MD5": b64encode(digest).decode(),
            # urllib would call it a form.
            "Content-Type": "application/octet-stream",
        }
        try:
            response = self._service.http.ask("PUT", url, headers, counted)
        except BaseException:
            counted.take_back()
            raise
        if response.status != HTTPStatus.OK:
            counted.take_back()
        return response

    def _range(self, number: int) -> tuple[int, int]:
        start = (number - 1) * self._part_size
        return start, min(self._part_size, self._source.size - start)


class _Counted:
    def __init__(
        self, progress: Progress, pieces: Iterator[bytes], ended: Event
    ) -> None:
        self._progress, self._pieces, self._ended = progress, pieces, ended
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._ended.is_set():
                raise ToolError("The upload ended.")
            yield piece
            self._size += len(piece)
            self._progress.sent(len(piece))

    def take_back(self) -> None:
        self._progress.sent(-self._size)
        self._size = 0


def _may_heal(status: int, code: str) -> bool:
    # 403: the URL may have expired.
    return status in RETRIED or status == HTTPStatus.FORBIDDEN or code in _HEALING


def _code(response: Response) -> str:
    """
    Return S3's name of an error: the rest of its response may quote what was signed.
    """
    found = _CODE.search(response.body)
    return found[1].decode() if found else f"HTTP {response.status}"
