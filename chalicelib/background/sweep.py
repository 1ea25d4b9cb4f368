"""The sweep: resume or remove what crashes left in the table and in the bucket."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar

from chalicelib import clock
from chalicelib.background import transfers
from chalicelib.domain.images import is_image_id
from chalicelib.domain.uploads import UploadState
from chalicelib.errors import StaleError
from chalicelib.store import images as image_store
from chalicelib.store import objects, queue, recounts
from chalicelib.store import uploads as upload_store
from chalicelib.store.cursors import load_cursors, save_cursors
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

ROUND: Final = timedelta(hours=23, minutes=30)
"""Least time from one look over the bucket to the next: a day of hourly runs."""

_BATCH_SIZE = 100
_T = TypeVar("_T")
_BEGUN = " begun"


class _List(NamedTuple, Generic[_T]):
    """A list that the sweep goes through: how it is read from a place on, and used.

    One of a *period* is begun once in that time.
    """

    name: str
    find: Callable[[str], Iterator[tuple[str, _T]]]
    use: Callable[[_T], None]
    period: timedelta = timedelta(0)


def sweep(seconds: float) -> None:
    """Resume or end each idle upload; remove data that no image needs.

    A deletion whose record was lost is written again: the stream's function ends it.
    Each list has its share of the time, and goes on in the next run where it ended.
    """
    now = clock.now()
    has_backlog = cache(queue.has_backlog)  # Before this run sends anything.
    resume_or_end = partial(_resume_or_end, has_backlog)
    unfinished = partial(upload_store.query_unfinished, now - IDLE)
    abandoned = partial(upload_store.query_open, now - ABANDONED)
    deleted = partial(image_store.query_deleted, now - STREAM_LOST)
    uncounted = partial(recounts.query_uncounted, now - RECOUNTED)
    lists: tuple[_List[Any], ...] = (
        _List("unfinished", unfinished, resume_or_end),
        _List("open", abandoned, resume_or_end),
        _List("deleted", deleted, _repeat_deletion),
        _List("uncounted", uncounted, _recount),
        _List("multiparts", _idle_multiparts, _remove_unneeded, ROUND),
        _List("objects", _idle_objects, _remove_unneeded, ROUND),
    )
    cursors = load_cursors()
    for number, one in enumerate(lists, 1):
        _go_on(one, cursors, now + timedelta(seconds=seconds * number / len(lists)))
        save_cursors(cursors)


def _go_on(one: _List[_T], cursors: dict[str, str], ends: datetime) -> None:
    """Use a list from its cursor on, until its end or a time."""
    if one.period and one.name not in cursors:
        begun = cursors.get(one.name + _BEGUN)
        if begun and clock.now() < datetime.fromisoformat(begun) + one.period:
            return
        cursors[one.name + _BEGUN] = clock.now().isoformat()
    for place, found in one.find(cursors.pop(one.name, "")):
        try:
            one.use(found)
        except Exception:  # One failure must not stop the others.
            log.exception("The sweep failed at %s in its list %s", place, one.name)
        if clock.now() >= ends:
            cursors[one.name] = place
            return


def _resume_or_end(has_backlog: Callable[[str], bool], ids: tuple[str, str]) -> None:
    """Send an idle upload to its queue if its message is lost, or end it.

    In a queue with a backlog its message may wait still, unless that discarded it.
    """
    now = clock.now()
    upload = upload_store.load_upload(*ids)
    if upload is None or upload.is_over or upload.updated_at > now - IDLE:
        return
    if upload.state is not UploadState.OPEN:
        if upload.updated_at > now - queue.KEPT and has_backlog(upload.method):
            return
        with suppress(StaleError):  # A run has just begun.
            queue.send_upload(upload_store.save_upload(upload, upload))
    elif upload.updated_at < now - ABANDONED:
        transfers.fail(
            upload, f"The client did not continue it for {ABANDONED.days} days."
        )


def _repeat_deletion(image_id: str) -> None:
    log.warning("The clean-up of image %s is repeated", image_id)
    image_store.touch_tombstone(image_id)


def _recount(project_id: str) -> None:
    if not recounts.recount(project_id):
        log.warning("What a project uses was counted wrongly, or lags")


def _idle_multiparts(after: str) -> Iterator[tuple[str, list[StoredData]]]:
    return _batches(objects.list_multiparts(after=after))


def _idle_objects(after: str) -> Iterator[tuple[str, list[StoredData]]]:
    return _batches(objects.list_objects(after=after))


def _batches(
    listing: Iterator[StoredData],
) -> Iterator[tuple[str, list[StoredData]]]:
    """Yield what is idle and of this service, some at a time, after the last key."""
    until = clock.now() - IDLE
    while batch := list(islice(listing, _BATCH_SIZE)):
        idle = [
            data
            for data in batch
            if data.created_at < until
            and is_image_id(data.image_id)
            and is_image_id(data.upload_id)
        ]
        last = batch[-1]
        yield objects.object_key(last.image_id, last.upload_id), idle


def _remove_unneeded(batch: list[StoredData]) -> None:
    keys: set[Key] = set()
    for data in batch:
        keys.add(image_key(data.image_id))
        if data.multipart_id:
            keys.add(upload_key(data.image_id, data.upload_id))
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
