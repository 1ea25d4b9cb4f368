"""The access patterns of usage: what each project uses of its quotas.

What begins and ends an upload counts it in its own transaction (`uploads`). All else is
counted by the stream's function, each record once, so that it lags by some seconds.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from pynamodb.exceptions import TransactWriteError
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
    connection,
    get_item,
    get_items,
    reasons_of,
    with_retries,
)
from chalicelib.store.items import (
    CountedItem,
    UsageItem,
    found_in,
    image_of,
    member_of,
)
from chalicelib.store.keys import (
    IMAGE,
    MEMBER,
    USAGE,
    Key,
    counted_key,
    offers_key,
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
    counts = used_by(new)
    counts.subtract(used_by(old))
    before, after = in_progress_of(old), in_progress_of(new)
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


def used_by(raw: Raw | None) -> Counter[tuple[Key, str]]:
    """Return what an item of any kind uses, but for uploads in progress."""
    counts = Counter[tuple[Key, str]]()
    if raw is None or "owner" not in raw:
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


def in_progress_of(raw: Raw | None) -> str | None:
    """Return the owner of an image whose upload is in progress, from any item."""
    if raw is None or raw["sk"]["S"] != IMAGE:
        return None
    image = image_of(raw)
    return image.owner if image and image.status in _IN_PROGRESS else None


def is_begun(before: Image, after: Image) -> bool:
    """Return whether a change begins an upload that is in progress then."""
    return before.status not in _IN_PROGRESS and after.status in _IN_PROGRESS
