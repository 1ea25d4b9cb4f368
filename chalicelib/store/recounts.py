"""The access patterns of recounts: what a project uses, counted from its items.

What `usage` counts may drift from them: where a record of the stream was lost, or a
quota is set for the first time.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib import clock
from chalicelib.domain.quotas import OFFERS as OFFER_COUNT
from chalicelib.domain.quotas import OFFERS_TO_ONE, UPLOADING
from chalicelib.store.dynamodb import (
    condition_failed,
    get_item,
    get_items,
    query_page,
    query_untouched,
    with_retries,
)
from chalicelib.store.items import ByProject, ByVisibilityOrOwner, UsageItem
from chalicelib.store.keys import (
    MEMBER,
    OFFERS,
    OWNED,
    SHARED,
    USAGE,
    Key,
    membership_sort,
    offers_key,
    owner_partition,
    project_partition,
    project_sort,
    touched_sort,
    usage_key,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.usage import in_progress_of, usage_of, used_by

PAGES_MAX = 50
"""Maximum number of pages that a recount reads in a run."""

ROWS = 100
"""Maximum number of rows in such a page; as many items are read for them."""


def query_uncounted(until: datetime, after: str) -> Iterator[tuple[str, str]]:
    """AP-52: the projects whose usage was not recounted since, after a place.

    Each as its place in the index, and its id; the index may lag.
    """
    for place, (partition, _) in query_untouched(USAGE, until, after):
        yield place, partition.removeprefix(project_partition(""))


def recount(project_id: str) -> bool:
    """AP-53: count what a project uses, and mend what differs since the last time.

    A difference may be a record on its way, so it is noted first and mended by the next
    recount that finds the same; nothing is changed where something was counted
    meanwhile. A recount of many items goes on in the next run where it ended. Return
    whether no difference was found.
    """
    key = usage_key(project_id)
    raw = get_item(key)
    if raw is None:
        return True
    usage = UsageItem(*key)
    begun = UsageItem.from_raw_data(raw).recount
    count: Count = begun or _new_count(usage_of(raw).used)
    for _ in range(PAGES_MAX):
        if count["list"] == len(_LISTS):
            break
        _count_page(project_id, count)
    else:
        _update(usage, [UsageItem.recount.set(count)])
        return not (count["noted"] or count["mended"])
    raw = get_item(key)
    if count["used"] == usage_of(raw).used or not _wrong(count["counts"], raw):
        _compare(count, key, count["counts"], raw)
    else:
        count["noted"] = True  # It may be what was counted since the recount began.
    actions: list[Action] = [UsageItem.recount.remove()]
    if not count["noted"]:
        actions.append(UsageItem.project_sk.set(touched_sort(clock.now())))
    _update(usage, actions)
    return not (count["noted"] or count["mended"])


Count = dict[str, Any]
"""How far a recount has come, as JSON: its list, the place there, and what it counted.

`used` has what the project used when it began; `offers` what is counted of the
consumers of whom more may come; `noted` and `mended` say whether anything was.
"""


def _new_count(used: Mapping[str, int]) -> Count:
    places = {"list": 0, "start": None, "used": used}
    return {**places, "counts": {}, "offers": {}, "noted": False, "mended": False}


def _count_page(project_id: str, count: Count) -> None:
    """Count the next page of the list at which a recount is."""
    find, use = _LISTS[count["list"]]
    partition, asked = find(project_id)
    page = query_page(
        partition, limit=ROWS, exclusive_start_key=count["start"], **asked
    )
    count["start"] = page.get("LastEvaluatedKey")
    use(project_id, count, page["Items"])
    count["list"] += count["start"] is None


def _images_of(part: str, project_id: str) -> tuple[str, dict[str, Any]]:
    return project_partition(project_id), {
        "index_name": ByProject.Meta.index_name,
        "range_key_condition": UsageItem.project_sk.startswith(project_sort(part, "")),
    }


def _memberships_of(project_id: str) -> tuple[str, dict[str, Any]]:
    index_name = ByVisibilityOrOwner.Meta.index_name
    return owner_partition(project_id), {"index_name": index_name}


def _offer_counts_of(project_id: str) -> tuple[str, dict[str, Any]]:
    condition = UsageItem.sk.startswith(OFFERS)
    return project_partition(project_id), {"range_key_condition": condition}


def _count_images(project_id: str, count: Count, rows: list[Raw]) -> None:
    usage = usage_key(project_id)
    for raw in get_items([(row["pk"]["S"], row["sk"]["S"]) for row in rows]).values():
        used = used_by(raw)
        if in_progress_of(raw) == project_id:
            used[usage, UPLOADING] += 1
        _add(
            count["counts"],
            {n: more for (key, n), more in used.items() if key == usage},
        )


def _count_offers(project_id: str, count: Count, rows: list[Raw]) -> None:
    """Count pending memberships, and compare those of consumers that are complete.

    The rows of a consumer begin alike, as may those of another: its id may have a `#`.
    """
    offers = count["offers"]
    for raw in get_items([(row["pk"]["S"], row["sk"]["S"]) for row in rows]).values():
        used = used_by(raw)
        member_id = raw["sk"]["S"].removeprefix(MEMBER)
        _add(count["counts"], {OFFER_COUNT: used[usage_key(project_id), OFFER_COUNT]})
        key = offers_key(project_id, member_id)
        _add(offers, {member_id: used[key, OFFERS_TO_ONE]})
    last = count["start"]["group_sk"]["S"] if count["start"] else ""
    done = [one for one in offers if not last.startswith(membership_sort(one, ""))]
    keys = {offers_key(project_id, one): offers.pop(one) for one in done}
    items = get_items(list(keys))
    for key, number in keys.items():
        _compare(count, key, {OFFERS_TO_ONE: number}, items.get(key))


def _compare_strays(project_id: str, count: Count, raws: list[Raw]) -> None:
    """Compare the counts of offers to consumers that have no memberships any more.

    None is judged by a page that is not all: its own rows may be behind another's.
    """
    for raw in raws:
        if not usage_of(raw).reported(OFFERS_TO_ONE):
            continue
        member_id = raw["sk"]["S"].removeprefix(OFFERS)
        partition, asked = _memberships_of(project_id)
        place = UsageItem.group_sk.startswith(membership_sort(member_id, ""))
        page = query_page(partition, range_key_condition=place, limit=ROWS, **asked)
        if page.get("LastEvaluatedKey"):
            continue
        if all(row["sk"]["S"] != f"{MEMBER}{member_id}" for row in page["Items"]):
            _compare(count, (raw["pk"]["S"], raw["sk"]["S"]), {}, raw)


_LISTS: Final = (
    (partial(_images_of, OWNED), _count_images),
    (partial(_images_of, SHARED), _count_images),
    (_memberships_of, _count_offers),
    (_offer_counts_of, _compare_strays),
)
"""What a recount reads, in this order: how a list is found, and its rows are used."""


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number


def _compare(
    count: Count, key: Key, counted: Mapping[str, int], raw: Raw | None
) -> None:
    """Note how a usage differs from what was counted, or mend what was noted before."""
    used, wrong = usage_of(raw).used, _wrong(counted, raw)
    found = UsageItem.from_raw_data(raw).drift if raw else None
    item = UsageItem(*key)
    if not wrong:
        if found:
            _update(item, [UsageItem.drift.remove()])
    elif wrong != found:
        count["noted"] = True
        _update(item, [UsageItem.drift.set(wrong)], _as_read(wrong, used))
    else:
        count["mended"] = True
        actions = [getattr(UsageItem, name).add(more) for name, more in wrong.items()]
        _update(item, [*actions, UsageItem.drift.remove()], _as_read(wrong, used))


def _wrong(counted: Mapping[str, int], raw: Raw | None) -> dict[str, int]:
    """Return how much more was counted than is used, where that differs."""
    used = usage_of(raw).used
    return {
        name: counted.get(name, 0) - used.get(name, 0)
        for name in sorted({*counted, *used})
        if counted.get(name, 0) != used.get(name, 0)
    }


def _as_read(names: Iterable[str], used: Mapping[str, int]) -> Condition:
    """Return the condition that what is used is what was read."""
    first, *others = [
        getattr(UsageItem, name) == used[name]
        if name in used
        else getattr(UsageItem, name).does_not_exist()
        for name in names
    ]
    condition: Condition = first
    for other in others:
        condition &= other
    return condition


def _update(
    item: UsageItem, actions: list[Action], condition: Condition | None = None
) -> None:
    """Update an item, unless it was counted meanwhile: then the next run does it."""
    if condition is None:
        condition = UsageItem.pk.exists()
    try:
        with_retries(lambda: item.update(actions=actions, condition=condition))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
