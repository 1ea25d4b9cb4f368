"""The indexes: what may be in a list, and the truth about it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from pynamodb.expressions.condition import Condition

from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Visibility
from chalicelib.domain.list_queries import ALL, ListQuery
from chalicelib.domain.members import ImageAndMembership, MemberStatus
from chalicelib.domain.projects import is_project_id
from chalicelib.store.dynamodb import get_items, query_page
from chalicelib.store.items import (
    ByName,
    ByProject,
    ByVisibilityOrOwner,
    ImageItem,
    found_in,
)
from chalicelib.store.keys import (
    MEMBER,
    NAMED,
    OWNED,
    PART_OF,
    SHARED,
    image_id_in,
    image_key,
    is_whole,
    list_position,
    member_key,
    name_in,
    name_prefix,
    own_part,
    project_partition,
    project_sort,
    visibility_partition,
)

_POSITION_LENGTH: Final = len(list_position(datetime(2026, 1, 1, tzinfo=UTC), "")) + 36
"""Length of every place in a list, in characters: a time, and an image's id."""


class Range(NamedTuple):
    """A run of an index in order of creation: sort keys of one prefix, then a place."""

    index_name: str
    partition: str
    prefix: str = ""


class Row(NamedTuple):
    """A candidate for a list: an image's place, and what its index row tells.

    `known` is false for a recent change and a membership, which carry no name.
    `is_offered` is true if only a recent change proposes it that another project's
    offer may have left.
    """

    position: str
    known: bool = False
    name: str | None = None
    is_membership: bool = True
    is_offered: bool = False

    @property
    def image_id(self) -> str:
        """The image that the row is about."""
        return self.position.rpartition("#")[2]


def choose_ranges(query: ListQuery, caller: Caller) -> list[Range]:
    """Choose the runs of the indexes that hold all that may be in the list."""
    visibility, owner = query.visibility, query.owner
    if visibility is not None and visibility not in {*Visibility, ALL}:
        return []
    if owner is not None and not is_project_id(owner):
        return []  # DynamoDB ends a key at 2,048 bytes.
    if owner is not None and (caller.is_admin or owner == caller.project_id):
        return [_project_range(owner, part) for part in _own_parts(visibility)]
    if caller.is_admin:
        return _ranges_of_all(query, caller)
    own = [] if owner is not None else _own_parts(visibility)
    # One's own public images stand in the public range as well.
    own = [] if visibility in (Visibility.PUBLIC, Visibility.COMMUNITY) else own
    parts = [*own, *_membership_parts(visibility, query.member_status)]
    return [
        *(_project_range(caller.project_id, part) for part in parts),
        *(_visibility_range(one, query.name) for one in _open_visibilities(visibility)),
    ]


def recent_parts(query: ListQuery, caller: Caller) -> list[str]:
    """Choose the parts of the caller's own list whose recent changes may show in it."""
    if caller.is_admin or query.owner == caller.project_id:
        return [OWNED]
    memberships = _membership_parts(query.visibility, query.member_status)
    return memberships if query.owner is not None else [OWNED, *memberships]


def _ranges_of_all(query: ListQuery, caller: Caller) -> list[Range]:
    visibility = query.visibility
    if visibility is None:
        # Of community images, its own alone.
        own = _project_range(caller.project_id, OWNED)
        everyones = (Visibility.PRIVATE, Visibility.SHARED, Visibility.PUBLIC)
        return [own, *(_visibility_range(one, query.name) for one in everyones)]
    wanted = tuple(Visibility) if visibility == ALL else (Visibility(visibility),)
    return [_visibility_range(one, query.name) for one in wanted]


def _own_parts(visibility: str | None) -> list[str]:
    if visibility in (None, ALL):
        return [OWNED, SHARED]
    return [own_part(Visibility(visibility))]


def _membership_parts(visibility: str | None, member_status: str) -> list[str]:
    if visibility not in (None, ALL, Visibility.SHARED):
        return []
    if member_status == ALL:
        return list(PART_OF.values())
    return [PART_OF[MemberStatus(member_status)]]


def _open_visibilities(visibility: str | None) -> list[Visibility]:
    """Return which images of others are listed without a membership."""
    if visibility == ALL:
        return [Visibility.PUBLIC, Visibility.COMMUNITY]
    wanted = visibility or Visibility.PUBLIC
    return [Visibility(wanted)] if wanted in NAMED else []


def _project_range(project_id: str, part: str) -> Range:
    return Range(
        ByProject.Meta.index_name, project_partition(project_id), project_sort(part, "")
    )


def _visibility_range(visibility: Visibility, name: str | None) -> Range:
    partition = visibility_partition(visibility)
    if name is not None and visibility in NAMED:
        return Range(ByName.Meta.index_name, partition, name_prefix(name))
    return Range(ByVisibilityOrOwner.Meta.index_name, partition)


def split_named(ranges: list[Range]) -> tuple[list[Range], list[str]]:
    """Split ranges into those of one's own, and the partitions that `by-name` has."""
    partitions = {visibility_partition(one) for one in NAMED}
    rest = [run for run in ranges if run.partition not in partitions]
    return rest, [run.partition for run in ranges if run.partition in partitions]


_SORT_KEYS: Final = {
    ByProject.Meta.index_name: ByProject.project_sk,
    ByVisibilityOrOwner.Meta.index_name: ByVisibilityOrOwner.group_sk,
    ByName.Meta.index_name: ByName.name_sk,
}


def query_range(
    query: ListQuery, run: Range, after: str | None, limit: int
) -> tuple[list[Row], str | None, int]:
    """AP-9: the next candidates of a run that lie after a place, and where it goes on.

    The last is how many rows were looked at: at most *limit*; with a name, as many as
    fit one answer (1 MB), as few of them match.
    """
    sort = _SORT_KEYS[run.index_name]
    is_by_name = run.index_name == ByName.Meta.index_name
    answer = query_page(
        run.partition,
        range_key_condition=sort.between(*_span(run.prefix, after, query.descending)),
        filter_condition=_accepts(query, has_name=not is_by_name),
        index_name=run.index_name,
        limit=limit if query.name is None or is_by_name else None,
        scan_index_forward=not query.descending,
    )
    rows = [
        Row(
            raw[sort.attr_name]["S"].removeprefix(run.prefix),
            known="os_hidden" in raw,
            name=raw.get("name", {}).get("S"),
            is_membership=raw["sk"]["S"].startswith(MEMBER),
        )
        for raw in answer["Items"]
    ]
    last = answer.get("LastEvaluatedKey")
    resume = last[sort.attr_name]["S"].removeprefix(run.prefix) if last else None
    return rows, resume, answer["ScannedCount"]


def query_names(
    query: ListQuery,
    partition: str,
    *,
    start: str | None,
    after: str | None,
    limit: int,
) -> tuple[list[tuple[str, Row]], str | None, int]:
    """AP-24: public or community images in the order of names, and where it goes on.

    Each with how its key begins, up to the name's end. From the beginning of the names
    with the prefix *start*, or *after* a key. The last is how many rows were looked at,
    *limit* at most.
    """
    low, high = "0", "2"
    if after is not None and query.descending:
        high = _before(after)
    elif after is not None:
        low = f"{after}!"
    elif start is not None and query.descending:
        high = f"{start}~"
    elif start is not None:
        low = start
    answer = query_page(
        partition,
        range_key_condition=ByName.name_sk.between(low, high),
        filter_condition=_accepts(query, has_name=False),
        index_name=ByName.Meta.index_name,
        limit=limit,
        scan_index_forward=not query.descending,
    )
    rows = []
    for raw in answer["Items"]:
        key = raw["name_sk"]["S"]
        prefix, position = key[:-_POSITION_LENGTH], key[-_POSITION_LENGTH:]
        name = name_in(prefix) if is_whole(prefix) else None
        rows.append((prefix, Row(position, known=True, name=name, is_membership=False)))
    last = answer.get("LastEvaluatedKey")
    return rows, last["name_sk"]["S"] if last else None, answer["ScannedCount"]


def _accepts(query: ListQuery, *, has_name: bool) -> Condition:
    """Return the condition on index rows that may be in the list.

    A membership's copies may be older than the image: one that says that the image is
    hidden keeps it out of the default list, none keeps it out of that of hidden images.
    One that has no copies is a candidate.
    """
    accepts: Condition = ImageItem.os_hidden == query.os_hidden
    if query.os_hidden:
        accepts |= ImageItem.sk.startswith(MEMBER)
    if query.name is not None and has_name:
        accepts &= ImageItem.name == query.name
    if query.owner is not None:
        accepts &= ImageItem.owner == query.owner
    without_copies: Condition = ImageItem.os_hidden.does_not_exist()
    either: Condition = accepts | without_copies
    return either


def drop_ended_offers(
    rows: Sequence[Row], project_id: str, member_status: str
) -> list[Row]:
    """AP-28: the candidates, without recent offers that ended or have another status.

    Another project can leave thousands of recent changes of offers that it withdrew.
    The membership is small, its image may be large: so it is read first, where only a
    recent change proposes it. Strongly consistent, as an offer is listed at once.
    """
    keys = [member_key(row.image_id, project_id) for row in rows if row.is_offered]
    wanted = {
        image_id_in(pk)
        for (pk, _), raw in get_items(keys).items()
        if member_status in (ALL, raw["status"]["S"])
    }
    return [row for row in rows if not row.is_offered or row.image_id in wanted]


def load_listed(
    rows: Iterable[Row], project_id: str | None
) -> dict[str, ImageAndMembership]:
    """AP-11: the truth of a page's candidates, strongly consistent, by image id.

    With a project, its memberships come too, where the row may be one. What left a list
    has no recent change, so this read keeps revocation at once and hidden = absent.
    """
    pairs = [(row.image_id, row.is_membership) for row in rows]
    keys = [image_key(image_id) for image_id, _ in pairs]
    if project_id is not None:
        keys += [
            member_key(i, project_id) for i, is_membership in pairs if is_membership
        ]
    items = get_items(list(dict.fromkeys(keys)))
    return {
        image_id: found_in(items, image_id, project_id or "") for image_id, _ in pairs
    }


def _span(prefix: str, after: str | None, descending: bool) -> tuple[str, str]:  # noqa: FBT001
    """Return the bounds, both inclusive, of what lies after a place in a run.

    Places are equally long and end in an id, so that the next text below or above one
    can be written down.
    """
    low, high = f"{prefix}0", f"{prefix}~"
    if after is None:
        return low, high
    if descending:
        return low, _before(f"{prefix}{after}")
    return f"{prefix}{after}!", high


def _before(key: str) -> str:
    """Return a text before a key that ends in an id, and after all keys before it."""
    return f"{key[:-1]}{chr(ord(key[-1]) - 1)}~"
