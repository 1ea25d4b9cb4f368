"""Recent changes of a project's lists: indexes lag, a recent change does not.

A recent change is never truth: it only proposes an image to the project's next lists.
So it is written beside a change and not with it, and one that is lost or too many does
no harm.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from chalicelib import clock, settings, telemetry
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import query_page, with_retries, with_retries_or_log
from chalicelib.store.items import RecentChangeItem
from chalicelib.store.keys import (
    moment,
    project_partition,
    recent_key,
    recent_prefix,
    stored_position,
)

ListPart = tuple[str, str]
"""A project, and the part of its list."""

_KEPT: Final = timedelta(hours=1)


def write_and_record(
    write: Callable[[], Any], image: Image, parts: Iterable[ListPart], caller: Caller
) -> None:
    """Write, and record at the same time that an image's place in some lists changed.

    Raises:
        Exception: What the write raised; a recent change that is lost is logged.
    """
    puts = [_put(project_id, part, image, caller) for project_id, part in parts]
    dynamodb.in_parallel(lambda: with_retries(write), *puts)


def query_recent(project_id: str, part: str, limit: int | None = None) -> list[str]:
    """AP-10: the places where a part of a project's list changed in the last minute.

    Strongly consistent, as it keeps the promise of read-your-writes: the indexes may
    not show these changes yet. Page by page, the newest `RECENT_CHANGES_MAX` at most,
    or *limit*; those that others caused are all in `PENDING`.
    """
    since = clock.now() - timedelta(seconds=settings.current.index_lag_seconds)
    prefix = recent_prefix(part)
    most = limit or settings.current.recent_changes_max
    query = partial(
        query_page,
        project_partition(project_id),
        range_key_condition=RecentChangeItem.sk.between(
            f"{prefix}{moment(since)}", f"{prefix}~"
        ),
        consistent_read=True,
        scan_index_forward=False,
    )
    places: list[str] = []
    start = None
    while len(places) < most:
        page = query(limit=most - len(places), exclusive_start_key=start)
        places += [_place(raw) for raw in page["Items"]]
        start = page.get("LastEvaluatedKey")
        if not start:
            break
    return places


def _place(raw: dict[str, Any]) -> str:
    return stored_position(raw["created_at"]["S"], raw["sk"]["S"].rpartition("#")[2])


def _put(
    project_id: str, part: str, image: Image, caller: Caller
) -> Callable[[], None]:
    now = clock.now()
    lag = timedelta(seconds=settings.current.index_lag_seconds)
    item = RecentChangeItem(
        *recent_key(project_id, part, now, image.id),
        created_at=moment(image.created_at),
        expires_at=int((now + lag + _KEPT).timestamp()),
    )
    project = telemetry.named_project(project_id)
    loss = f"A recent change of the list of {project} was lost"
    return lambda: with_retries_or_log(item.save, loss, caller)
