"""The merge of index rows and recent changes that a list is made of."""

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Visibility
from chalicelib.domain.list_queries import ALL, ListQuery, Sort
from chalicelib.domain.members import MemberStatus
from chalicelib.store import candidates, images, members
from chalicelib.store.candidates import Budget, BudgetSpentError, Candidates
from chalicelib.store.indexes import Row, choose_ranges
from chalicelib.store.keys import list_position
from tests.aws_faults import recording
from tests.scene import at
from tests.store.scene import DEFAULT_QUERY, IMAGE, LATER, NOW, OTHER, PRODUCER, TIME

CONSUMER = Caller("consumer", "bob", Role.MEMBER, "req-4")
QUERY = DEFAULT_QUERY._replace(sort=(Sort("created_at", descending=False),))
PUBLIC = QUERY._replace(visibility="public", owner="producer")
BACKWARDS = QUERY._replace(sort=(Sort("created_at", descending=True),))


def id_of(name: str) -> str:
    """Return the id of an image, which ends in its name, a hexadecimal digit."""
    return f"{IMAGE.id[:-1]}{name}"


def make(names: str, **fields: Any) -> list[str]:
    """Store images, created hours apart in the order of their names; their places."""
    places = []
    for name in names:
        created_at = TIME + timedelta(hours=ord(name))
        image = IMAGE._replace(id=id_of(name), name=name, created_at=created_at)
        images.create_image(image._replace(**fields), PRODUCER)
        places.append(list_position(created_at, image.id))
    return places


def share(name: str, *statuses: MemberStatus) -> None:
    """Share an image with the consumer, and let it answer."""
    image = images.load_image(id_of(name), "").image
    assert image is not None
    (member,) = members.add_members(image, {"consumer": None}, OTHER)
    for status in statuses:
        members.set_member_status(image, member, status, CONSUMER)


def found(
    query: ListQuery = QUERY,
    *,
    budget: Budget | None = None,
    chunk: int = 25,
    **more: Any,
) -> list[Row]:
    """Return the consumer's candidates."""
    return list(
        Candidates(
            query,
            CONSUMER,
            ranges=choose_ranges(query, CONSUMER),
            budget=budget or Budget(1000),
            chunk=chunk,
            **more,
        )
    )


def row(place: str, *, is_membership: bool = False) -> Row:
    """Return the row of an image that an index has, named by its id's end."""
    return Row(place, known=True, name=place[-1], is_membership=is_membership)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Images that the consumer may list, some while before: its own are a and d.

    Those of others are b, which is public, c, which it accepted, and e and f, which it
    did not; d is public, too.
    """
    at(monkeypatch, NOW)
    mine: dict[str, Any] = {"owner": "consumer"}
    made = [
        *make("a", **mine),
        *make("b", visibility=Visibility.PUBLIC),
        *make("c"),
        *make("d", visibility=Visibility.PUBLIC, **mine),
    ]
    make("ef")
    share("c", MemberStatus.ACCEPTED)
    share("e")
    at(monkeypatch, LATER)
    return made


@pytest.mark.parametrize("chunk", [1, 25])
def test_each_image_comes_once_and_in_order(places: list[str], chunk: int) -> None:
    """However few rows a query has; one's own public image stands in two ranges."""
    a, b, c, d = places
    budget = Budget(6)
    expected = [row(a), row(b), row(c, is_membership=True), row(d)]

    assert found(budget=budget, chunk=chunk) == expected
    assert budget.looked_at == 5
    assert found(BACKWARDS, chunk=chunk) == expected[::-1]
    assert found(after=b, chunk=chunk) == expected[2:]
    assert found(BACKWARDS, after=c, chunk=chunk) == expected[1::-1]


def test_a_query_has_twice_the_rows_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to a bound, so that a long list is few queries."""
    monkeypatch.setattr(candidates, "_CHUNK_MAX", 5)
    places = make("0123456789abcdef", visibility=Visibility.PUBLIC)

    with recording() as calls:
        rows = found(PUBLIC, chunk=2)

    limits = [body["Limit"] for _, body in calls if "IndexName" in body]
    assert [one.position for one in rows] == places
    assert limits == [2, 4, 5, 5]


def test_a_range_is_asked_on_while_the_list_has_none_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later image of another range does not come before what it may hold yet."""
    at(monkeypatch, NOW)
    make("012", visibility=Visibility.PUBLIC, os_hidden=True)
    (three,) = make("3", visibility=Visibility.PUBLIC)
    (four,) = make("4", owner="consumer")
    at(monkeypatch, LATER)

    assert found(chunk=1) == [row(three), row(four)]


def test_rows_are_looked_at_within_a_budget() -> None:
    """It is checked before each query, and a list that it is enough for ends."""
    make("0123", visibility=Visibility.PUBLIC)
    spent, enough = Budget(3), Budget(4)
    merged = iter(
        Candidates(
            PUBLIC,
            CONSUMER,
            ranges=choose_ranges(PUBLIC, CONSUMER),
            budget=spent,
            chunk=1,
        )
    )

    assert [next(merged).name for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(BudgetSpentError):
        next(merged)
    assert spent.looked_at == 3
    assert len(found(PUBLIC, budget=enough, chunk=1)) == 4
    assert enough.looked_at == 4


def test_a_recent_change_proposes_what_no_index_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says so where nothing but another's offer may have left it."""
    at(monkeypatch, NOW)
    asc, desc = (one._replace(member_status=ALL) for one in (QUERY, BACKWARDS))
    a, d = make("ad", owner="consumer")
    e, f = make("ef")
    share("e")
    share("f", MemberStatus.ACCEPTED)
    for image_id in (id_of("e"), id_of("f")):
        loaded = images.load_image(image_id, "consumer")
        assert loaded.image
        assert loaded.membership
        members.remove_member(loaded.image, loaded.membership, OTHER)
    owned = images.load_image(id_of("d"), "").image
    assert owned
    images.delete_image(owned, CONSUMER)
    expected = [Row(a), Row(d), Row(e, is_offered=True), Row(f)]
    budget = Budget(1000)

    assert found(asc, budget=budget) == expected
    assert budget.looked_at == len(["a"]) + len(["a", "d", "e", "f", "f"])
    assert found(desc) == expected[::-1]
    assert found(asc, after=d) == expected[2:]
    assert found(desc, after=e) == expected[1::-1]


@pytest.mark.parametrize(
    ("has_ranges", "has_beside", "expected"),
    [
        (True, True, ["a"]),
        (False, True, ["a"]),
        (True, False, ["a"]),
        (False, False, []),
    ],
)
def test_recent_changes_are_read_where_something_else_is(
    *,
    has_ranges: bool,
    has_beside: bool,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list that nothing can be in reads nothing; calls beside count as they say."""
    at(monkeypatch, NOW)
    make("a", owner="consumer")
    budget = Budget(1000)
    ranges = choose_ranges(QUERY, CONSUMER) if has_ranges else []

    with recording() as calls:
        rows = list(
            Candidates(
                QUERY,
                CONSUMER,
                ranges=ranges,
                budget=budget,
                chunk=25,
                beside=[lambda: 7] if has_beside else [],
            )
        )

    assert [one.image_id[-1] for one in rows] == expected
    assert bool(calls) is bool(expected)
    assert budget.looked_at == len(expected) + has_ranges + 7 * has_beside
