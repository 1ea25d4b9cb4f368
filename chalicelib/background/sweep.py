"""The sweep: now and then, find what crashes left, in the table and in the bucket."""

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
from chalicelib.store.dynamodb import get_items
from chalicelib.store.items import Raw, image_of, upload_of
from chalicelib.store.keys import Key, image_key, upload_key
from chalicelib.store.objects import Kept

log = logging.getLogger("cloud-images")

IDLE: Final = timedelta(hours=1)
"""
How long nothing that still goes on is untouched; no request and no part takes longer.
"""

ABANDONED: Final = timedelta(days=7)
"""How long a client may leave an upload of its own alone."""

LOST: Final = timedelta(hours=25)
"""How long after a change the stream, which keeps a day, surely tells of it no more."""

_AT_ONCE = 50


def sweep() -> None:
    """
    Take up again, or end, each upload that stands still; remove data that nobody needs.

    A deletion whose record was lost is written again: the stream's function ends it.
    """
    now = clock.now()
    for image_id, upload_id in upload_store.query_unfinished(now - IDLE):
        try:
            _see_to(image_id, upload_id)
        except Exception:  # One of them must not keep the others from their turn.
            log.exception("Upload %s was not seen to", upload_id)
    for image_id in image_store.query_deleted(now - LOST):
        log.warning("What image %s left is to be removed again", image_id)
        try:
            image_store.touch_tombstone(image_id)
        except Exception:  # As above.
            log.exception("The deletion of image %s was not told again", image_id)
    for some in _batches(_idle_data()):
        _remove_unneeded(some)


def _see_to(image_id: str, upload_id: str) -> None:
    now = clock.now()
    upload = upload_store.load_upload(image_id, upload_id)
    if upload is None or upload.is_over or upload.updated_at > now - IDLE:
        return
    if upload.state is not UploadState.OPEN:
        queue.send_job(image_id, upload_id)
    elif upload.updated_at < now - ABANDONED:
        transfers.fail(upload, f"Its client left it alone for {ABANDONED.days} days.")


def _idle_data() -> Iterator[Kept]:
    until = clock.now() - IDLE
    for kept in (objects.list_multiparts(), objects.list_objects()):
        yield from (
            one
            for one in kept
            if one.since < until
            and is_image_id(one.image_id)
            and is_image_id(one.upload_id)
        )


def _batches(kept: Iterator[Kept]) -> Iterator[list[Kept]]:
    while some := list(islice(kept, _AT_ONCE)):
        yield some


def _remove_unneeded(kept: list[Kept]) -> None:
    wanted: set[Key] = set()
    for one in kept:
        wanted |= {image_key(one.image_id), upload_key(one.image_id, one.upload_id)}
    items = get_items(sorted(wanted))
    for one in kept:
        if not _is_needed(one, items):
            log.warning("What upload %s left is removed", one.upload_id)
            if one.multipart_id:
                objects.abort_multipart(one.image_id, one.upload_id, one.multipart_id)
            else:
                objects.delete_data(one.image_id, one.upload_id)


def _is_needed(kept: Kept, items: Mapping[Key, Raw]) -> bool:
    """Tell whether an image has this data, or waits for it."""
    raw = items.get(image_key(kept.image_id))
    image = image_of(raw) if raw else None
    if image is None or image.upload_id != kept.upload_id:
        return False
    if kept.multipart_id is None:
        return True
    raw = items.get(upload_key(kept.image_id, kept.upload_id))
    upload = upload_of(raw) if raw else None
    return (
        upload is not None
        and not upload.is_over
        and upload.multipart_id == kept.multipart_id
    )
