"""The sweep: resume or remove what crashes left in the table and in the bucket."""

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

from chalicelib import clock
from chalicelib.background import transfers
from chalicelib.domain.images import is_image_id
from chalicelib.domain.uploads import UploadState
from chalicelib.store import images as image_store
from chalicelib.store import objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store import usage as usage_store
from chalicelib.store.dynamodb import get_items
from chalicelib.store.items import image_of, upload_of
from chalicelib.store.keys import Key, image_key, upload_key
from chalicelib.store.mapping import Raw
from chalicelib.store.objects import StoredData

log = logging.getLogger("cloud-images")

IDLE: Final = timedelta(hours=1)
"""Age of an upload that is no longer in progress; no request or part takes longer."""

ABANDONED: Final = timedelta(days=7)
"""Age at which an upload that its client does not continue is ended."""

STREAM_LOST: Final = timedelta(hours=25)
"""Age at which the record of a change has left the stream, which keeps a day."""

RECOUNTED: Final = timedelta(days=1)
"""Age of a count of what a project uses at which it is counted again."""

_BATCH_SIZE = 50  # Each object needs two of the 100 keys of a BatchGetItem.


def sweep() -> None:
    """Resume or end each idle upload; remove data that no image needs.

    A deletion whose record was lost is written again: the stream's function ends it.
    """
    now = clock.now()
    for image_id, upload_id in upload_store.query_unfinished(now - IDLE):
        try:
            _resume_or_end(image_id, upload_id)
        except Exception:  # One failure must not stop the others.
            log.exception("Upload %s could not be resumed or ended", upload_id)
    for image_id in image_store.query_deleted(now - STREAM_LOST):
        log.warning("The clean-up of image %s is repeated", image_id)
        try:
            image_store.touch_tombstone(image_id)
        except Exception:  # As above.
            log.exception("The clean-up of image %s could not be repeated", image_id)
    for project_id in usage_store.query_uncounted(now - RECOUNTED):
        try:
            if not usage_store.recount(project_id):
                log.warning("What a project uses was counted wrongly, or lags")
        except Exception:  # As above.
            log.exception("What a project uses could not be counted")
    for batch in _batches(_idle_data()):
        _remove_unneeded(batch)


def _resume_or_end(image_id: str, upload_id: str) -> None:
    now = clock.now()
    upload = upload_store.load_upload(image_id, upload_id)
    if upload is None or upload.is_over or upload.updated_at > now - IDLE:
        return
    if upload.state is not UploadState.OPEN:
        queue.send_upload(upload)
    elif upload.updated_at < now - ABANDONED:
        transfers.fail(
            upload, f"The client did not continue it for {ABANDONED.days} days."
        )


def _idle_data() -> Iterator[StoredData]:
    until = clock.now() - IDLE
    for listing in (objects.list_multiparts(), objects.list_objects()):
        yield from (
            data
            for data in listing
            if data.created_at < until
            and is_image_id(data.image_id)
            and is_image_id(data.upload_id)
        )


def _batches(listing: Iterator[StoredData]) -> Iterator[list[StoredData]]:
    while batch := list(islice(listing, _BATCH_SIZE)):
        yield batch


def _remove_unneeded(batch: list[StoredData]) -> None:
    keys: set[Key] = set()
    for data in batch:
        keys |= {image_key(data.image_id), upload_key(data.image_id, data.upload_id)}
    items = get_items(sorted(keys))
    for data in batch:
        if not _is_needed(data, items):
            log.warning(
                "Data of upload %s that no image needs is removed", data.upload_id
            )
            if data.multipart_id:
                objects.abort_multipart(
                    data.image_id, data.upload_id, data.multipart_id
                )
            else:
                objects.delete_data(data.image_id, data.upload_id)


def _is_needed(data: StoredData, items: Mapping[Key, Raw]) -> bool:
    """Return whether an image has this data, or is waiting for it."""
    raw = items.get(image_key(data.image_id))
    image = image_of(raw) if raw else None
    if image is None or image.upload_id != data.upload_id:
        return False
    if data.multipart_id is None:
        return True
    raw = items.get(upload_key(data.image_id, data.upload_id))
    upload = upload_of(raw) if raw else None
    return (
        upload is not None
        and not upload.is_over
        and upload.multipart_id == data.multipart_id
    )
