"""A small model of SQS and of Lambda's slots on it, in virtual time.

The functions run as they are; only the table, the bucket, the sources and the time are
the model's. Each slot is a thread, and one thread runs at a time: the one whose time is
the earliest.
"""

import hashlib
import heapq
import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from threading import Semaphore, Thread
from typing import Any

import pytest

from chalicelib import clock, settings
from chalicelib.background import downloads, functions, runs, sweep
from chalicelib.domain.uploads import Upload, UploadState
from chalicelib.errors import StaleError
from chalicelib.store import claims, objects, queue
from chalicelib.store import uploads as upload_store

START = datetime(2026, 11, 28, tzinfo=UTC)
VISIBILITY_SECONDS = 960
RECEIVES_MAX = 5
SLOTS = 10
SCALE = 1024
"""The model's bytes are this many bytes: a part of 8 MiB has 8 KiB."""


class Ended(BaseException):
    """The model ends: a slot's thread stops where it sleeps."""


class Time:
    """Virtual time, in seconds: threads that sleep are woken in the order of time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_over = False
        self._number = count()
        self._sleeping: list[tuple[float, int, Semaphore]] = []
        self._resting = Semaphore(0)

    def now(self) -> datetime:
        """Return the time, as `clock.now` does."""
        return START + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        """Let the time pass for the current thread."""
        turn = Semaphore(0)
        entry = (self.seconds + seconds, next(self._number), turn)
        heapq.heappush(self._sleeping, entry)
        self._resting.release()
        turn.acquire()
        if self.is_over:
            raise Ended

    def begin(self, act: Callable[[], None]) -> None:
        """Run a thread until it sleeps."""

        def run() -> None:
            try:
                act()
            except Ended:
                return
            self._resting.release()

        Thread(target=run, daemon=True).start()
        self._resting.acquire()

    def pass_until(self, end: float) -> None:
        """Wake who sleeps until a time, in order."""
        while self._sleeping and self._sleeping[0][0] <= end:
            self.seconds, _, turn = heapq.heappop(self._sleeping)
            turn.release()
            self._resting.acquire()
        self.seconds = end

    def stop(self) -> None:
        """End all threads."""
        self.is_over = True
        for _, _, turn in self._sleeping:
            turn.release()


@dataclass
class Message:
    """A message on the queue, or in flight."""

    body: str
    group: str
    receives: int = 0
    in_flight: bool = False
    visible_at: float = 0


class Sqs:
    """A standard queue: delays, visibility, receive counts, dead letters, fair groups.

    Of the visible messages that of the group with the fewest in flight comes first.
    """

    def __init__(self, time: Time) -> None:
        self.dead: list[Message] = []
        self.receives_max = 0
        self._time = time
        self._messages: dict[int, Message] = {}
        self._numbers = count()
        self._hidden: list[tuple[float, int]] = []
        self._visible: defaultdict[str, deque[int]] = defaultdict(deque)
        self._flying: Counter[str] = Counter()

    def send_message(self, **parameters: Any) -> None:
        """Take a message, as botocore's client does."""
        number = next(self._numbers)
        self._messages[number] = Message(
            parameters["MessageBody"], parameters["MessageGroupId"]
        )
        self._hide(number, parameters["DelaySeconds"])

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        """Return how many messages are visible, as botocore's client does."""
        self._show()
        number = sum(map(len, self._visible.values()))
        return {"Attributes": {"ApproximateNumberOfMessages": str(number)}}

    @property
    def number(self) -> int:
        """How many messages there are, those in flight included."""
        return len(self._messages)

    def lose(self) -> Message:
        """Lose the message that comes next."""
        taken = self.receive()
        assert taken
        number, message = taken
        self.delete(number)
        return message

    def receive(self) -> tuple[int, Message] | None:
        """Return the message that comes next, if any is visible."""
        self._show()
        waiting = [
            (self._flying[group], numbers[0], group)
            for group, numbers in self._visible.items()
            if numbers
        ]
        if not waiting:
            return None
        _, number, group = min(waiting)
        self._visible[group].popleft()
        message = self._messages[number]
        message.receives += 1
        if message.receives > RECEIVES_MAX:
            self.dead.append(self._messages.pop(number))
            return self.receive()
        self.receives_max = max(self.receives_max, message.receives)
        message.in_flight = True
        self._flying[group] += 1
        self._hide(number, VISIBILITY_SECONDS)
        return number, message

    def delete(self, number: int) -> None:
        """Delete a message in flight."""
        self._flying[self._messages.pop(number).group] -= 1

    def _hide(self, number: int, seconds: float) -> None:
        visible_at = self._time.seconds + seconds
        self._messages[number].visible_at = visible_at
        heapq.heappush(self._hidden, (visible_at, number))

    def _show(self) -> None:
        while self._hidden and self._hidden[0][0] <= self._time.seconds:
            visible_at, number = heapq.heappop(self._hidden)
            message = self._messages.get(number)
            if message is None or message.visible_at != visible_at:
                continue
            self._flying[message.group] -= message.in_flight
            message.in_flight = False
            self._visible[message.group].append(number)


@dataclass
class Source:
    """A source of the model's bytes, at a rate of bytes a second."""

    time: Time
    rate: float
    length: int
    resumes: bool
    left: int
    validator: str = '"1"'

    def read(self, n: int, _seconds: float) -> bytes:
        """Return the next bytes, in the time that they take."""
        size = min(n, self.left)
        self.time.sleep(size / self.rate)
        self.left -= size
        return bytes(size)


class Context:
    """What Lambda tells a function of its run."""

    def __init__(self, time: Time) -> None:
        self._time, self._ends = time, time.seconds + 900

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left."""
        return int((self._ends - self._time.seconds) * 1000)


class Service:
    """The importer on its queue, with what it stores."""

    def __init__(self) -> None:
        self.time = Time()
        self.sqs = Sqs(self.time)
        self.uploads: dict[str, Upload] = {}
        self.claims: dict[str, tuple[int, dict[str, int]]] = {}
        self.data: dict[str, bytes] = {}
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.longest = 0.0

    def ask(self, project_id: str, rate: float, size: int) -> str:
        """Ask for an import from a source of a rate; return the upload's id."""
        number = f"{len(self.uploads):04}"
        now = self.time.now()
        upload = Upload(
            id=number,
            image_id=f"image-{number}",
            method="web-download",
            state=UploadState.PENDING,
            project_id=project_id,
            user_id="alice",
            request_id="req-model",
            created_at=now,
            updated_at=now,
            uri=f"{project_id} {rate / SCALE} {-(-size // SCALE)}",
        )
        self.uploads[number] = upload
        queue.send_upload(upload)
        return number

    def begin(self) -> None:
        """Start the slots."""
        for _ in range(SLOTS):
            self.time.begin(self._work)

    def _work(self) -> None:
        while True:
            taken = self.sqs.receive()
            if taken is None:
                self.time.sleep(2)
                continue
            number, message = taken
            record = {"body": message.body, "receiptHandle": str(number)}
            begun = self.time.seconds
            functions.importer({"Records": [record]}, Context(self.time))
            self.longest = max(self.longest, self.time.seconds - begun)
            self.time.sleep(0.1)
            self.sqs.delete(number)

    def sweep(self) -> None:
        """Let the sweep look at each upload that waits or has a run."""
        has_backlog = cache(queue.has_backlog)
        for upload in list(self.uploads.values()):
            sweep._resume_or_end(has_backlog, (upload.image_id, upload.id))  # noqa: SLF001 - its list is of the table's index

    def load(self, _image_id: str, upload_id: str) -> Upload | None:
        """Stand in for `load_upload`."""
        return self.uploads.get(upload_id)

    def save(self, before: Upload, after: Upload) -> Upload:
        """Stand in for `save_upload`, with its condition."""
        if self.uploads[before.id].updated_at != before.updated_at:
            raise StaleError
        later = before.updated_at + timedelta(microseconds=1)
        after = after._replace(updated_at=max(later, self.time.now()))
        self.uploads[before.id] = after
        return after

    def end(self, before: Upload, after: Upload, _change: object) -> Upload:
        """Stand in for `end_upload`."""
        return self.save(before, after)

    def load_claims(self, key: tuple[str, str]) -> Any:
        """Stand in for the read of a project's claims."""
        if key[0] not in self.claims:
            return None
        version, held = self.claims[key[0]]
        return {"version": {"N": str(version)}, "claims": {"S": json.dumps(held)}}

    def save_claims(
        self, upload: Upload, version: int | None, held: dict[str, int]
    ) -> bool:
        """Stand in for the write of a project's claims, with its condition."""
        partition = f"PROJECT#{upload.project_id}"
        last, _ = self.claims.get(partition, (None, {}))
        if last == version:
            self.claims[partition] = (version or 0) + 1, held
        return last == version

    @contextmanager
    def open_source(
        self, uri: str, _allowed: object, start: int, *_: Any
    ) -> Iterator[Source]:
        """Stand in for `open_source`; count how many of a project's are open."""
        project, rate, size = uri.split()
        left = int(size) - start
        source = Source(self.time, float(rate), int(size), start > 0, left)
        self.running[project] += 1
        self.most[project] = max(self.most[project], self.running[project])
        try:
            yield source
        finally:
            self.running[project] -= 1

    def put_data(self, _image_id: str, upload_id: str, content: bytes) -> None:
        """Stand in for the bucket."""
        self.data[upload_id] = content

    def etag_of(self, _image_id: str, upload_id: str) -> tuple[int, str]:
        """Stand in for the bucket."""
        content = self.data[upload_id]
        return len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Iterator[Service]:
    """Let the functions run on the model."""
    service = Service()
    fast = settings.current._replace(
        image_formats="off",
        import_rate_min=settings.current.import_rate_min // SCALE,
        **changed,
    )
    with monkeypatch.context() as patched:
        for owner, name, value in (
            (settings, "current", fast),
            (clock, "now", service.time.now),
            (queue, "client", lambda _: service.sqs),
            (upload_store, "load_upload", service.load),
            (upload_store, "save_upload", service.save),
            (upload_store, "end_upload", service.end),
            (claims, "get_item", service.load_claims),
            (claims, "_save", service.save_claims),
            (downloads, "open_source", service.open_source),
            (downloads, "PART_BYTES", downloads.PART_BYTES // SCALE),
            (downloads, "PART_BYTES_MIN", downloads.PART_BYTES_MIN // SCALE),
            (downloads, "PIECE_BYTES", runs.PIECE_BYTES // SCALE),
            (objects, "put_data", service.put_data),
            (objects, "etag_of", service.etag_of),
            (objects, "begin_multipart", lambda *_: "multipart"),
            (objects, "put_part", lambda *_: None),
            (objects, "delete_upload", lambda _: None),
        ):
            patched.setattr(owner, name, value)
        try:
            yield service
        finally:
            service.time.stop()
