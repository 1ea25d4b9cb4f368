"""Events: each change of an image or a membership, published on the event bus.

A record of the table's stream makes one event or none, the same one each time it is
read; docs/events.md describes them, docs/events.schema.json is their schema.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.members import Member
from chalicelib.store.changes import image_id_of_tombstone
from chalicelib.store.items import image_of, member_of
from chalicelib.store.keys import IMAGE, MEMBER, NOTE, moment
from chalicelib.store.mapping import Raw
from chalicelib.telemetry import named_project

log = logging.getLogger("cloud-images.events")
failures = logging.getLogger("cloud-images")

Document = dict[str, Any]

VERSION: Final = 1
SOURCE: Final = "cloud-images"
DETAIL_BYTES_MAX: Final = 200_000
"""Maximum size of an event, in bytes: EventBridge accepts 256 KB."""

BATCH_MAX: Final = 10
"""Maximum number of events that EventBridge takes in one call."""

BATCH_BYTES_MAX: Final = 256_000
"""Maximum size of the events of one call, in bytes."""

_ENTRY_BYTES = 200  # Source, type and time of an event count, too.
_IDS: Final = UUID("5d1c1a47-5d3c-4f0e-9f6e-5f6a4b1f5b0a")


class Event(NamedTuple):
    """A change of an image or a membership, with its actor.

    A duplicate has the same `id`. `before` and `after` are the subject's documents;
    `complete` is false if their properties and tags were omitted for their size.
    """

    id: str
    type: str
    time: str
    sequence: str
    image_id: str
    producer_id: str | None
    member_id: str | None
    actor: Document
    request_id: str
    before: Document | None
    after: Document | None
    complete: bool = True

    def document(self) -> Document:
        """Return the event's JSON document."""
        return {
            "version": VERSION,
            "id": self.id,
            "type": self.type,
            "time": self.time,
            "sequence": self.sequence,
            "image_id": self.image_id,
            "producer_id": self.producer_id,
            "member_id": self.member_id,
            "actor": self.actor,
            "request_id": self.request_id,
            "before": self.before,
            "after": self.after,
            "complete": self.complete,
        }


def event_of(old: Raw | None, new: Raw | None, sequence_number: str) -> Event | None:
    """Return the event of a change of an item, or None if no caller made the change.

    The removal of an item is no event: clean-up removes items, and the removal of a
    member is recorded on its image.
    """
    if new is None or "changed" not in new or new.get("changed") == _changed(old):
        return None
    sort_key = new["sk"]["S"]
    if sort_key == IMAGE:
        return _image_event(old, new, sequence_number)
    if sort_key.startswith(MEMBER):
        return _member_event(old, new, sequence_number)
    if sort_key.startswith(NOTE):
        return _note_event(old, new, sequence_number)
    return None


def publish(events: Sequence[Event]) -> int:
    """Put events on the bus, if one is configured, in order, and log those it accepts.

    Returns how many it accepted before one that it did not. Some of those after that
    one may be accepted as well: all of them are to be published again.
    """
    bus = settings.current.event_bus
    accepted = 0
    for batch in _batches([_trimmed(event) for event in events]):
        count = _put(bus, batch) if bus else len(batch)
        for event in batch[:count]:
            _log(event)
        accepted += count
        if count < len(batch):
            break
    return accepted


def _batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Divide events into what EventBridge takes at once."""
    batch: list[Event] = []
    size = 0
    for event in events:
        more = len(_detail(event).encode()) + _ENTRY_BYTES
        if batch and (len(batch) == BATCH_MAX or size + more > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += more
    if batch:
        yield batch


def _log(event: Event) -> None:
    line = {
        "event": event.type,
        "id": event.id,
        "image_id": event.image_id,
        "member": event.member_id and named_project(event.member_id),
        "request_id": event.request_id,
    }
    log.info("%s", json.dumps(line))


def _image_event(old: Raw | None, new: Raw, sequence_number: str) -> Event | None:
    before, after = image_of(old) if old else None, image_of(new)
    changed = json.loads(new["changed"]["S"])
    if "removed_member" in changed and after:
        removed = {
            "image_id": after.id,
            "member_id": changed["removed_member"],
            "status": changed.get("removed_status"),
        }
        left = changed["project_id"] == removed["member_id"]
        removal = "member.left" if left else "member.removed"
        return _event(removal, new, sequence_number, removed, None, after.owner)
    event_type = _image_event_type(before, after)
    if event_type is None:
        return None
    return _event(
        event_type,
        new,
        sequence_number,
        _image_document(before) if before else None,
        _image_document(after) if after else None,
    )


def _image_event_type(before: Image | None, after: Image | None) -> str | None:
    if after is None:
        return "image.deleted"
    if before is None:
        return "image.created"
    if before.status is not after.status:
        named = (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)
        word = after.status if after.status in named else "status_changed"
        return f"image.{'activated' if word is ImageStatus.ACTIVE else word}"
    if after == before._replace(member_count=after.member_count):
        return None  # A member was added, which the record of its own item publishes.
    return "image.updated"


def _member_event(old: Raw | None, new: Raw, sequence_number: str) -> Event | None:
    before, after = member_of(old) if old else None, member_of(new)
    if before is None:
        event_type = "member.added"
    elif before.status is after.status:
        return None  # What the item copies from its image changed.
    else:
        event_type = "member.status_changed"
    return _event(
        event_type,
        new,
        sequence_number,
        _member_document(before) if before else None,
        _member_document(after),
    )


def _note_event(old: Raw | None, new: Raw, sequence_number: str) -> Event:
    documents = [
        {
            "image_id": raw["image_id"]["S"],
            "member_id": raw["member_id"]["S"],
            "note": raw["text"]["S"] if "text" in raw else None,
        }
        for raw in (old, new)
        if raw is not None
    ]
    after = documents[-1]
    # What is left of an earlier offer, or of an earlier owner, is no word on this one.
    is_of_same = old is not None and all(
        old[name] == new[name] for name in ("owner", "offered_at")
    )
    before = documents[0] if is_of_same else None
    return _event("member.terms_changed", new, sequence_number, before, after)


def _member_document(member: Member) -> Document:
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": moment(member.created_at),
        "updated_at": moment(member.updated_at),
    }


def _event(  # noqa: PLR0913, PLR0917 - an event has that many parts
    event_type: str,
    new: Raw,
    sequence_number: str,
    before: Document | None,
    after: Document | None,
    owner: str | None = None,
) -> Event:
    changed = json.loads(new["changed"]["S"])
    document = after or before or {}
    image_id = image_id_of_tombstone(new) or document.get("image_id") or document["id"]
    name = f"{new['pk']['S']} {new['sk']['S']} {sequence_number}"
    return Event(
        id=str(uuid5(_IDS, name)),
        type=event_type,
        time=changed["at"],
        sequence=sequence_number,
        image_id=image_id,
        # A membership has no owner: its `changed` has.
        producer_id=owner or document.get("owner") or changed.get("owner"),
        member_id=document.get("member_id"),
        actor={"project_id": changed["project_id"], "user_id": changed["user_id"]},
        request_id=changed["request_id"],
        before=before,
        after=after,
    )


def _image_document(image: Image) -> Document:
    """Return an image's document: what every caller who sees the image may read.

    The source of its data is no part of it: its URL may contain a password.
    """
    return {
        "id": image.id,
        "owner": image.owner,
        "name": image.name,
        "visibility": image.visibility,
        "status": image.status,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "tags": list(image.tags),
        "properties": dict(image.properties),
        "created_at": moment(image.created_at),
        "updated_at": moment(image.updated_at),
    }


def _trimmed(event: Event) -> Event:
    if len(_detail(event).encode()) <= DETAIL_BYTES_MAX:
        return event
    before, after = (
        document
        and {
            key: value
            for key, value in document.items()
            if key not in ("tags", "properties")
        }
        for document in (event.before, event.after)
    )
    return event._replace(before=before, after=after, complete=False)


def _detail(event: Event) -> str:
    return json.dumps(event.document(), ensure_ascii=False)


def _changed(old: Raw | None) -> Any:  # noqa: ANN401 - an attribute, or none
    return old.get("changed") if old else None


def _put(bus: str, events: Sequence[Event]) -> int:
    """Put a batch on the bus; return how many were accepted before one that was not."""
    entries = [
        {
            "EventBusName": bus,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": _detail(event),
        }
        for event in events
    ]
    try:
        response = client("events").put_events(Entries=entries)
    except (BotoCoreError, ClientError):
        failures.exception("The event bus is unavailable")
        return 0
    for number, entry in enumerate(response["Entries"]):
        if "ErrorCode" in entry:
            failures.warning("The event bus rejects an event: %s", entry["ErrorCode"])
            return number
    return len(events)
