"""The table's stream: each change starts the work that follows from it.

Each record goes to each handler. Handlers are idempotent, as a record may be delivered
more than once. Lambda keeps the order of the records of one item, and of no others. To
add a handler, add a function to `HANDLERS`; what no handler needs is filtered out in
`infra/functions.yaml`.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from chalicelib import settings
from chalicelib.background.events import Event, event_of, publish
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.members import MemberStatus
from chalicelib.errors import StaleError, Unavailable
from chalicelib.store import images as image_store
from chalicelib.store import members as member_store
from chalicelib.store import notes as note_store
from chalicelib.store import objects, queue
from chalicelib.store import uploads as upload_store
from chalicelib.store import usage as usage_store
from chalicelib.store.changes import (
    ended_membership_of,
    first_answer_of,
    new_membership_of,
    pending_upload_of,
    recopied_image_of,
    unswept_image_of,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.offer_rules import accepts_offer
from chalicelib.store.profiles import note_answer
from chalicelib.store.queue import CopyMessage

RULE_USER: Final = "offer-rule"
"""The user who accepts by a rule, in events: the consumer's own, but no person."""

log = logging.getLogger("cloud-images")


class Record(NamedTuple):
    """A change of an item: its old and its new image, in DynamoDB's JSON."""

    old: Raw | None
    new: Raw | None
    sequence_number: str


Handler = Callable[[Record], None]


def process_records(records: Iterable[Record]) -> dict[str, Any]:
    """Process records in order until one fails; return where Lambda must retry.

    Events are published after the handlers, many at a time, so that a record's event is
    sent once everything else that follows from it is done.

    Raises:
        Exception: The first record failed. Lambda then bisects the batch until that
            record is alone, so that no other one is set aside with it when its retries
            are exhausted.
    """
    waiting = list(records)
    done = 0
    error: Exception | None = None
    events: list[tuple[int, Event]] = []
    for number, record in enumerate(waiting):
        try:
            event = _handle(record)
        except Exception as exc:
            log.exception(
                "The record %s failed and will be retried", record.sequence_number
            )
            error = exc
            break
        if event:
            events.append((number, event))
        done = number + 1
    accepted = publish([event for _, event in events])
    if accepted < len(events):
        done, _ = events[accepted]
        error = Unavailable("The event bus did not accept an event; retry.")
    if done == 0 and error:
        raise error
    failures = [{"itemIdentifier": one.sequence_number} for one in waiting[done:][:1]]
    return {"batchItemFailures": failures}


def _handle(record: Record) -> Event | None:
    """Have each handler process a record; return its event."""
    for handle in HANDLERS:
        handle(record)
    return event_of(record.old, record.new, record.sequence_number)


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


def count_usage(record: Record) -> None:
    """Count what a change alters of what projects use of their quotas."""
    deltas = usage_store.deltas_of(record.old, record.new)
    if deltas:
        usage_store.count_record(record.sequence_number, deltas)


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


def accept_by_rule(record: Record) -> None:
    """Accept an offer that has arrived, if a rule of its consumer said so by then.

    Once, and never over an answer of the consumer itself: the write is conditional on
    that very offer, and on that nobody has answered it.
    """
    made = new_membership_of(record.old, record.new)
    if made is None or settings.current.extension == "off":
        return
    producer_id, membership = made
    project_id = membership.member_id
    if not accepts_offer(project_id, producer_id, membership.created_at):
        return
    found = image_store.load_image(membership.image_id, project_id)
    if found.image is None or found.image.owner != producer_id:
        return
    request_id = f"rule-{record.sequence_number}"
    rule = Caller(project_id, RULE_USER, Role.MEMBER, request_id)
    with suppress(StaleError):
        member_store.set_member_status(
            found.image, membership, MemberStatus.ACCEPTED, rule, unanswered=True
        )


def note_first_answer(record: Record) -> None:
    """Note that a consumer has answered a producer: it is known to it from now on."""
    answered = first_answer_of(record.old, record.new)
    if answered:
        note_answer(*answered)


def forget_note(record: Record) -> None:
    """Remove the note on a membership that ended."""
    membership = ended_membership_of(record.old, record.new)
    if membership:
        note_store.forget_note(membership)


HANDLERS: Final[tuple[Handler, ...]] = (
    enqueue_upload,
    enqueue_copies,
    count_usage,
    clean_up_deleted_image,
    accept_by_rule,
    note_first_answer,
    forget_note,
)
