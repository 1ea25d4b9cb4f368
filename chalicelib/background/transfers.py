"""Transfers: move the data of an import or an upload into the bucket, and end it.

A run ends after a slice of time, and a message starts the next one, so that others have
their turn. An import needs a claim: a project has some at most.

A run may be killed anywhere, or overlap with another. Progress is saved with the
upload, each save is conditional on the last one, and an object of S3 is accepted only
if its ETag is that of the bytes that were hashed.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import md5
from math import ceil
from typing import Any, Final

from chalicelib import clock, settings
from chalicelib.background.addresses import SourceBroken
from chalicelib.background.digests import Digests
from chalicelib.background.sources import Source, open_source
from chalicelib.domain.formats import FormatRefused, inspect
from chalicelib.domain.images import Content, Image, ImageStatus
from chalicelib.domain.import_uris import SourceRefused, parse_allowed
from chalicelib.domain.uploads import WEB_DOWNLOAD, Progress, Upload, UploadState
from chalicelib.errors import StaleError, Unavailable
from chalicelib.store import claims, objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store.objects import MissingError

log = logging.getLogger("cloud-images")

IsOutOfTime = Callable[[], bool]
"""Returns whether a run must end for another to continue."""

PARTS_MAX: Final = 10_000
"""Maximum number of parts of a multipart upload in S3."""

PART_BYTES: Final = 8 * 1024**2
"""Minimum size of a part, in bytes."""

PART_BYTES_MAX: Final = 64 * 1024**2
"""Maximum size of a part, in bytes: one is held in memory."""

TRIES_MAX: Final = 5
"""Maximum number of consecutive runs that fail without progress."""

TIME_MAX: Final = timedelta(hours=24)
"""Time limit of an import, over all its runs, from the first byte on."""

SLICE_SECONDS: Final = 60
"""Time after which a run ends for others to have their turn, in seconds."""

RATE_SECONDS: Final = 30
"""Time from which on a source must have the least average rate, in seconds."""

WAIT_SECONDS: Final = 30
"""First delay of an import whose project has too many, in seconds; it doubles."""

WAITING: Final = timedelta(minutes=15)
"""Age at which an import that waits is touched: the sweep resends what is idle."""

RETRY_SECONDS = 10
"""Delay before the first retry, in seconds; it doubles with each further one."""

_DELAY_SECONDS_MAX = 900  # SQS delays a message no longer.
_PIECE_BYTES = 1024**2
_SAVE_INTERVAL_BYTES = 1024**3


class OutOfTimeError(Exception):
    """The run must end; its progress is saved."""


class FailedError(Exception):
    """The upload cannot succeed; the message is for the image's owner."""


def transfer(
    image_id: str, upload_id: str, is_out_of_time: IsOutOfTime, waits: int = 0
) -> None:
    """Process an upload until time is out, and enqueue what is left of it.

    An import whose project has too many in progress is enqueued again, with a delay.
    A message that is put back instead would count towards the dead letters.

    Raises:
        Unavailable: The state could not be saved; the message must be retried.
    """
    upload = upload_store.load_upload(image_id, upload_id)
    if upload is None or upload.state is UploadState.OPEN:
        return
    if upload.state is UploadState.FAILURE:
        objects.delete_upload(upload)
    if upload.is_over:
        return
    is_import = upload.method == WEB_DOWNLOAD
    if is_import and not claims.claim_import(upload):
        _wait(upload, waits)
        return
    run = _Run(upload)
    try:
        run.begin()
        move = _download if is_import else _verify
        digests = move(run, is_out_of_time)
        _succeed(run, digests)
    except OutOfTimeError:
        queue.send_upload(run.upload)
        return  # The claim stays: the next run renews it.
    except StaleError:
        _clean_up(run.upload)
    except (SourceRefused, FormatRefused, FailedError) as exc:
        fail(run.upload, str(exc))
    except (SourceBroken, Unavailable) as exc:
        _retry_later(run, str(exc))
    if is_import:
        with suppress(Unavailable):  # It ends by itself.
            claims.release_import(upload)


def _wait(upload: Upload, waits: int) -> None:
    """Enqueue an import again, with a growing delay."""
    try:
        if clock.now() - upload.updated_at > WAITING:
            upload = upload_store.save_upload(upload, upload)
    except StaleError:
        return  # Another message of it was there at the same time.
    delay = min(WAIT_SECONDS * 2 ** min(waits, 5), _DELAY_SECONDS_MAX)
    queue.send_upload(upload, delay, waits + 1)


def fail(upload: Upload, message: str) -> None:
    """End an upload as failed: the image has no data, and the reason."""
    log.warning("%s: upload %s failed: %s", upload.request_id, upload.id, message)

    def change(image: Image) -> Image:
        return replace(
            image,
            status=ImageStatus.QUEUED,
            upload_id=None,
            size=None,
            failed_import=message,
        )

    failed = replace(upload, state=UploadState.FAILURE, message=message)
    with suppress(StaleError):
        if upload_store.end_upload(upload, failed, change) is None:
            upload_store.save_upload(upload, failed)
    _clean_up(upload)


class _Run:
    """A run of the worker on an upload, with the upload's last saved state."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    def begin(self) -> None:
        last = self.upload
        if last.tries >= TRIES_MAX:
            reason = last.message or "The worker crashed."
            raise FailedError(f"Failed {last.tries} times: {reason}")
        if last.begun_at and clock.now() - last.begun_at > TIME_MAX:
            raise FailedError("The import took longer than 24 hours.")
        self.save(state=UploadState.PROCESSING, tries=last.tries + 1)

    def save(self, **changes: Any) -> None:  # noqa: ANN401 - fields of an upload
        self.upload = upload_store.save_upload(
            self.upload, replace(self.upload, **changes)
        )

    def save_progress(self, digests: Digests, **changes: Any) -> None:  # noqa: ANN401 - fields of progress
        last = self.upload
        progress = replace(last.progress, digests=digests.save(), **changes)
        has_progressed = digests.size > last.reached
        self.save(
            progress=progress,
            tries=0 if has_progressed else last.tries,
            reached=max(digests.size, last.reached),
            message="" if has_progressed else last.message,
        )

    def reset(self, reason: str) -> Unavailable:
        """Discard all progress; the next run starts with a new multipart upload."""
        last = self.upload
        self.save(progress=Progress(), multipart_id=None)
        if last.multipart_id:
            objects.abort_multipart(last.image_id, last.id, last.multipart_id)
        return Unavailable(reason)


def _download(run: _Run, is_out_of_time: IsOutOfTime) -> Digests:
    """Copy a source's bytes to the bucket, part by part; return their digests."""
    progress = run.upload.progress
    digests, etags = _restore(progress.digests), _restore(progress.etags)
    if not progress.whole:
        digests, etags = _fetch(run, digests, etags, is_out_of_time)
    parts = run.upload.progress.parts
    etag = f"{etags.md5}-{parts}" if parts else digests.md5
    try:
        if parts:
            _complete(run, etag)
        stored = objects.etag_of(run.upload.image_id, run.upload.id)
    except MissingError as exc:
        raise run.reset("The downloaded data is no longer in the bucket.") from exc
    if stored != (digests.size, etag):
        # Nothing is removed before the failure is saved: another run may have just made
        # this object the data of the image.
        raise FailedError("The stored data differs from the downloaded data.")
    return digests


def _complete(run: _Run, etag: str) -> None:
    """Complete the multipart upload if its parts are still those that were hashed."""
    try:
        parts = objects.list_parts(run.upload)[: run.upload.progress.parts]
        if objects.etag_of_parts(parts) != etag:
            raise run.reset("The stored parts differ from the downloaded data.")
        objects.complete_multipart(run.upload, parts)
    except MissingError:
        return  # A killed run completed it: its ETag is checked next.


def _fetch(
    run: _Run, digests: Digests, etags: Digests, is_out_of_time: IsOutOfTime
) -> tuple[Digests, Digests]:
    upload, progress = run.upload, run.upload.progress
    parts, part_size = progress.parts, upload.part_size or PART_BYTES
    allowed = parse_allowed(settings.current.import_allow)
    with open_source(
        upload.uri or "", allowed, digests.size, progress.validator, upload.size
    ) as source:
        # What cannot go on at its middle is read in one run: a slice would lose it.
        is_sliced = bool(source.validator) and (source.resumes or digests.size == 0)
        pace = _Pace(is_out_of_time, is_sliced=is_sliced)
        begun_at = upload.begun_at or clock.now()
        if not source.resumes:
            digests, etags, parts = Digests(), Digests(), 0
            part_size = _part_size(source.length)
            run.save(part_size=part_size, size=source.length, begun_at=begun_at)
        while True:
            content = _read_part(source, part_size, pace)
            is_last = len(content) < part_size
            digests.update(content)
            if parts == 0 and is_last:
                objects.put_data(upload.image_id, upload.id, content)
            elif content:
                parts += 1
                _send_part(run, parts, content)
                etags.update(md5(content, usedforsecurity=False).digest())
            run.save_progress(
                digests,
                parts=parts,
                whole=is_last,
                etags=etags.save(),
                validator=source.validator,
            )
            if is_last:
                return digests, etags
            pace.end_part()


class _Pace:
    """How long a run stays at a source, and how slow the source may be.

    A slice ends after a minute, but not before one part was stored: less is no
    progress. At the least rate that a source may have, a part takes two minutes.
    """

    def __init__(self, is_out_of_time: IsOutOfTime, *, is_sliced: bool) -> None:
        self._is_out_of_time = is_out_of_time
        self._is_sliced = is_sliced
        self._begun = clock.now()
        self._parts = 0
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Count what the source has sent."""
        self._size += len(piece)

    def check(self) -> None:
        """Check whether the run may read on.

        Raises:
            OutOfTimeError: It must end.
            SourceBroken: The source is too slow.
        """
        if self._is_out_of_time() or (self._parts and self._ends_within(1)):
            raise OutOfTimeError
        seconds = self._seconds
        least = seconds * settings.current.import_rate_min
        if seconds > RATE_SECONDS and self._size < least:
            raise SourceBroken("The source is too slow.")

    def end_part(self) -> None:
        """Note that a part was stored.

        Raises:
            OutOfTimeError: The slice would end within the next part.
        """
        self._parts += 1
        if self._ends_within(1 + 1 / self._parts):
            raise OutOfTimeError

    def _ends_within(self, times: float) -> bool:
        """Return whether the slice ends before the run took some times as long."""
        return self._is_sliced and self._seconds * times > SLICE_SECONDS

    @property
    def _seconds(self) -> float:
        return (clock.now() - self._begun).total_seconds()


def _read_part(source: Source, size: int, pace: _Pace) -> bytes:
    """Return the next part; it is smaller only at the end of the source."""
    part = bytearray()
    while len(part) < size:
        pace.check()
        piece = source.read(min(_PIECE_BYTES, size - len(part)))
        if not piece:
            break
        pace.add(piece)
        part += piece
    return bytes(part)


def _send_part(run: _Run, number: int, content: bytes) -> None:
    if number > PARTS_MAX:
        raise FailedError("The source is too large to be imported.")
    if run.upload.multipart_id is None:
        upload = run.upload
        run.save(multipart_id=objects.begin_multipart(upload.image_id, upload.id))
    try:
        objects.put_part(run.upload, number, content)
    except MissingError as exc:
        raise run.reset("The downloaded data is no longer in the bucket.") from exc


def _part_size(length: int | None) -> int:
    """Return the size of the parts of a source, whose length may be unknown."""
    if length is None:
        return PART_BYTES
    size = max(PART_BYTES, ceil(length / PARTS_MAX))
    if size > PART_BYTES_MAX:
        raise FailedError(
            f"The source has {length} bytes; the maximum is"
            f" {PARTS_MAX * PART_BYTES_MAX}."
        )
    return size


def _verify(run: _Run, is_out_of_time: IsOutOfTime) -> Digests:
    """Complete a client's multipart upload; return the digests of its object."""
    if not run.upload.progress.whole:
        with suppress(MissingError):  # A killed run completed it.
            objects.complete_multipart(run.upload, objects.list_parts(run.upload))
        run.save_progress(Digests(), whole=True)
    try:
        size, etag = objects.etag_of(run.upload.image_id, run.upload.id)
        if (size, etag) != (run.upload.size, run.upload.etag):
            raise FailedError("The object in S3 differs from the parts that were sent.")
        digests = _hash(run, size, is_out_of_time)
    except MissingError as exc:
        raise FailedError("The parts that were sent are no longer in S3.") from exc
    if run.upload.sha512 not in (None, digests.sha512):
        raise FailedError(f"The SHA-512 of the sent data is {digests.sha512}.")
    return digests


def _hash(run: _Run, size: int, is_out_of_time: IsOutOfTime) -> Digests:
    digests = _restore(run.upload.progress.digests)
    ends = clock.now() + timedelta(seconds=SLICE_SECONDS)
    try:
        while digests.size < size:
            _hash_from(run, digests, lambda: is_out_of_time() or clock.now() > ends)
    except (OutOfTimeError, Unavailable):
        run.save_progress(digests)
        raise
    return digests


def _hash_from(run: _Run, digests: Digests, is_out_of_time: IsOutOfTime) -> None:
    for piece in objects.read_data(run.upload, digests.size, _PIECE_BYTES):
        digests.update(piece)
        if is_out_of_time():
            raise OutOfTimeError
        if digests.size - run.upload.reached >= _SAVE_INTERVAL_BYTES:
            run.save_progress(digests)


def _succeed(run: _Run, digests: Digests) -> None:
    upload = run.upload

    def change(image: Image) -> Image:
        content = Content(
            size=digests.size,
            md5=digests.md5,
            sha512=digests.sha512,
            virtual_size=_inspect(upload, digests.size, image),
        )
        return image.with_data(upload.id, content)

    done = replace(upload, state=UploadState.SUCCESS, message="", reached=digests.size)
    if upload_store.end_upload(upload, done, change) is None:
        raise FailedError("The image no longer waits for this upload.")


def _inspect(upload: Upload, size: int, image: Image) -> int | None:
    """Inspect the stored data by the formats of its image; return its virtual size."""
    try:
        return inspect(
            partial(objects.read_piece, upload),
            size,
            image.disk_format,
            image.container_format,
            trusted=settings.current.image_formats == "off",
        )
    except MissingError as exc:
        raise Unavailable("The stored data is no longer in the bucket.") from exc


def _retry_later(run: _Run, reason: str) -> None:
    """Save the reason of a failed run, and enqueue the next run with a delay."""
    upload = run.upload
    log.warning(
        "%s: upload %s will be retried: %s", upload.request_id, upload.id, reason
    )
    try:
        run.save(message=reason)
    except StaleError:
        _clean_up(upload)
        return
    delay = min(RETRY_SECONDS * 2 ** max(upload.tries - 1, 0), _DELAY_SECONDS_MAX)
    queue.send_upload(upload, delay)


def _clean_up(upload: Upload) -> None:
    """Remove the data of an upload that has failed, or whose image was deleted."""
    latest = upload_store.load_upload(upload.image_id, upload.id)
    if latest is None or latest.state is UploadState.FAILURE:
        objects.delete_upload(latest or upload)


def _restore(text: str | None) -> Digests:
    return Digests.restore(text) if text else Digests()
