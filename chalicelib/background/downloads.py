"""Downloads: the bytes of a source, copied to the bucket part by part."""

from hashlib import md5
from math import ceil
from typing import Final

from chalicelib import clock, settings
from chalicelib.background import runs
from chalicelib.background.addresses import SourceBroken
from chalicelib.background.digests import Digests
from chalicelib.background.runs import (
    FailedError,
    IsOutOfTime,
    OutOfTimeError,
    Run,
    restore,
)
from chalicelib.background.sources import Source, open_source
from chalicelib.domain.import_uris import parse_allowed
from chalicelib.store import objects
from chalicelib.store.objects import MissingError

PARTS_MAX: Final = 10_000
"""Maximum number of parts of a multipart upload in S3."""


PART_BYTES: Final = 8 * 1024**2
"""Minimum size of a part, in bytes."""


PART_BYTES_MAX: Final = 64 * 1024**2
"""Maximum size of a part, in bytes: one is held in memory."""


RATE_SECONDS: Final = 30
"""Time from which on a source must have the least average rate, in seconds."""


def download(run: Run, is_out_of_time: IsOutOfTime) -> Digests:
    """Copy a source's bytes to the bucket, part by part; return their digests."""
    progress = run.upload.progress
    digests, etags = restore(progress.digests), restore(progress.etags)
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


def _complete(run: Run, etag: str) -> None:
    """Complete the multipart upload if its parts are still those that were hashed."""
    try:
        parts = objects.list_parts(run.upload)[: run.upload.progress.parts]
        if objects.etag_of_parts(parts) != etag:
            raise run.reset("The stored parts differ from the downloaded data.")
        objects.complete_multipart(run.upload, parts)
    except MissingError:
        return  # A killed run completed it: its ETag is checked next.


def _fetch(
    run: Run, digests: Digests, etags: Digests, is_out_of_time: IsOutOfTime
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
        return self._is_sliced and self._seconds * times > runs.SLICE_SECONDS

    @property
    def _seconds(self) -> float:
        return (clock.now() - self._begun).total_seconds()


def _read_part(source: Source, size: int, pace: _Pace) -> bytes:
    """Return the next part; it is smaller only at the end of the source."""
    part = bytearray()
    while len(part) < size:
        pace.check()
        piece = source.read(min(runs.PIECE_BYTES, size - len(part)))
        if not piece:
            break
        pace.add(piece)
        part += piece
    return bytes(part)


def _send_part(run: Run, number: int, content: bytes) -> None:
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
