"""Any list, page by page, against a naive one in memory."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import strategies as st

from chalicelib import clock, settings
from chalicelib.domain.images import Visibility
from chalicelib.domain.members import MemberStatus
from tests.actors import Actor, Response, Send
from tests.configuring import configure
from tests.properties.queries import (
    Query,
    Who,
    compare,
    naive_list,
    queries,
    sees,
    sort_values,
    target,
)
from tests.properties.runs import NUMBERS, check_each
from tests.properties.worlds import (
    CALLERS,
    IDS,
    NAMES,
    NOW,
    PROJECTS,
    TAGS,
    State,
    World,
    put,
    state_now,
    worlds,
)

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

Asked = tuple[Who, Query, int | None]
"""Who asks for a list, for what, in pages of what size."""
ADMIN = ("operators", "admin")


@dataclass(frozen=True)
class Write:
    """A call that changes something, unless it is refused."""

    who: Who
    method: str
    path: str
    document: Any


@st.composite
def writes(draw: st.DrawFn, state: State) -> Write:
    """
    Draw a call that changes an image of a world or one of its members, or makes one.
    """
    taken = [image.id for image in state.images]
    new_id = draw(st.sampled_from([one for one in IDS if one not in taken]))
    image_id = draw(st.sampled_from(taken))
    project = draw(st.sampled_from(PROJECTS))
    member_of, member = draw(st.sampled_from(sorted(state.statuses)))
    changes = {
        "name": st.sampled_from(NAMES),
        "os_hidden": st.booleans(),
        "visibility": st.sampled_from(Visibility),
        "owner": st.just(project),
        "min_disk": st.just(5),
    }
    name = draw(st.sampled_from(sorted(changes)))
    value = draw(changes[name])
    change = [{"op": "replace", "path": f"/{name}", "value": value}]
    status = {"status": draw(st.sampled_from(MemberStatus))}
    tag = draw(st.sampled_from(TAGS[:2]))
    new = {"id": new_id, "owner": project, name: value}
    of_member = f"{member_of}/members/{member}"
    call = st.sampled_from((
        (ADMIN, "POST", "", new),
        (ADMIN, "DELETE", image_id, None),
        (ADMIN, "PATCH", image_id, change),
        (ADMIN, "PATCH", image_id, change),
        ((project, "member"), "PATCH", image_id, change),
        ((project, "member"), "PUT", f"{image_id}/tags/{tag}", None),
        (ADMIN, "POST", f"{image_id}/members", {"member": project}),
        ((member, "member"), "PUT", of_member, status),
        ((member, "member"), "PUT", of_member, status),
        (ADMIN, "DELETE", of_member, None),
    ))  # fmt: skip
    who, method, path, document = draw(call)
    return Write(who, method, f"/v2/images/{path}".rstrip("/"), document)


def ask(
    send: Send, who: Who, query: Query, limit: int | None, marker: str | None = None
) -> Response:
    """Ask for a page."""
    after = [] if marker is None else [("marker", marker)]
    return Actor(send, *who).get(target(query.pairs(limit) + after))


def asked(link: str) -> dict[str, list[str]]:
    """Return the parameters of a link, each with its values in order."""
    parts = urlsplit(link)
    assert parts.path == "/v2/images"
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        values.setdefault(key, []).append(value)
    return values


def turn(response: Response, query: Query, limit: int | None) -> tuple[list[str], str]:
    """Check a page's links; give its images' ids, and the next page's marker if any."""
    assert response.status == 200, response.body
    page = response.document
    every = asked(target(query.pairs(limit)))
    next_page = asked(page["next"]) if "next" in page else every | {"marker": [""]}
    (marker,) = next_page.pop("marker")

    assert (every, every) == (asked(page["first"]), next_page)
    return [image["id"] for image in page["images"]], marker


@st.composite
def worlds_with_lists(draw: st.DrawFn) -> tuple[World, list[Asked]]:
    """
    Draw a world, and lists to ask it for: who does, for what, in pages of what size.
    """
    world = draw(worlds())
    limits = st.none() | st.integers(1, 11)
    askers = draw(st.lists(st.sampled_from(CALLERS), min_size=3, max_size=6))
    return world, [
        (who, draw(queries(world.state, who)), draw(limits)) for who in askers
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_any_list_is_what_one_by_one_comparing_gives(
    number: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, each image once, in order; `next` is there when a page is full."""
    monkeypatch.setattr(clock, "now", lambda: NOW)

    def check(drawn: tuple[World, list[Asked]]) -> None:
        world, lists = drawn
        put(world)
        for who, query, limit in lists:
            expected = [image.id for image in naive_list(world.state, who, query)]
            size = limit or settings.current.page_size
            pages: list[tuple[list[str], str]] = []
            marker: str | None = None
            while marker != "" and len(pages) <= len(expected):
                response = ask(send, who, query, limit, marker)
                page, marker = turn(response, query, limit)
                pages.append((page, marker))

            full = [expected[n : n + size] for n in range(0, len(expected) + 1, size)]
            markers = [page[-1] if len(page) == size else "" for page in full]
            assert list(zip(full, markers, strict=True)) == pages, (who, query)

    check_each(number, worlds_with_lists(), check)


@pytest.mark.parametrize("most", range(1, 4))
def test_a_page_that_ends_early_loses_nothing(
    most: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that may read little holds an image or is refused, never a silent end."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    configure(monkeypatch, page_reads_max=most)

    def check(drawn: tuple[World, list[Asked]]) -> None:
        world, lists = drawn
        put(replace(world, hints=(), lagging={}))
        for who, query, limit in lists:
            expected = [image.id for image in naive_list(world.state, who, query)]
            listed: list[str] = []
            marker: str | None = None
            while marker != "":
                response = ask(send, who, query, limit, marker)
                if response.status == 400:
                    # As many as it may read were read for nothing; one is a ghost.
                    assert most <= len(world.state.images) + 1 - len(expected)
                    break
                page, marker = turn(response, query, limit)
                assert page or not marker
                listed += page

            assert expected[: len(listed)] == listed
            assert response.status == 400 or len(expected) == len(listed)

    check_each(most, worlds_with_lists(), check)


@st.composite
def worlds_that_change(
    draw: st.DrawFn,
) -> tuple[World, Asked, list[list[Write]]]:
    """Draw a world, a list to ask it for, and what others do between its pages."""
    world = draw(worlds())
    who = draw(st.sampled_from(CALLERS))
    query = draw(queries(world.state, who))
    some_filter = query.filters[: draw(st.integers(0, 1))]
    broad = draw(st.sampled_from((None, None, "all", query.visibility)))
    query = replace(query, filters=some_filter, visibility=broad, os_hidden=None)
    some = st.lists(writes(world.state), min_size=1, max_size=3)
    turns = draw(st.lists(some, min_size=3, max_size=6))
    return world, (who, query, draw(st.integers(1, 2))), turns


@pytest.mark.parametrize("number", NUMBERS)
def test_a_cursor_survives_every_change_but_of_its_own_image(
    number: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is what then follows the marker; what stays is listed once, in order.

    Whether hints are read or the indexes are trusted, which do not lag here.
    """
    lag = 60 * (number % 2)
    configure(monkeypatch, index_lag_seconds=lag)
    times = [NOW]
    monkeypatch.setattr(clock, "now", lambda: times[-1])

    def check(drawn: tuple[World, Asked, list[list[Write]]]) -> None:
        world, asked_for, turns = drawn
        times[:] = [NOW]
        put(world if lag else replace(world, hints=(), lagging={}))
        states = [world.state]
        listed: list[str] = []
        markers: list[str] = []
        while True:
            page, marker = check_page(send, asked_for, states[-1], markers)
            listed += page
            if not marker:
                break
            markers.append(marker)
            for write in turns.pop(0) if turns else ():
                Actor(send, *write.who).ask(write.method, write.path, write.document)
            states.append(state_now())
            times.append(times[-1] + timedelta(seconds=1))
        if marker is not None:
            check_cursor(asked_for, states, listed, markers)

    check_each(number, worlds_that_change(), check)


def check_page(
    send: Send, asked_for: Asked, state: State, markers: list[str]
) -> tuple[list[str], str | None]:
    """Check the page after the last marker; return its ids and the next marker.

    Where the marker's image is gone, for its caller, there is neither, not even "".
    """
    who, query, limit = asked_for
    due = naive_list(state, who, query)
    response = ask(send, who, query, limit, *markers[-1:])
    if markers:
        last = [image for image in state.images if image.id == markers[-1]]
        if not last or not sees(state, who, last[0]):
            assert response.status == 400
            return [], None
        due = [image for image in due if compare(query, last[0], image) < 0]
    page, marker = turn(response, query, limit)
    assert [image.id for image in due[:limit]] == page
    return page, marker


def check_cursor(
    asked_for: Asked, states: list[State], listed: list[str], markers: list[str]
) -> None:
    """Check that what stays is listed once, and nothing twice, if no marker moved."""
    who, query, _ = asked_for
    lists = [{one.id for one in naive_list(state, who, query)} for state in states]
    times = Counter(listed)
    if not all(stays(image_id, query, states) for image_id in markers):
        return
    for image_id in filter(lambda one: stays(one, query, states), IDS):
        always = all(image_id in one for one in lists)
        assert int(always) <= times[image_id] <= 1


def stays(image_id: str, query: Query, states: list[State]) -> bool:
    """Return whether an image keeps its place in a list as long as it is there."""
    images = [image for state in states for image in state.images]
    places = [sort_values(query, image) for image in images if image.id == image_id]
    return all(place == places[0] for place in places)
