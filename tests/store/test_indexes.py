"""What a list reads of the indexes: all that may be in it, and little else."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.list_queries import ListQuery, Sort
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.store import dynamodb, indexes
from chalicelib.store.items import Item, MemberItem, image_item, member_item
from chalicelib.store.keys import list_position, member_key, name_prefix
from tests.store.scene import DEFAULT_QUERY

BASE = datetime(2026, 11, 24, 8, tzinfo=UTC)
OWN = ["PROJECT#me/OWNED#", "PROJECT#me/SHARED#"]
ALL_OFFERS = [f"PROJECT#me/{one}#" for one in ("ACCEPTED", "PENDING", "REJECTED")]
ALL_PARTS = ["ACCEPTED", "PENDING", "REJECTED"]
OPEN = ["VISIBILITY#public/", "VISIBILITY#community/"]

OF_A_PROJECT: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, [*OWN, ALL_OFFERS[0], OPEN[0]], ["OWNED", "ACCEPTED"]),
    ({"visibility": "public"}, OPEN[:1], ["OWNED"]),
    ({"visibility": "community"}, OPEN[1:], ["OWNED"]),
    ({"visibility": "private"}, OWN[:1], ["OWNED"]),
    ({"visibility": "shared"}, [OWN[1], ALL_OFFERS[0]], ["OWNED", "ACCEPTED"]),
    ({"visibility": "other"}, [], ["OWNED"]),
    (
        {"visibility": "shared", "member_status": "pending"},
        [OWN[1], ALL_OFFERS[1]],
        ["OWNED", "PENDING"],
    ),
    (
        {"visibility": "all", "member_status": "all"},
        [*OWN, *ALL_OFFERS, *OPEN],
        ["OWNED", *ALL_PARTS],
    ),
    ({"owner": "me"}, OWN, ["OWNED"]),
    ({"owner": "me", "visibility": "shared"}, OWN[1:], ["OWNED"]),
    ({"owner": "me", "visibility": "public"}, OWN[:1], ["OWNED"]),
    ({"owner": "producer"}, [ALL_OFFERS[0], OPEN[0]], ["ACCEPTED"]),
    ({"owner": "producer", "visibility": "private"}, [], []),
    ({"owner": "x" * 2_048}, [], ["ACCEPTED"]),
    (
        {"name": "a b"},
        [*OWN, ALL_OFFERS[0], "VISIBILITY#public/1a!Bb "],
        ["OWNED", "ACCEPTED"],
    ),
]
OF_AN_ADMINISTRATOR: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [OWN[0], "VISIBILITY#private/", "VISIBILITY#shared/", OPEN[0]]),
    (
        {"visibility": "all"},
        [f"VISIBILITY#{one}/" for one in Visibility],
    ),
    (
        {"name": "a"},
        [OWN[0], "VISIBILITY#private/", "VISIBILITY#shared/", "VISIBILITY#public/1a "],
    ),
    ({"visibility": "shared"}, ["VISIBILITY#shared/"]),
    ({"visibility": "public", "name": "a"}, ["VISIBILITY#public/1a "]),
    ({"visibility": "private", "name": "a"}, ["VISIBILITY#private/"]),
    ({"owner": "producer", "visibility": "shared"}, ["PROJECT#producer/SHARED#"]),
]
INDEX_OF = {
    ("PROJECT", False): "by-project",
    ("VISIBILITY", False): "by-visibility-or-owner",
    ("VISIBILITY", True): "by-name",
}
"""By how a partition begins, and whether keys of one beginning are read alone."""


def runs(query: ListQuery, role: Role) -> list[str]:
    """Return the partition and the prefix of each run of a project's list."""
    chosen = indexes.choose_ranges(query, Caller("me", "someone", role, "req-1"))
    for run in chosen:
        kind = run.partition.partition("#")[0]
        assert run.index_name == INDEX_OF[kind, kind != "PROJECT" and run.prefix != ""]
    return [f"{run.partition}/{run.prefix}" for run in chosen]


@pytest.mark.parametrize(("asked", "expected", "parts"), OF_A_PROJECT)
def test_a_projects_list_reads_its_own_ranges_and_what_is_open_to_all(
    asked: dict[str, Any], expected: list[str], parts: list[str]
) -> None:
    """And its recent changes of those parts alone that may show in the list."""
    query = DEFAULT_QUERY._replace(**asked)
    caller = Caller("me", "someone", Role.MEMBER, "req-1")

    assert runs(query, Role.MEMBER) == expected
    assert indexes.recent_parts(query, caller) == parts


@pytest.mark.parametrize(("asked", "expected"), OF_AN_ADMINISTRATOR)
def test_an_administrators_list_reads_the_range_of_each_visibility(
    asked: dict[str, Any], expected: list[str]
) -> None:
    """Of community images its own alone, unless they are asked for."""
    query = DEFAULT_QUERY._replace(**asked)
    caller = Caller("me", "someone", Role.ADMIN, "req-1")

    assert runs(query, Role.ADMIN) == expected
    assert indexes.recent_parts(query, caller) == ["OWNED"]


def test_ranges_in_order_of_names_are_those_of_public_and_community_images() -> None:
    """The rest is one's own, and is gathered to be sorted."""
    query = DEFAULT_QUERY._replace(visibility="all")
    caller = Caller("me", "someone", Role.MEMBER, "req-1")
    chosen = indexes.choose_ranges(query, caller)

    rest, named = indexes.split_named(chosen)

    assert named == ["VISIBILITY#public", "VISIBILITY#community"]
    assert rest == [run for run in chosen if run.partition == "PROJECT#me"]


def image(number: int, **fields: Any) -> Image:
    """Make an image of one's own; each is a second newer than the one before."""
    created_at = BASE + timedelta(seconds=number)
    return Image(
        **{
            "id": f"{number:08x}-0000-4000-8000-000000000000",
            "owner": "me",
            "name": f"image {number}",
            "visibility": Visibility.PUBLIC,
            "created_at": created_at,
            "updated_at": created_at,
            "properties": {},
            **fields,
        }
    )


def fill(*items: Item) -> None:
    """Write items as fast as the emulator takes them."""
    changed = dynamodb.change_by(Caller("me", "someone", Role.MEMBER, "req-1"))
    with Item.batch_write() as batch:
        for item in items:
            item.changed = changed
            batch.save(item)


def offered(number: int, status: MemberStatus) -> tuple[Image, list[Item]]:
    """Make an image of another project that is shared with this one, and its items."""
    one = image(number, owner="producer", visibility=Visibility.SHARED)
    member = Member(one.id, "me", status, one.created_at, one.created_at)
    return one, [image_item(one), member_item(member, one)]


def places(images: Iterable[Image]) -> list[str]:
    """Return the places of images in a list."""
    return [list_position(one.created_at, one.id) for one in images]


@pytest.mark.parametrize("descending", [True, False])
def test_a_range_is_read_in_order_after_a_place(*, descending: bool) -> None:
    """Each row with its name and what it is; what is hidden is looked at alone."""
    images = [image(number, name=None if number == 1 else "b") for number in range(5)]
    hidden = image(5, name="b", os_hidden=True)
    fill(*map(image_item, [*images, hidden]))
    run = indexes.Range("by-project", "PROJECT#me", "OWNED#")
    query = DEFAULT_QUERY._replace(sort=(Sort("created_at", descending=descending),))
    ordered = images[::-1] if descending else images

    rows, resume, looked_at = indexes.query_range(query, run, None, 3)
    rest, end, looked_at_then = indexes.query_range(query, run, resume, 9)

    assert [row.position for row in [*rows, *rest]] == places(ordered)
    assert [row.name for row in [*rows, *rest]] == [one.name for one in ordered]
    assert {(row.known, row.is_membership) for row in [*rows, *rest]} == {(True, False)}
    assert (looked_at, looked_at_then, end) == (3, 3, None)
    assert resume in places([*images, hidden])
    asked = query._replace(os_hidden=True)
    (row,) = indexes.query_range(asked, run, None, 9)[0]
    assert row.position == places([hidden])[0]


def test_a_name_is_looked_for_in_all_rows_but_those_of_the_name() -> None:
    """Where the index has no order of names, a query looks at as many as it may."""
    images = [image(number, name="b" if number else "a") for number in range(4)]
    hidden = image(5, name="b", os_hidden=True)
    fill(*map(image_item, [*images, hidden]))
    query = DEFAULT_QUERY._replace(name="b")
    own = indexes.Range("by-project", "PROJECT#me", "OWNED#")
    public = indexes.Range("by-name", "VISIBILITY#public", name_prefix("b"))

    rows, resume, looked_at = indexes.query_range(query, own, None, 2)
    of_name, _, looked_at_then = indexes.query_range(query, public, None, 2)

    assert [row.position for row in rows] == places(images[:0:-1])
    assert (resume, looked_at, looked_at_then) == (None, 5, 2)
    assert [row.position for row in of_name] == places(images[:2:-1])


@pytest.mark.parametrize("descending", [True, False])
def test_images_of_one_time_are_told_apart_by_their_ids(*, descending: bool) -> None:
    """What follows a place or a key begins right behind it, and leaves nothing out."""
    ends = ("a1", "a2", "a3", "b1", "b2")
    base = "00000000-0000-4000-8000-0000000000"
    images = [image(0, name="b", id=f"{base}{end}") for end in ends]
    fill(*map(image_item, images))
    ordered = images[::-1] if descending else images
    query = DEFAULT_QUERY._replace(sort=(Sort("created_at", descending=descending),))
    run = indexes.Range("by-project", "PROJECT#me", "OWNED#")
    for number, place in enumerate(places(ordered), 1):
        rows, _, _ = indexes.query_range(query, run, place, 9)
        assert [row.position for row in rows] == places(ordered[number:])
        named, _, _ = indexes.query_names(
            query,
            "VISIBILITY#public",
            start=None,
            after=name_prefix("b") + place,
            limit=9,
        )
        assert [row.position for _, row in named] == places(ordered[number:])


def test_a_range_is_filtered_by_name_and_owner() -> None:
    """As far as the index has them; a membership without copies stays a candidate."""
    accepted, items = offered(1, MemberStatus.ACCEPTED)
    bare, more = offered(2, MemberStatus.ACCEPTED)
    hidden, last = offered(3, MemberStatus.ACCEPTED)
    fill(*items, *more, *last)
    for name in ("os_hidden", "name", "owner"):
        attribute = MemberItem.get_attributes()[name]
        key = member_key(bare.id, "me")
        MemberItem(*key).update(actions=[attribute.remove()])
    run = indexes.Range("by-project", "PROJECT#me", "ACCEPTED#")

    def found(**asked: Any) -> list[str]:
        query = DEFAULT_QUERY._replace(**asked)
        rows, _, looked_at = indexes.query_range(query, run, None, 9)
        assert looked_at == 3
        assert all(row.is_membership for row in rows)
        return [row.image_id for row in rows]

    assert found() == [hidden.id, bare.id, accepted.id]
    assert found(name="image 1") == [bare.id, accepted.id]
    assert found(owner="producer", name="image 3") == [hidden.id, bare.id]
    assert found(owner="other") == [bare.id]
    assert found(os_hidden=True) == [hidden.id, bare.id, accepted.id]
    assert found(os_hidden=True, name="image 1") == [bare.id, accepted.id]


@pytest.mark.parametrize("descending", [True, False])
def test_names_are_read_in_order_after_a_key_or_from_a_name(
    *, descending: bool
) -> None:
    """Each with how its key begins; those of other owners and hidden ones are not."""
    names = [None, "", "a", "b b", "c"]
    images = [image(number, name=name) for number, name in enumerate(names)]
    others = [image(7, name="b", os_hidden=True), image(8, name="b", owner="other")]
    fill(*map(image_item, [*images, *others]))
    query = DEFAULT_QUERY._replace(
        sort=(Sort("name", descending=descending),), owner="me"
    )
    ordered = images[::-1] if descending else images

    def read(start: str | None, after: str | None, limit: int) -> Any:
        partition = "VISIBILITY#public"
        rows, resume, looked_at = indexes.query_names(
            query, partition, start=start, after=after, limit=limit
        )
        assert all(row.known and not row.is_membership for _, row in rows)
        assert [prefix for prefix, _ in rows] == [
            name_prefix(row.name) for _, row in rows
        ]
        return [(row.name, row.position) for _, row in rows], resume, looked_at

    def expected(some: Iterable[Image]) -> list[tuple[str | None, str]]:
        some = list(some)
        return list(zip((one.name for one in some), places(some), strict=True))

    first, resume, looked_at = read(None, None, 2)
    rest, end, _ = read(None, resume, 9)
    assert (first, looked_at) == (expected(ordered[:2]), 2)
    assert (rest, end) == (expected(ordered[2:]), None)
    from_a = ordered[ordered.index(images[2]) :]
    looked_at = len(from_a) + (0 if descending else len(others))
    assert read(name_prefix("a"), None, 9) == (expected(from_a), None, looked_at)


def test_an_offer_that_ended_is_no_candidate() -> None:
    """Nor one of another status, unless all are asked for; others are not looked at."""
    pending, items = offered(1, MemberStatus.PENDING)
    accepted, more = offered(2, MemberStatus.ACCEPTED)
    ended, (image_alone, _) = offered(3, MemberStatus.PENDING)
    fill(*items, *more, image_alone)
    rows = [
        indexes.Row(place, is_offered=True)
        for place in places([pending, accepted, ended])
    ]
    own = indexes.Row(places([image(4)])[0])

    def kept(status: str) -> list[indexes.Row]:
        return indexes.drop_ended_offers([*rows, own], "me", status)

    assert kept("pending") == [rows[0], own]
    assert kept("all") == [rows[0], rows[1], own]
    assert kept("rejected") == [own]


def test_the_truth_of_candidates_is_read_once_for_each() -> None:
    """With the memberships of a project, if one is named, where the row may be one."""
    one, items = offered(1, MemberStatus.PENDING)
    two, more = offered(2, MemberStatus.ACCEPTED)
    fill(*items, *more)
    rows = [indexes.Row(place, is_membership=True) for place in places([one, one])]
    rows += [
        indexes.Row(place, is_membership=False) for place in places([two, image(3)])
    ]

    found = indexes.load_listed(rows, "me")
    without = indexes.load_listed(rows, None)

    images = {one.id: one, two.id: two, image(3).id: None}
    assert {key: value.image for key, value in found.items()} == images
    assert {key: value.image for key, value in without.items()} == images
    assert {value.member_id for value in found.values()} == {"me"}
    memberships = [value.membership for value in found.values()]
    assert [member and member.status for member in memberships] == [
        "pending",
        None,
        None,
    ]
    assert not any(value.membership for value in without.values())
