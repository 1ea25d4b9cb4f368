"""The indexes: what may be in a list, and the truth about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pynamodb.expressions.condition import Condition

from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Visibility
from chalicelib.domain.list_queries import ALL, ListQuery
from chalicelib.domain.members import Found, MemberStatus
from chalicelib.domain.projects import is_project_id
from chalicelib.store.dynamodb import get_items, query_page
from chalicelib.store.items import ByProject, ByVisibility, ImageItem, found_in
from chalicelib.store.keys import (
    LIST_OF,
    MEMBER,
    OWNED,
    image_key,
    member_key,
    project_partition,
    visibility_partition,
)


@dataclass(frozen=True, slots=True)
class Range:
    """A run of an index, in order of creation: one part of one partition."""

    index: str
    partition: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate for a list: an image's place, and what its index row tells.

    `known` is false for a hint and a membership, which carry no name.
    """

    position: str
    known: bool = False
    name: str | None = None
    is_membership: bool = True

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
        return [_project_range(owner, OWNED)]
    if caller.is_admin:
        return _ranges_of_all(visibility, caller)
    return _ranges_of_one(visibility, query.member_status, caller)


def _ranges_of_all(visibility: str | None, caller: Caller) -> list[Range]:
    if visibility is None:
        own = _project_range(caller.project_id, OWNED)
        everyones = (Visibility.PRIVATE, Visibility.SHARED, Visibility.PUBLIC)
        return [own, *map(_visibility_range, everyones)]
    wanted = tuple(Visibility) if visibility == ALL else (Visibility(visibility),)
    return [_visibility_range(one) for one in wanted]


def _ranges_of_one(
    visibility: str | None, member_status: str, caller: Caller
) -> list[Range]:
    parts: list[str] = []
    if visibility in (None, ALL, Visibility.SHARED, Visibility.PRIVATE):
        parts.append(OWNED)
    if visibility in (None, ALL, Visibility.SHARED):
        answers = (
            MemberStatus if member_status == ALL else (MemberStatus(member_status),)
        )
        parts += [LIST_OF[answer] for answer in answers]
    ranges = [_project_range(caller.project_id, part) for part in dict.fromkeys(parts)]
    if visibility in (None, ALL, Visibility.PUBLIC):
        ranges.append(_visibility_range(Visibility.PUBLIC))
    if visibility in (ALL, Visibility.COMMUNITY):
        ranges.append(_visibility_range(Visibility.COMMUNITY))
    return ranges


def _project_range(project_id: str, part: str) -> Range:
    return Range(ByProject.Meta.index_name, project_partition(project_id), f"{part}#")


def _visibility_range(visibility: Visibility) -> Range:
    return Range(ByVisibility.Meta.index_name, visibility_partition(visibility))


def query_range(
    query: ListQuery, run: Range, after: str | None, limit: int
) -> tuple[list[Row], str | None, int]:
    """AP-9: the next candidates of a run that lie after a place, and where it goes on.

    The last is how many rows were looked at: at most *limit*; with a name, as many as
    fit one answer (1 MB), as few of them match. Memberships carry neither name nor
    `os_hidden` and pass.
    """
    sort = ByProject.project_sk if run.part else ByVisibility.visibility_sk
    accepts: Condition = ImageItem.os_hidden == query.os_hidden
    if query.name is not None:
        accepts &= ImageItem.name == query.name
    accepts |= ImageItem.os_hidden.does_not_exist()
    answer = query_page(
        run.partition,
        range_key_condition=sort.between(*_span(run.part, after, query.descending)),
        filter_condition=accepts,
        index_name=run.index,
        limit=limit if query.name is None else None,
        scan_index_forward=not query.descending,
    )
    rows = [
        Row(
            raw[sort.attr_name]["S"].removeprefix(run.part),
            known="os_hidden" in raw,
            name=raw.get("name", {}).get("S"),
            is_membership=raw["sk"]["S"].startswith(MEMBER),
        )
        for raw in answer["Items"]
    ]
    last = answer.get("LastEvaluatedKey")
    resume = last[sort.attr_name]["S"].removeprefix(run.part) if last else None
    return rows, resume, answer["ScannedCount"]


def load_listed(rows: Iterable[Row], project_id: str | None) -> dict[str, Found]:
    """AP-11: the truth of a page's candidates, strongly consistent, by image id.

    With a project, its memberships come too, where the row may be one.
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


def _span(part: str, after: str | None, descending: bool) -> tuple[str, str]:  # noqa: FBT001
    """Give the bounds, both inclusive, of what lies after a place in a run.

    Places are equally long and end in an id, so that the next text below or above one
    can be written down.
    """
    low, high = f"{part}0", f"{part}~"
    if after is None:
        return low, high
    if descending:
        return low, f"{part}{after[:-1]}{chr(ord(after[-1]) - 1)}~"
    return f"{part}{after}!", high
