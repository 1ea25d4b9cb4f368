"""Transfers: move the data of an import or an upload into the bucket, and end it.

A run ends after a slice of time, and a message starts the next one, so that others have
their turn. A run needs a claim: a project has a few for imports, and as many for direct
uploads.

A run may be killed anywhere, or overlap with another. Progress is saved with the
upload, each save is conditional on the last one, and an object of S3 is accepted only
if its ETag is that of the bytes that were hashed.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from chalicelib import clock, settings
from chalicelib.background import runs
from chalicelib.background.addresses import SourceBroken
from chalicelib.background.digests import Digests
from chalicelib.background.downloads import download
from chalicelib.background.runs import (
    FailedError,
    IsOutOfTime,
    OutOfTimeError,
    Run,
    restore,
)
from chalicelib.domain.formats import FormatRefused, inspect
from chalicelib.domain.images import Content, Image, ImageStatus
from chalicelib.domain.import_uris import SourceRefused
from chalicelib.domain.uploads import WEB_DOWNLOAD, Upload, UploadState
from chalicelib.errors import StaleError, Unavailable
from chalicelib.store import claims, objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store.objects import MissingError

log = logging.getLogger("cloud-images")


WAIT_SECONDS: Final = 30
"""First delay of an upload whose project has too many, in seconds; it doubles."""

WAITING: Final = timedelta(minutes=15)
"""Age at which an upload that waits is touched: the sweep resends what is idle."""

RETRY_SECONDS = 10
"""Delay before the first retry, in seconds; it doubles with each further one."""

_DELAY_SECONDS_MAX = 900  # SQS delays a message no longer.
_SAVE_INTERVAL_BYTES = 1024**3


def transfer(
    image_id: str, upload_id: str, is_out_of_time: IsOutOfTime, waits: int = 0
) -> None:
    """Process an upload until time is out, and enqueue what is left of it.

    One whose project has too many in progress is enqueued again, with a delay.
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
    if not claims.claim_slot(upload):
        _wait(upload, waits)
        return
    run = Run(upload)
    is_last = True
    try:
        run.begin()
        move = download if upload.method == WEB_DOWNLOAD else _verify
        digests = move(run, is_out_of_time)
        _succeed(run, digests)
    except OutOfTimeError:
        queue.send_upload(run.upload)
        return  # The claim stays: the next run renews it.
    except StaleError:
        is_last = _clean_up(run.upload)
    except (SourceRefused, FormatRefused, FailedError) as exc:
        is_last = fail(run.upload, str(exc))
    except (SourceBroken, Unavailable) as exc:
        is_last = _retry_later(run, str(exc))
    if is_last:  # Else the claim is that of the run that goes on.
        with suppress(Unavailable):  # It ends by itself.
            claims.release_slot(upload)


def _wait(upload: Upload, waits: int) -> None:
    """Enqueue an upload again, with a growing delay."""
    try:
        if clock.now() - upload.updated_at > WAITING:
            upload = upload_store.save_upload(upload, upload)
    except StaleError:
        return  # Another message of it was there at the same time.
    delay = min(WAIT_SECONDS * 2 ** min(waits, 5), _DELAY_SECONDS_MAX)
    queue.send_upload(upload, delay, waits + 1)


def fail(upload: Upload, message: str) -> bool:
    """End an upload as failed: the image has no data, and the reason.

    Return whether no other run goes on with it.
    """
    log.warning("%s: upload %s failed: %s", upload.request_id, upload.id, message)

    def change(image: Image) -> Image:
        return image._replace(
            status=ImageStatus.QUEUED,
            upload_id=None,
            size=None,
            failed_import=message,
        )

    failed = upload._replace(state=UploadState.FAILURE, message=message)
    with suppress(StaleError):
        if upload_store.end_upload(upload, failed, change) is None:
            upload_store.save_upload(upload, failed)
    return _clean_up(upload)


def _verify(run: Run, is_out_of_time: IsOutOfTime) -> Digests:
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


def _hash(run: Run, size: int, is_out_of_time: IsOutOfTime) -> Digests:
    digests = restore(run.upload.progress.digests)
    ends = clock.now() + timedelta(seconds=runs.SLICE_SECONDS)
    try:
        while digests.size < size:
            _hash_from(run, digests, lambda: is_out_of_time() or clock.now() > ends)
    except (OutOfTimeError, Unavailable):
        run.save_progress(digests)
        raise
    return digests


def _hash_from(run: Run, digests: Digests, is_out_of_time: IsOutOfTime) -> None:
    for piece in objects.read_data(run.upload, digests.size, runs.PIECE_BYTES):
        digests.update(piece)
        if is_out_of_time():
            raise OutOfTimeError
        if digests.size - run.upload.reached >= _SAVE_INTERVAL_BYTES:
            run.save_progress(digests)


def _succeed(run: Run, digests: Digests) -> None:
    upload = run.upload

    def change(image: Image) -> Image:
        content = Content(
            size=digests.size,
            md5=digests.md5,
            sha512=digests.sha512,
            virtual_size=_inspect(upload, digests.size, image),
        )
        return image.with_data(upload.id, content)

    done = upload._replace(state=UploadState.SUCCESS, message="", reached=digests.size)
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


def _retry_later(run: Run, reason: str) -> bool:
    """Save the reason of a failed run, and enqueue the next run with a delay.

    Return whether no other run goes on with the upload.
    """
    upload = run.upload
    log.warning(
        "%s: upload %s will be retried: %s", upload.request_id, upload.id, reason
    )
    try:
        run.save(message=reason)
    except StaleError:
        return _clean_up(upload)
    delay = min(RETRY_SECONDS * 2 ** max(upload.tries - 1, 0), _DELAY_SECONDS_MAX)
    queue.send_upload(upload, delay)
    return True


def _clean_up(upload: Upload) -> bool:
    """Remove the data of an upload that has failed, or whose image was deleted.

    Return whether no other run goes on with it.
    """
    latest = upload_store.load_upload(upload.image_id, upload.id)
    if latest is None or latest.state is UploadState.FAILURE:
        objects.delete_upload(latest or upload)
    return latest is None or latest.is_over
