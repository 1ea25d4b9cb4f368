"""The table's stream: each change starts the work that follows from it.

Each record goes to each handler, in order. Handlers are idempotent, as a record may be
delivered more than once. To add a handler, add a function to `HANDLERS`.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.background.events import event_of, publish
from chalicelib.store import images as image_store
from chalicelib.store import objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store.items import (
    pending_upload_of,
    recopied_image_of,
    unswept_image_of,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.queue import CopyMessage

log = logging.getLogger("cloud-images")


@dataclass(frozen=True, slots=True)
class Record:
    """A change of an item: its old and its new image, in DynamoDB's JSON."""

    old: Raw | None
    new: Raw | None
    sequence_number: str


Handler = Callable[[Record], None]


def process_records(records: Iterable[Record]) -> dict[str, Any]:
    """Process records in order until one fails; return where Lambda must retry.

    Raises:
        Exception: The first record failed. Lambda then bisects the batch until that
            record is alone, so that no other one is set aside with it when its retries
            are exhausted.
    """
    for number, record in enumerate(records):
        try:
            for handle in HANDLERS:
                handle(record)
        except Exception:
            log.exception(
                "The record %s failed and will be retried", record.sequence_number
            )
            if number == 0:
                raise
            return {"batchItemFailures": [{"itemIdentifier": record.sequence_number}]}
    return {"batchItemFailures": []}


def enqueue_upload(record: Record) -> None:
    """Send an upload that has become pending to its queue."""
    upload = pending_upload_of(record.new)
    if upload and pending_upload_of(record.old) is None:
        queue.send_upload(upload)


def enqueue_copies(record: Record) -> None:
    """Have the worker update what memberships copy from an image that has changed."""
    image_id = recopied_image_of(record.old, record.new)
    if image_id and record.new:
        owner = record.new["owner"]["S"]
        queue.send_copies(CopyMessage(image_id, "", owner))


def clean_up_deleted_image(record: Record) -> None:
    """Remove a deleted image's memberships, data and uploads.

    The record may be delivered late or again, after the image was restored from a
    backup: the tombstone is read again before anything is removed.
    """
    image_id = unswept_image_of(record.new)
    if image_id and image_store.is_unswept(image_id):
        image_store.delete_members(image_id)
        objects.delete_image_data(image_id)
        upload_store.forget_uploads(image_id)
        image_store.finish_deletion(image_id)


def publish_change(record: Record) -> None:
    """Publish the event of a change, after all other handlers have succeeded."""
    event = event_of(record.old, record.new, record.sequence_number)
    if event:
        publish(event)


HANDLERS: Final[tuple[Handler, ...]] = (
    enqueue_upload,
    enqueue_copies,
    clean_up_deleted_image,
    publish_change,
)
