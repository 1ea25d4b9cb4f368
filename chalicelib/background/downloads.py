"""Downloads: the bytes of a source, copied to the bucket part by part."""

import math
from hashlib import md5
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
from chalicelib.domain.uploads import PARTS_MAX
from chalicelib.store import objects
from chalicelib.store.objects import MissingError

PART_BYTES: Final = 8 * 1024**2
"""Minimum size of a part, in bytes."""


PART_BYTES_MAX: Final = 64 * 1024**2
"""Maximum size of a part, in bytes: one is held in memory."""


PART_BYTES_MIN: Final = 5 * 1024**2
"""Minimum size of a part in S3, in bytes; only the last one may be smaller."""


PIECE_BYTES: Final = 64 * 1024
"""Size of what is read of a source at a time, in bytes."""


RATE_SECONDS: Final = 30
"""Time from which on a source must have the least average rate, in seconds."""


SHORT_PARTS: Final = 1500
"""Number of parts that are left for slices that end with a short one: a day's."""


GRACE_SECONDS: Final = 10
"""Time limit of a read that lasts beyond the end of a slice, in seconds."""


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
    pace = _Pace(is_out_of_time)
    upload, progress = run.upload, run.upload.progress
    parts, part_size = progress.parts, upload.part_size or PART_BYTES
    allowed = parse_allowed(settings.current.import_allow)
    with open_source(
        upload.uri or "", allowed, digests.size, progress.validator, upload.size
    ) as source:
        # What cannot go on at its middle is read in one run: a slice would lose it.
        pace.is_sliced = bool(source.validator) and (
            source.resumes or digests.size == 0
        )
        begun_at = upload.begun_at or clock.now()
        if not source.resumes:
            digests, etags, parts = Digests(), Digests(), 0
            part_size = _part_size(source.length)
            run.save(part_size=part_size, size=source.length, begun_at=begun_at)
        while True:
            left = math.ceil(((source.length or 0) - digests.size) / part_size)
            # Of whole parts alone the rest always fits.
            can_be_short = parts + 1 + left <= PARTS_MAX
            least = PART_BYTES_MIN if can_be_short else part_size
            content, is_last = _read_part(source, part_size, least, pace)
            digests.update(content)
            is_last = is_last or digests.size == source.length
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

    A slice ends after a minute, or once it has the least that S3 takes as a part: less
    is no progress. At the least rate that a source may have that takes 64 s.
    """

    def __init__(self, is_out_of_time: IsOutOfTime) -> None:
        """Begin a run, before its source is opened: that takes its time, too."""
        self.is_sliced = False
        self._is_out_of_time = is_out_of_time
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
        if self._is_out_of_time() or (self._parts and self.is_over):
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
        return self.is_sliced and self._seconds * times > runs.SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether the slice has ended."""
        return self._ends_within(1)

    @property
    def read_seconds(self) -> float:
        """Time limit of the next read, in seconds."""
        if not self.is_sliced:
            return math.inf
        return max(runs.SLICE_SECONDS - self._seconds, 0) + GRACE_SECONDS

    @property
    def _seconds(self) -> float:
        return (clock.now() - self._begun).total_seconds()


def _read_part(
    source: Source, size: int, least: int, pace: _Pace
) -> tuple[bytes, bool]:
    """Return the next part, and whether it is known to be the last one.

    It is smaller at the end of the source; at the end of a slice from *least* on.
    """
    part = bytearray()
    while len(part) < size:
        if pace.is_over and len(part) >= least:
            return bytes(part), False
        pace.check()
        piece = source.read(min(PIECE_BYTES, size - len(part)), pace.read_seconds)
        if not piece:
            return bytes(part), True
        pace.add(piece)
        part += piece
    return bytes(part), False


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
    size = max(PART_BYTES, math.ceil(length / PARTS_MAX))
    if size > PART_BYTES_MAX:
        raise FailedError(
            f"The source has {length} bytes; the maximum is"
            f" {PARTS_MAX * PART_BYTES_MAX}."
        )
    size = max(PART_BYTES, math.ceil(length / (PARTS_MAX - SHORT_PARTS)))
    return min(size, PART_BYTES_MAX)
