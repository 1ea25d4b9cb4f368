"""What a worker does: bring an upload's data into the bucket, and end the upload.

Everything here may run twice, or stop anywhere and run again: how far it came is kept
with the upload, each run checks that no other has touched it, and what S3 put together
counts only if its tag is that of the very bytes that were hashed.
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
from chalicelib.store import objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store.objects import MissingError

log = logging.getLogger("cloud-images")

OutOfTime = Callable[[], bool]
"""Tells whether a run had better end, and another go on."""

PARTS_MAX: Final = 10_000
"""How many parts S3 puts together."""

PART_BYTES: Final = 8 * 1024**2
PART_BYTES_MAX: Final = 64 * 1024**2
"""How large a worker's parts are, at least and at most: one is held in memory."""

TRIES_MAX: Final = 5
"""How many runs may fail one after the other without getting any further."""

TIME_MAX: Final = timedelta(hours=24)
"""How long an import may take altogether."""

RETRY_SECONDS = 10
"""How long after a first failure the next run begins; each time twice as long."""

_DELAY_MAX = 900
_PIECE = 1024**2
_SAVED_EACH = 1024**3


class OutOfTimeError(Exception):
    """The run had better end; how far it came is kept."""


class FailedError(Exception):
    """The upload cannot succeed; the message is for the image's owner."""


def transfer(image_id: str, upload_id: str, out_of_time: OutOfTime) -> None:
    """Do as much of an upload as time allows, and see that the rest is done later.

    Raises:
        Unavailable: Even that could not be kept; the job must be tried again.
    """
    upload = upload_store.load_upload(image_id, upload_id)
    if upload is None or upload.state is UploadState.OPEN:
        return
    if upload.state is UploadState.FAILURE:
        objects.delete_upload(upload)
    if upload.is_over:
        return
    run = _Run(upload)
    try:
        run.take()
        move = _download if upload.method == WEB_DOWNLOAD else _verify
        digests = move(run, out_of_time)
        _succeed(run, digests)
    except OutOfTimeError:
        queue.send_job(image_id, upload_id)
    except StaleError:
        _tidy(run.upload)
    except (SourceRefused, FormatRefused, FailedError) as exc:
        fail(run.upload, str(exc))
    except (SourceBroken, Unavailable) as exc:
        _try_later(run, str(exc))


def fail(upload: Upload, message: str) -> None:
    """End an upload that did not succeed: its image has no data, and says why."""
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
    _tidy(upload)


class _Run:
    """One run of a worker on an upload, which it keeps up to date."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    def take(self) -> None:
        last = self.upload
        if last.tries >= TRIES_MAX:
            reason = last.message or "Its worker broke down."
            raise FailedError(f"Tried {last.tries} times: {reason}")
        age = clock.now() - last.created_at
        if last.method == WEB_DOWNLOAD and age > TIME_MAX:
            raise FailedError(f"It took longer than {TIME_MAX}.")
        self.save(state=UploadState.PROCESSING, tries=last.tries + 1)

    def save(self, **changes: Any) -> None:  # noqa: ANN401 - fields of an upload
        self.upload = upload_store.save_upload(
            self.upload, replace(self.upload, **changes)
        )

    def progress(self, digests: Digests, **changes: Any) -> None:  # noqa: ANN401 - fields of progress
        last = self.upload
        progress = replace(last.progress, digests=digests.put_down(), **changes)
        got_further = digests.size > last.reached
        self.save(
            progress=progress,
            tries=0 if got_further else last.tries,
            reached=max(digests.size, last.reached),
            message="" if got_further else last.message,
        )

    def restart(self, why: str) -> Unavailable:
        """Forget what was done; the next run begins anew, with parts of its own."""
        last = self.upload
        self.save(progress=Progress(), multipart_id=None)
        if last.multipart_id:
            objects.abort_multipart(last.image_id, last.id, last.multipart_id)
        return Unavailable(why)


def _download(run: _Run, out_of_time: OutOfTime) -> Digests:
    """Move a source's bytes into the bucket, part by part."""
    progress = run.upload.progress
    digests, etags = _take_up(progress.digests), _take_up(progress.etags)
    if not progress.whole:
        digests, etags = _fetch(run, digests, etags, out_of_time)
    parts = run.upload.progress.parts
    wanted = f"{etags.md5}-{parts}" if parts else digests.md5
    try:
        if parts:
            _complete(run, wanted)
        made = objects.etag_of(run.upload.image_id, run.upload.id)
    except MissingError as exc:
        raise run.restart("What was downloaded got lost.") from exc
    if made != (digests.size, wanted):
        # Nothing is removed before the upload's failure is kept: another run may have
        # just made it the data of the image.
        raise FailedError("What was stored is not what was downloaded.")
    return digests


def _complete(run: _Run, wanted: str) -> None:
    """Have S3 put parts together, if they are still those that were hashed."""
    try:
        there = objects.list_parts(run.upload)[: run.upload.progress.parts]
        if objects.etag_of_parts(there) != wanted:
            raise run.restart("What arrived is not what was downloaded.")
        objects.complete_multipart(run.upload, there)
    except MissingError:
        return  # Completed by a run whose end got lost: its tag tells.


def _fetch(
    run: _Run, digests: Digests, etags: Digests, out_of_time: OutOfTime
) -> tuple[Digests, Digests]:
    upload, progress = run.upload, run.upload.progress
    parts, part_size = progress.parts, upload.part_size or PART_BYTES
    allowed = parse_allowed(settings.current.import_allow)
    with open_source(
        upload.uri or "", allowed, digests.size, progress.validator, upload.size
    ) as source:
        if not source.resumes:
            digests, etags, parts = Digests(), Digests(), 0
            part_size = _part_size(source.length)
            run.save(part_size=part_size, size=source.length)
        while True:
            content = _read_part(source, part_size, out_of_time)
            whole = len(content) < part_size
            digests.update(content)
            if parts == 0 and whole:
                objects.put_data(upload.image_id, upload.id, content)
            elif content:
                parts += 1
                _send_part(run, parts, content)
                etags.update(md5(content, usedforsecurity=False).digest())
            run.progress(
                digests,
                parts=parts,
                whole=whole,
                etags=etags.put_down(),
                validator=source.validator,
            )
            if whole:
                return digests, etags


def _read_part(source: Source, size: int, out_of_time: OutOfTime) -> bytes:
    """Read a part; it is smaller only at the end of the source."""
    part = bytearray()
    while len(part) < size:
        if out_of_time():
            raise OutOfTimeError
        piece = source.read(min(_PIECE, size - len(part)))
        if not piece:
            break
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
        raise run.restart("What was downloaded got lost.") from exc


def _part_size(length: int | None) -> int:
    """Give how large the parts of a source must be, whose length may be unknown."""
    if length is None:
        return PART_BYTES
    size = max(PART_BYTES, ceil(length / PARTS_MAX))
    if size > PART_BYTES_MAX:
        raise FailedError(
            f"The source has {length} bytes; {PARTS_MAX * PART_BYTES_MAX} can be"
            " imported."
        )
    return size


def _verify(run: _Run, out_of_time: OutOfTime) -> Digests:
    """Put together what a client sent to S3, and hash it."""
    if not run.upload.progress.whole:
        with suppress(MissingError):  # Completed by a run whose end got lost.
            objects.complete_multipart(run.upload, objects.list_parts(run.upload))
        run.progress(Digests(), whole=True)
    try:
        size, etag = objects.etag_of(run.upload.image_id, run.upload.id)
        if (size, etag) != (run.upload.size, run.upload.etag):
            raise FailedError("What S3 put together is not what had arrived.")
        digests = _hash(run, size, out_of_time)
    except MissingError as exc:
        raise FailedError("The parts that were sent are gone.") from exc
    if run.upload.sha512 not in (None, digests.sha512):
        raise FailedError(f"The SHA-512 of what was sent is {digests.sha512}.")
    return digests


def _hash(run: _Run, size: int, out_of_time: OutOfTime) -> Digests:
    digests = _take_up(run.upload.progress.digests)
    try:
        while digests.size < size:
            _hash_on(run, digests, out_of_time)
    except (OutOfTimeError, Unavailable):
        run.progress(digests)
        raise
    return digests


def _hash_on(run: _Run, digests: Digests, out_of_time: OutOfTime) -> None:
    for piece in objects.read_data(run.upload, digests.size, _PIECE):
        digests.update(piece)
        if out_of_time():
            raise OutOfTimeError
        if digests.size - run.upload.reached >= _SAVED_EACH:
            run.progress(digests)


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
        raise FailedError("The image does not wait for this upload any more.")


def _inspect(upload: Upload, size: int, image: Image) -> int | None:
    """Inspect what is stored, by the formats of the record that it will belong to."""
    try:
        return inspect(
            partial(objects.read_piece, upload),
            size,
            image.disk_format,
            image.container_format,
            trusted=settings.current.image_formats == "off",
        )
    except MissingError as exc:
        raise Unavailable("What was stored got lost.") from exc


def _try_later(run: _Run, reason: str) -> None:
    """Keep why a run failed, and have another one begin after a while."""
    upload = run.upload
    log.warning("%s: upload %s goes on later: %s", upload.request_id, upload.id, reason)
    try:
        run.save(message=reason)
    except StaleError:
        _tidy(upload)
        return
    delay = min(RETRY_SECONDS * 2 ** max(upload.tries - 1, 0), _DELAY_MAX)
    queue.send_job(upload.image_id, upload.id, delay)


def _tidy(upload: Upload) -> None:
    """
    Remove what there is of an upload that another run ended, or whose image is gone.
    """
    latest = upload_store.load_upload(upload.image_id, upload.id)
    if latest is None or latest.state is UploadState.FAILURE:
        objects.delete_upload(latest or upload)


def _take_up(text: str | None) -> Digests:
    return Digests.take_up(text) if text else Digests()
