"""The runs of the indexes that a list reads: all that may be in it, and little else."""

from typing import Any

import pytest

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Visibility
from chalicelib.domain.list_queries import ListQuery, Sort
from chalicelib.store import indexes

QUERY = ListQuery(
    visibility=None,
    member_status="accepted",
    owner=None,
    name=None,
    ids=None,
    os_hidden=False,
    tests=(),
    filters=(),
    sort=(Sort("created_at", descending=True), Sort("id", descending=True)),
    limit=25,
    marker=None,
)
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
    query = QUERY._replace(**asked)
    caller = Caller("me", "someone", Role.MEMBER, "req-1")

    assert runs(query, Role.MEMBER) == expected
    assert indexes.recent_parts(query, caller) == parts


@pytest.mark.parametrize(("asked", "expected"), OF_AN_ADMINISTRATOR)
def test_an_administrators_list_reads_the_range_of_each_visibility(
    asked: dict[str, Any], expected: list[str]
) -> None:
    """Of community images its own alone, unless they are asked for."""
    query = QUERY._replace(**asked)
    caller = Caller("me", "someone", Role.ADMIN, "req-1")

    assert runs(query, Role.ADMIN) == expected
    assert indexes.recent_parts(query, caller) == ["OWNED"]


def test_ranges_in_order_of_names_are_those_of_public_and_community_images() -> None:
    """The rest is one's own, and is gathered to be sorted."""
    query = QUERY._replace(visibility="all")
    caller = Caller("me", "someone", Role.MEMBER, "req-1")
    chosen = indexes.choose_ranges(query, caller)

    rest, named = indexes.split_named(chosen)

    assert named == ["VISIBILITY#public", "VISIBILITY#community"]
    assert rest == [run for run in chosen if run.partition == "PROJECT#me"]
