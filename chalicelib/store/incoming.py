"""The consumer's side: the offers of others to a project, the newest first."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from chalicelib.domain.members import ImageAndMembership, Member, MemberStatus
from chalicelib.domain.offer_rules import Effect, OfferRules, effect_on
from chalicelib.domain.sharing import Sharing
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import get_items, query_page
from chalicelib.store.items import (
    ByProject,
    found_in,
    image_of,
    member_of,
    note_of,
    profile_of,
)
from chalicelib.store.keys import (
    PART_OF,
    Key,
    image_id_in,
    image_key,
    member_key,
    note_key,
    profile_key,
    project_partition,
    project_sort,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.offer_rules import query_rules
from chalicelib.store.recent_changes import query_recent

OFFERS_MAX: Final = 1_000
"""Maximum number of offers of one status that a list sorts: of the newest images."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """An offer's place in the list: its time, in microseconds, and its image."""

    offered_at: int
    image_id: str


class OfferQuery(NamedTuple):
    """What a list of offers asks for; `status` is None for all."""

    project_id: str
    status: MemberStatus | None
    producer_id: str | None
    muted: bool
    limit: int
    after: Place | None


class OfferPage(NamedTuple):
    """A page of offers, where the next one goes on, and the counts of pending ones.

    `truncated` says that there are offers of images that are older than all sorted.
    """

    offers: list[Sharing]
    next: Place | None
    pending: int
    muted: int
    truncated: bool


class _Row(NamedTuple):
    """An offer as its index row has it; `owner` may lag, or be missing."""

    place: Place
    status: MemberStatus
    owner: str | None


def list_offers(query: OfferQuery) -> OfferPage:
    """AP-30: the newest offers to a project, with the counts, in two round trips.

    Indexes and recent changes propose, the table decides: memberships are read strongly
    consistent, which keeps read-your-writes and revocation at once. Images, notes and
    profiles are read as they were a moment ago, which is half the price; an image that
    was not there yet is read again.
    """
    wanted = list(MemberStatus) if query.status is None else [query.status]
    statuses = list(dict.fromkeys([*wanted, MemberStatus.PENDING]))
    recent: dict[str, None] = {}
    calls: list[Any] = [
        *(partial(_query_rows, query.project_id, status) for status in statuses),
        *(
            partial(query_recent, query.project_id, PART_OF[status], query.limit)
            for status in wanted
        ),
        partial(query_rules, query.project_id),
    ]
    *found, rules = dynamodb.in_parallel(*calls)
    pages, changed = found[: len(statuses)], found[len(statuses) :]
    rows = {row.place.image_id: row for page, _ in pages for row in page}
    for places in changed:
        recent |= dict.fromkeys(place.rpartition("#")[2] for place in places)
    truncated = any(
        more
        for (_, more), status in zip(pages, statuses, strict=True)
        if status in wanted
    )
    pending, muted = _count(rows.values(), query.project_id, rules)
    listed = [
        row
        for row in rows.values()
        if row.status in wanted or row.place.image_id in recent
    ]
    offers, following = _page(query, wanted, listed, set(recent) - set(rows), rules)
    return OfferPage(
        offers=offers,
        next=following,
        pending=pending,
        muted=muted,
        truncated=truncated,
    )


def load_offer(project_id: str, image_id: str) -> Sharing | None:
    """AP-31: one offer, at the cost of an image and a membership.

    The membership is read strongly consistent, the rest as in a list. Without the
    producer's profile and the rules, which would cost more.
    """
    offers = _load([(image_id, None)], project_id, {})
    return offers[0] if offers else None


def load_memberships(
    project_id: str, image_ids: Collection[str]
) -> dict[str, ImageAndMembership]:
    """AP-44: images with one project's memberships in them, strongly consistent.

    It keeps what each answer says about what was there.
    """
    keys = [image_key(image_id) for image_id in image_ids]
    keys += [member_key(image_id, project_id) for image_id in image_ids]
    items = get_items(keys)
    return {image_id: found_in(items, image_id, project_id) for image_id in image_ids}


def _query_rows(project_id: str, status: MemberStatus) -> tuple[list[_Row], bool]:
    """Read the index rows of the newest images' offers, and whether there are more."""
    prefix = project_sort(PART_OF[status], "")
    answer = query_page(
        project_partition(project_id),
        range_key_condition=ByProject.project_sk.startswith(prefix),
        index_name=ByProject.Meta.index_name,
        limit=OFFERS_MAX,
        scan_index_forward=False,
    )
    rows = [_row(raw, status, prefix) for raw in answer["Items"]]
    return rows, "LastEvaluatedKey" in answer


def _row(raw: Raw, status: MemberStatus, prefix: str) -> _Row:
    if "offered_at" in raw:
        offered_at = int(raw["offered_at"]["N"])
    else:  # Older than the attribute: no earlier than its image.
        created = raw["project_sk"]["S"].removeprefix(prefix).partition("#")[0]
        offered_at = _microseconds(datetime.fromisoformat(created))
    place = Place(offered_at, image_id_in(raw["pk"]["S"]))
    return _Row(place, status, raw["owner"]["S"] if "owner" in raw else None)


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _count(rows: Iterable[_Row], project_id: str, rules: OfferRules) -> tuple[int, int]:
    """Return how many offers of others are pending, and how many of them are muted."""
    pending = [
        row.owner or ""
        for row in rows
        if row.status is MemberStatus.PENDING and row.owner != project_id
    ]
    muted = sum(effect_on(rules, owner) is Effect.MUTE for owner in pending)
    return len(pending) - muted, muted


def _page(
    query: OfferQuery,
    wanted: Collection[MemberStatus],
    rows: Iterable[_Row],
    unplaced: Collection[str],
    rules: OfferRules,
) -> tuple[list[Sharing], Place | None]:
    """Return the offers of a page, and the place behind which the next one begins.

    Of *unplaced* images only recent changes tell; the table says where they belong.
    """

    def fits(owner: str | None) -> bool:
        if owner is None:
            return True
        is_muted = effect_on(rules, owner) is Effect.MUTE
        right_producer = query.producer_id in (None, owner)
        return owner != query.project_id and is_muted is query.muted and right_producer

    def is_after(place: Place) -> bool:
        return query.after is None or place < query.after

    placed = sorted(
        (row for row in rows if is_after(row.place) and fits(row.owner)),
        key=lambda row: row.place,
        reverse=True,
    )
    page, has_next = placed[: query.limit], len(placed) > query.limit
    last = page[-1].place if has_next else None
    owners = [(row.place.image_id, row.owner) for row in page]
    owners += [(image_id, None) for image_id in sorted(unplaced)]
    places = {row.place.image_id: row.place for row in page}
    offers: list[tuple[Place, Sharing]] = []
    for offer in _load(owners, query.project_id, rules):
        membership = offer.membership
        own = Place(_microseconds(membership.created_at), membership.image_id)
        place = places.get(membership.image_id, own)
        in_page = is_after(place) and (last is None or place >= last)
        if membership.status in wanted and fits(offer.image.owner) and in_page:
            offers.append((place, offer))
    offers.sort(key=lambda pair: pair[0], reverse=True)
    if len(offers) > query.limit:
        offers = offers[: query.limit]
        last = offers[-1][0]
    return [offer for _, offer in offers], last


def _load(
    pairs: Iterable[tuple[str, str | None]], project_id: str, rules: OfferRules
) -> list[Sharing]:
    """Read offers by their images and, as far as known, these images' owners."""
    pairs = list(pairs)
    others: list[Key] = [image_key(image_id) for image_id, _ in pairs]
    others += [note_key(image_id, project_id) for image_id, _ in pairs]
    owners = dict.fromkeys(owner for _, owner in pairs if owner is not None)
    others += [profile_key(owner) for owner in owners]
    read = dynamodb.in_parallel(
        partial(get_items, [member_key(image_id, project_id) for image_id, _ in pairs]),
        partial(get_items, others, strongly=False),
    )
    items = read[0] | read[1]
    images = [image_key(image_id_in(partition)) for partition, _ in read[0]]
    if missed := [key for key in images if key not in items]:
        items |= get_items(missed)  # They were offered as soon as they were made.
    offers = []
    for image_id, _ in pairs:
        offer = _offer(items, image_id, project_id, rules)
        if offer is not None and offer.image.owner != project_id:
            offers.append(offer)
    return offers


def _offer(
    items: Mapping[Key, Raw], image_id: str, project_id: str, rules: OfferRules
) -> Sharing | None:
    raw_member = items.get(member_key(image_id, project_id))
    raw_image = items.get(image_key(image_id))
    image = image_of(raw_image) if raw_image else None
    if raw_member is None or image is None:
        return None
    membership: Member = member_of(raw_member)
    profile = profile_of(items.get(profile_key(image.owner)))
    return Sharing(
        membership=membership,
        image=image,
        note=note_of(items.get(note_key(image_id, project_id)), membership, image),
        profile=profile if profile and profile.published else None,
        muted=effect_on(rules, image.owner) is Effect.MUTE,
    )
