"""The hints that a project's list changed: indexes lag, a hint does not.

A hint is never truth: it only proposes an image to the project's next lists. So it is
written beside a change and not with it, and one that is lost or too many does no harm.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import query_page, settle, settle_or_log
from chalicelib.store.items import RecentItem
from chalicelib.store.keys import (
    RECENT,
    list_position,
    moment,
    project_partition,
    recent_key,
)

_KEPT: Final = timedelta(hours=1)


def write_with_hints(
    write: Callable[[], Any], image: Image, projects: Iterable[str], caller: Caller
) -> None:
    """Write, and hint at an image in the lists of some projects meanwhile.

    Raises:
        Exception: What the write raised; a hint that is lost is logged.
    """
    puts = [_put(project_id, image, caller) for project_id in projects]
    dynamodb.together(lambda: settle(write), *puts)


def query_recent(project_id: str) -> list[str]:
    """AP-10: the places where a project's list changed while indexes may lag.

    Strongly consistent; the newest `HINTS_MAX` at most, so that nobody can make a
    victim's list dear by offering it thousands of images.
    """
    since = clock.now() - timedelta(seconds=settings.current.index_lag_seconds)
    answer = query_page(
        project_partition(project_id),
        range_key_condition=RecentItem.sk.between(
            f"{RECENT}{moment(since)}", f"{RECENT}~"
        ),
        consistent_read=True,
        limit=settings.current.hints_max,
        scan_index_forward=False,
    )
    return [raw["position"]["S"] for raw in answer["Items"]]


def _put(project_id: str, image: Image, caller: Caller) -> Callable[[], None]:
    now = clock.now()
    lag = timedelta(seconds=settings.current.index_lag_seconds)
    item = RecentItem(
        *recent_key(project_id, now, image.id),
        position=list_position(image.created_at, image.id),
        expires_at=int((now + lag + _KEPT).timestamp()),
    )
    loss = f"The hint for the list of {project_id} was lost"
    return lambda: settle_or_log(item.save, loss, caller)
