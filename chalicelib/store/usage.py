"""The access patterns of usage: what each project uses of its quotas.

What begins and ends an upload counts it in its own transaction (`uploads`). All else is
counted by the stream's function, each record once, so that it lags by some seconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib import clock, settings
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.members import ImageAndMembership, MemberStatus
from chalicelib.domain.quotas import (
    IMAGE_COUNT,
    IMAGE_QUOTAS,
    IMAGE_SIZE,
    OFFER_QUOTAS,
    OFFERS_TO_ONE,
    STAGE_SIZE,
    UPLOADING,
    Usage,
    is_limited,
    limit_of,
    most,
)
from chalicelib.domain.quotas import OFFERS as OFFER_COUNT
from chalicelib.store import images as image_store
from chalicelib.store.dynamodb import (
    condition_failed,
    connection,
    get_item,
    get_items,
    query_page,
    query_untouched,
    reasons_of,
    with_retries,
)
from chalicelib.store.items import (
    ByProject,
    ByVisibilityOrOwner,
    CountedItem,
    UsageItem,
    found_in,
    image_of,
    member_of,
)
from chalicelib.store.keys import (
    IMAGE,
    MEMBER,
    OFFERS,
    OWNED,
    SHARED,
    USAGE,
    Key,
    counted_key,
    membership_sort,
    offers_key,
    owner_partition,
    project_partition,
    project_sort,
    touched_sort,
    usage_key,
)
from chalicelib.store.mapping import Raw

Deltas = Mapping[Key, Mapping[str, int]]
"""How much more is used, by the key of the usage and the name of the quota."""

_IN_PROGRESS: Final = frozenset({ImageStatus.SAVING, ImageStatus.IMPORTING})
"""The statuses that only the begin of an upload brings, and its end takes away."""

_STAGED: Final = frozenset({ImageStatus.UPLOADING, ImageStatus.IMPORTING})
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED_KEPT: Final = timedelta(days=2)
"""How long it is known that a record was counted; the stream has it for a day."""

RECOUNT_PAGES_MAX = 50
"""Maximum number of pages that a recount reads in a run."""

_RECOUNT_ROWS = 100
"""Maximum number of rows in such a page; as many items are read for them."""


def load_usage(project_id: str) -> Usage:
    """AP-48: what a project uses, strongly consistent, where a quota is set."""
    raw = get_item(usage_key(project_id))
    return usage_of(raw)


def load_image_and_usage(
    image_id: str, project_id: str
) -> tuple[ImageAndMembership, Usage]:
    """AP-49: as AP-1, with what the project uses where a quota of images is set."""
    if not is_limited(IMAGE_QUOTAS):
        return image_store.load_image(image_id, project_id), Usage()
    return _load_with(image_id, project_id, usage_key(project_id))


def load_image_and_offers(
    image_id: str, project_id: str, member_id: str
) -> tuple[ImageAndMembership, Usage]:
    """AP-50: as AP-1, with the project's offers, in all and to one consumer."""
    if not is_limited(OFFER_QUOTAS):
        return image_store.load_image(image_id, project_id), Usage()
    both = [usage_key(project_id), offers_key(project_id, member_id)]
    return _load_with(image_id, project_id, *both)


def _load_with(
    image_id: str, project_id: str, *usages: Key
) -> tuple[ImageAndMembership, Usage]:
    keys = image_store.keys_of(image_id, project_id)
    items = get_items([*keys, *usages] if keys else [])
    loaded = found_in(items, image_id, project_id)
    return loaded, usage_of(*(items.get(key) for key in usages))


def usage_of(*raws: Raw | None) -> Usage:
    """Parse a project's usage from its item, and from that of its offers to one."""
    found: Raw = {name: raw[name] for raw in raws if raw for name in raw}
    names = (*IMAGE_QUOTAS, *OFFER_QUOTAS)
    return Usage(
        used={name: int(found[name]["N"]) for name in names if name in found},
        own={
            name: limit_of(name, int(found[f"{name}_most"]["N"]))
            for name in names
            if f"{name}_most" in found
        },
    )


def change_uploading(
    transaction: TransactWrite, project_id: str, delta: int, condition: Condition | None
) -> None:
    """Count an upload that begins or ends, in its transaction."""
    transaction.update(
        UsageItem(*usage_key(project_id)),
        actions=[UsageItem.image_count_uploading.add(delta)],
        condition=condition,
        return_values="ALL_OLD",
    )


def within_limits(deltas: Mapping[str, int]) -> Condition | None:
    """Return the condition that a project may use so much more of each quota.

    The item itself has the project's own limits, so that nothing is read for them.
    """
    condition: Condition | None = None
    for name, delta in deltas.items():
        limit: int = getattr(settings.current, name)
        if limit < 0:
            continue
        used, own = getattr(UsageItem, name), getattr(UsageItem, f"{name}_most")
        room = most(name, limit) - delta
        free = used <= room
        if room >= 0:
            free |= used.does_not_exist()
        within_own = used < own if delta else used <= own
        one = (own.does_not_exist() & free) | (own.exists() & within_own)
        condition = one if condition is None else condition & one
    return condition


def deltas_of(old: Raw | None, new: Raw | None) -> Deltas:
    """Return how a change of any item alters what projects use, by quotas that are set.

    An upload in progress is counted as it begins and ends; here only where its image is
    deleted or given away meanwhile.
    """
    counts = _used_by(new)
    counts.subtract(_used_by(old))
    before, after = _in_progress(old), _in_progress(new)
    if before and (after or new is None or "deleted" in new) and before != after:
        counts[usage_key(before), UPLOADING] -= 1
        if after:
            counts[usage_key(after), UPLOADING] += 1
    names = [
        name
        for some in (IMAGE_QUOTAS, OFFER_QUOTAS)
        if is_limited(some)
        for name in some
    ]
    deltas: dict[Key, dict[str, int]] = {}
    for (key, name), count in counts.items():
        if count and name in names:
            deltas.setdefault(key, {})[name] = count
    return deltas


def count_record(sequence_number: str, deltas: Deltas) -> None:
    """AP-51: count what a record of the stream changed, once."""

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            expires_at = int((clock.now() + _COUNTED_KEPT).timestamp())
            transaction.update(
                CountedItem(*counted_key(sequence_number)),
                actions=[CountedItem.expires_at.set(expires_at)],
                condition=CountedItem.pk.does_not_exist(),
            )
            for key, more in deltas.items():
                actions: list[Action] = [
                    getattr(UsageItem, name).add(delta) for name, delta in more.items()
                ]
                if key[1] == USAGE:
                    first = touched_sort(_NEVER)
                    actions += [
                        UsageItem.project_pk.set(UsageItem.project_pk | USAGE),
                        UsageItem.project_sk.set(UsageItem.project_sk | first),
                    ]
                transaction.update(UsageItem(*key), actions=actions)

    try:
        with_retries(write)
    except TransactWriteError as exc:
        reasons_of(exc, 1 + len(deltas))  # The record was counted before.


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
    for _ in range(RECOUNT_PAGES_MAX):
        if count["list"] == len(_LISTS):
            break
        _count_page(project_id, count)
    else:
        _update(usage, [UsageItem.recount.set(count)])
        return not (count["noted"] or count["mended"])
    raw = get_item(key)
    if count["used"] == usage_of(raw).used or not _wrong(count["counts"], raw):
        _settle(count, key, count["counts"], raw)
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
        partition, limit=_RECOUNT_ROWS, exclusive_start_key=count["start"], **asked
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
        used = _used_by(raw)
        if _in_progress(raw) == project_id:
            used[usage, UPLOADING] += 1
        _add(
            count["counts"],
            {n: more for (key, n), more in used.items() if key == usage},
        )


def _count_offers(project_id: str, count: Count, rows: list[Raw]) -> None:
    """Count pending memberships, and settle the consumers of whom no more can come.

    The rows of a consumer begin alike, as may those of another: its id may have a `#`.
    """
    offers = count["offers"]
    for raw in get_items([(row["pk"]["S"], row["sk"]["S"]) for row in rows]).values():
        used = _used_by(raw)
        member_id = raw["sk"]["S"].removeprefix(MEMBER)
        _add(count["counts"], {OFFER_COUNT: used[usage_key(project_id), OFFER_COUNT]})
        key = offers_key(project_id, member_id)
        _add(offers, {member_id: used[key, OFFERS_TO_ONE]})
    last = count["start"]["group_sk"]["S"] if count["start"] else ""
    done = [one for one in offers if not last.startswith(membership_sort(one, ""))]
    keys = {offers_key(project_id, one): offers.pop(one) for one in done}
    items = get_items(list(keys))
    for key, number in keys.items():
        _settle(count, key, {OFFERS_TO_ONE: number}, items.get(key))


def _settle_strays(project_id: str, count: Count, raws: list[Raw]) -> None:
    """Settle the counts of offers to consumers that have no memberships any more."""
    for raw in raws:
        if not usage_of(raw).reported(OFFERS_TO_ONE):
            continue
        member_id = raw["sk"]["S"].removeprefix(OFFERS)
        partition, asked = _memberships_of(project_id)
        place = UsageItem.group_sk.startswith(membership_sort(member_id, ""))
        rows = query_page(
            partition, range_key_condition=place, limit=_RECOUNT_ROWS, **asked
        )["Items"]
        if all(row["sk"]["S"] != f"{MEMBER}{member_id}" for row in rows):
            _settle(count, (raw["pk"]["S"], raw["sk"]["S"]), {}, raw)


_LISTS: Final = (
    (partial(_images_of, OWNED), _count_images),
    (partial(_images_of, SHARED), _count_images),
    (_memberships_of, _count_offers),
    (_offer_counts_of, _settle_strays),
)
"""What a recount reads, in this order: how a list is found, and its rows are used."""


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number


def _settle(
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


def _used_by(raw: Raw | None) -> Counter[tuple[Key, str]]:
    """Return what an item of any kind uses, but for uploads in progress."""
    counts = Counter[tuple[Key, str]]()
    if raw is None or "deleted" in raw or "owner" not in raw:
        return counts
    owner = raw["owner"]["S"]
    usage = usage_key(owner)
    if raw["sk"]["S"].startswith(MEMBER):
        member = member_of(raw)
        if member.status is MemberStatus.PENDING:
            counts[usage, OFFER_COUNT] = 1
            counts[offers_key(owner, member.member_id), OFFERS_TO_ONE] = 1
    image = image_of(raw) if raw["sk"]["S"] == IMAGE else None
    if image is not None:
        counts[usage, IMAGE_COUNT] = 1
        size = image.size or 0
        counts[usage, IMAGE_SIZE] = size if image.has_data else 0
        counts[usage, STAGE_SIZE] = size if image.status in _STAGED else 0
        counts[usage, UPLOADING] = int(image.status is ImageStatus.UPLOADING)
    return counts


def _in_progress(raw: Raw | None) -> str | None:
    """Return the owner of an image whose upload is in progress, from any item."""
    if raw is None or raw["sk"]["S"] != IMAGE:
        return None
    image = image_of(raw)
    return image.owner if image and image.status in _IN_PROGRESS else None


def is_begun(before: Image, after: Image) -> bool:
    """Return whether a change begins an upload that is in progress then."""
    return before.status not in _IN_PROGRESS and after.status in _IN_PROGRESS
