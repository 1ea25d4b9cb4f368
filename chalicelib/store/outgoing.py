"""The producer's side: the memberships in a project's images."""

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from chalicelib.domain.images import Image
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.profiles import Profile
from chalicelib.domain.quotas import OFFER_QUOTAS, Usage, is_limited
from chalicelib.domain.sharing import Sharing
from chalicelib.errors import BadRequest
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import (
    get_item,
    get_items,
    query_collection,
    query_page,
    query_partition,
)
from chalicelib.store.items import (
    ByVisibilityOrOwner,
    image_of,
    member_of,
    note_of,
)
from chalicelib.store.keys import (
    MEMBER,
    Key,
    image_id_in,
    image_key,
    member_key,
    membership_sort,
    note_key,
    note_partition,
    offers_key,
    owner_partition,
    usage_key,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.profiles import load_known
from chalicelib.store.usage import usage_of

ROWS_MAX: Final = 5_000
"""Maximum number of memberships that a list with a filter looks at."""

_AT_ONCE: Final = 100
"""How many memberships a list with a filter reads at once, however few it shows."""


class SharePlace(NamedTuple):
    """A membership's place in the list: by the member, then by the image."""

    member_id: str
    image_id: str


class ShareQuery(NamedTuple):
    """What a list of shares asks for; None is no filter."""

    owner: str
    status: MemberStatus | None
    member_id: str | None
    limit: int
    after: SharePlace | None


def load_shares(
    image_id: str, member_ids: Collection[str], *, notes: bool
) -> tuple[Image | None, dict[str, Sharing]]:
    """AP-41: an image with the memberships of these projects, strongly consistent.

    It keeps what each write of the producer says about what was there.
    """
    items = get_items(_share_keys(image_id, member_ids, notes=notes))
    return _parse(items, image_id, member_ids)


def load_shares_and_offers(
    image_id: str, member_ids: Collection[str], owner: str, *, notes: bool
) -> tuple[Image | None, dict[str, Sharing], dict[str, Usage]]:
    """AP-54: as AP-41, with what the owner may offer to each, if a quota is set."""
    if not is_limited(OFFER_QUOTAS):
        return *load_shares(image_id, member_ids, notes=notes), {}
    usage = usage_key(owner)
    offers = {one: offers_key(owner, one) for one in member_ids}
    keys = _share_keys(image_id, member_ids, notes=notes)
    items = get_items([*keys, usage, *offers.values()])
    usages = {
        one: usage_of(items.get(usage), items.get(key)) for one, key in offers.items()
    }
    return *_parse(items, image_id, member_ids), usages


def _share_keys(
    image_id: str, member_ids: Collection[str], *, notes: bool
) -> list[Key]:
    keys = [image_key(image_id)]
    keys += [member_key(image_id, member_id) for member_id in member_ids]
    if notes:
        keys += [note_key(image_id, member_id) for member_id in member_ids]
    return keys


def load_shares_and_known(
    image_id: str, member_ids: Collection[str], owner: str, *, notes: bool
) -> tuple[
    Image | None, dict[str, Sharing], dict[str, Usage], dict[str, Profile | None]
]:
    """AP-54 and AP-37, in one round trip."""
    calls: list[Any] = [
        partial(load_shares_and_offers, image_id, member_ids, owner, notes=notes),
        partial(load_known, owner, member_ids),
    ]
    (image, shares, usages), known = dynamodb.in_parallel(*calls)
    return image, shares, usages, known


def load_all_shares(
    image_id: str, owner: str | None
) -> tuple[Image | None, dict[str, Sharing]]:
    """AP-42: an image with all its memberships and notes, strongly consistent.

    If an owner is named, those of another's image are not read: the time must not tell
    how many there are.
    """
    raw = get_item(image_key(image_id))
    image = image_of(raw) if raw else None
    if image is None or owner not in (None, image.owner):
        return None, {}
    raws, notes = dynamodb.in_parallel(
        partial(query_collection, image_id),
        partial(query_partition, note_partition(image_id)),
    )
    items = {(raw["pk"]["S"], raw["sk"]["S"]): raw for raw in [*raws, *notes]}
    members = [sk.removeprefix(MEMBER) for _, sk in items if sk.startswith(MEMBER)]
    return _parse(items, image_id, members)


def list_shares(query: ShareQuery) -> tuple[list[Sharing], SharePlace | None]:
    """AP-43: a page of the memberships in all images of a project, and the next place.

    The index proposes, the table decides; what was shared in the last second may be
    missing.

    Raises:
        BadRequest: Too few of the memberships that it may look at fit the filter.
    """
    shares: list[Sharing] = []
    after, looked_at = query.after, 0
    while True:
        rows = query.limit
        if query.status is not None:
            rows = min(_AT_ONCE, ROWS_MAX - looked_at)
        places, has_next = _query_places(query, after, rows)
        found = _load(places, query.owner)
        for place in places:
            looked_at += 1
            after = place
            share = found.get(place)
            if share and query.status in (None, share.membership.status):
                shares.append(share)
            if len(shares) == query.limit:
                more = has_next or place != places[-1]
                return shares, place if more else None
        if not has_next:
            return shares, None
        if looked_at >= ROWS_MAX:
            if shares:
                return shares, after
            raise BadRequest(
                f"None of {looked_at} memberships fits the filter, which is what one"
                " request may look at. Narrow the list by member_id or image_id."
            )


def _query_places(
    query: ShareQuery, after: SharePlace | None, rows: int
) -> tuple[list[SharePlace], bool]:
    condition = None
    if query.member_id is not None:
        prefix = membership_sort(query.member_id, "")
        condition = ByVisibilityOrOwner.group_sk.startswith(prefix)
    partition = owner_partition(query.owner)
    start = None
    if after is not None:
        pk, sk = member_key(after.image_id, after.member_id)
        start = {
            "group_pk": {"S": partition},
            "group_sk": {"S": membership_sort(after.member_id, after.image_id)},
            "pk": {"S": pk},
            "sk": {"S": sk},
        }
    answer = query_page(
        partition,
        range_key_condition=condition,
        index_name=ByVisibilityOrOwner.Meta.index_name,
        limit=rows,
        exclusive_start_key=start,
    )
    places = [
        SharePlace(raw["sk"]["S"].removeprefix(MEMBER), image_id_in(raw["pk"]["S"]))
        for raw in answer["Items"]
    ]
    return places, "LastEvaluatedKey" in answer


def _load(places: Iterable[SharePlace], owner: str) -> dict[SharePlace, Sharing]:
    places = list(places)
    images = dict.fromkeys(image_key(place.image_id) for place in places)
    members = [member_key(place.image_id, place.member_id) for place in places]
    notes = [note_key(place.image_id, place.member_id) for place in places]
    read = dynamodb.in_parallel(
        partial(get_items, [*images, *members]),
        partial(get_items, notes, strongly=False),
    )
    items = read[0] | read[1]
    shares = {}
    for place in places:
        image, held = _parse(items, place.image_id, [place.member_id])
        if image is not None and image.owner == owner and held:
            shares[place] = held[place.member_id]
    return shares


def _parse(
    items: Mapping[Key, Raw], image_id: str, member_ids: Iterable[str]
) -> tuple[Image | None, dict[str, Sharing]]:
    raw_image = items.get(image_key(image_id))
    image = image_of(raw_image) if raw_image else None
    if image is None:
        return None, {}
    shares = {}
    for member_id in member_ids:
        raw = items.get(member_key(image_id, member_id))
        if raw is not None:
            membership = member_of(raw)
            note = note_of(items.get(note_key(image_id, member_id)), membership, image)
            shares[member_id] = Sharing(membership=membership, image=image, note=note)
    return image, shares
