"""What follows from a change of the table, told by its stream.

Each record goes to each handler, in order. A handler may see a record twice, and does
no harm then; a new one is one function more in `HANDLERS`.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.background.events import event_of, send_event
from chalicelib.store import images as image_store
from chalicelib.store import objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store.items import Raw, pending_upload_of, unswept_image_of

log = logging.getLogger("cloud-images")


@dataclass(frozen=True, slots=True)
class Record:
    """One change of one item: what it was, and what it is now."""

    old: Raw | None
    new: Raw | None
    sequence_number: str


Handler = Callable[[Record], None]


def consume(records: Iterable[Record]) -> dict[str, Any]:
    """
    Hand records on, in order, until one fails; tell Lambda from which on to try again.

    Raises:
        Exception: What the first of them failed on. Lambda halves the batch then, until
            that record is alone; so only it is set aside, if no try succeeds.
    """
    for number, record in enumerate(records):
        try:
            for handle in HANDLERS:
                handle(record)
        except Exception:
            log.exception("The record %s is tried again", record.sequence_number)
            if number == 0:
                raise
            return {"batchItemFailures": [{"itemIdentifier": record.sequence_number}]}
    return {"batchItemFailures": []}


def dispatch_upload(record: Record) -> None:
    """Have a worker take up an upload that has just come to wait for one."""
    upload = pending_upload_of(record.new)
    if upload and pending_upload_of(record.old) is None:
        queue.send_job(*upload)


def sweep_deleted_image(record: Record) -> None:
    """Remove what a deleted image leaves: its memberships, its data, its uploads.

    The record may come late, or again: what counts is that the tombstone still stands,
    as an image may have been put back from a backup.
    """
    image_id = unswept_image_of(record.new)
    if image_id and image_store.is_unswept(image_id):
        image_store.delete_members(image_id)
        objects.delete_image_data(image_id)
        upload_store.forget_uploads(image_id)
        image_store.finish_deletion(image_id)


def tell_change(record: Record) -> None:
    """Send the event of a change, once all else that follows from it is done."""
    event = event_of(record.old, record.new, record.sequence_number)
    if event:
        send_event(event)


HANDLERS: Final[tuple[Handler, ...]] = (
    dispatch_upload,
    sweep_deleted_image,
    tell_change,
)
