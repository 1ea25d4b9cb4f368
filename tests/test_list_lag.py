"""
A list shows what its project just did, and what it was just offered: indexes may lag.

Each list is read twice: while the indexes show the table as it was before a change, and
once they have caught up. Both must be the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import clock, ids, settings
from chalicelib.store import dynamodb, recent_changes
from chalicelib.store.items import Item, RecentChangeItem
from chalicelib.store.keys import IMAGE, moment, recent_key
from tests.actors import Actor, Send
from tests.aws_faults import on, stored
from tests.configuring import configure
from tests.lagging import lagging_indexes
from tests.scene import at


@dataclass(frozen=True)
class World:
    """The callers, and the producer's images by their names."""

    producer: Actor
    consumer: Actor
    admin: Actor
    ids: dict[str, str]

    def path(self, name: str) -> str:
        """Return the path of an image."""
        return f"/v2/images/{self.ids[name]}"

    def set(self, name: str, attribute: str, value: object, *, by: Actor) -> None:
        """Change an attribute of an image."""
        operation = {"op": "add", "path": f"/{attribute}", "value": value}
        assert by.patch(self.path(name), [operation]).status == 200

    def end(self, place: str) -> None:
        """
        Delete what the producer has at a place: `pending`, `accepted/members/consumer`.
        """
        name, _, rest = place.partition("/")
        target = "/".join([self.path(name), *([rest] if rest else [])])
        assert self.producer.delete(target).status == 204


@pytest.fixture
def world(
    producer: Actor, consumer: Actor, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> World:
    """
    A minute apart: what the consumer accepted, what is offered, what is not; long ago.
    """
    ids = {}
    for minute, name in enumerate(
        ["plain", "accepted", "pending", "rejected", "hidden", "private"]
    ):
        at(monkeypatch, f"2026-11-24T08:{minute:02}:00Z")
        visibility = "private" if name == "private" else "shared"
        ids[name] = producer.make_image(
            name=name, visibility=visibility, os_hidden=name == "hidden"
        )
    for name in ("accepted", "pending", "rejected", "hidden"):
        producer.share(ids[name], "consumer")
        if name != "pending":
            consumer.set_status(ids[name], "accepted" if name == "hidden" else name)
    ids["own"] = consumer.make_image(name="own")
    ids["public"] = admin.make_image(name="public", visibility="public")
    at(monkeypatch, "2026-11-24T10:00:00Z")
    return World(producer, consumer, admin, ids)


CHANGES: dict[str, Callable[[World], object]] = {
    "create": lambda w: w.producer.make_image(name="new"),
    "create hidden": lambda w: w.producer.make_image(name="plain", os_hidden=True),
    "create an older one": lambda w: w.consumer.make_image(name="accepted"),
    "share": lambda w: w.producer.share(w.ids["plain"], "consumer"),
    "accept": lambda w: w.consumer.set_status(w.ids["pending"], "accepted"),
    "reject": lambda w: w.consumer.set_status(w.ids["accepted"], "rejected"),
    "put off": lambda w: w.consumer.set_status(w.ids["rejected"], "pending"),
    "accept as admin": lambda w: w.admin.put(
        f"{w.path('pending')}/members/consumer", {"status": "accepted"}
    ),
    "unshare": lambda w: w.end("accepted/members/consumer"),
    "rename": lambda w: w.set("accepted", "name", "plain", by=w.producer),
    "rename as admin": lambda w: w.set("plain", "name", "zebra", by=w.admin),
    "hide": lambda w: w.set("accepted", "os_hidden", value=True, by=w.producer),
    "show again": lambda w: w.set("hidden", "os_hidden", value=False, by=w.producer),
    "make private": lambda w: w.set("accepted", "visibility", "private", by=w.producer),
    "make shared": lambda w: w.set("private", "visibility", "shared", by=w.producer),
    "make community": lambda w: w.set(
        "accepted", "visibility", "community", by=w.producer
    ),
    "tag": lambda w: w.producer.put(f"{w.path('plain')}/tags/lts"),
    "delete": lambda w: w.end("accepted"),
    "delete the pending": lambda w: w.end("pending"),
    "give away": lambda w: w.set("plain", "owner", "consumer", by=w.admin),
}
LISTS = [
    "",
    *(
        f"?visibility=shared&member_status={status}"
        for status in ("pending", "accepted", "rejected", "all")
    ),
    "?visibility=private",
    "?visibility=all",
    "?owner=producer",
    "?os_hidden=true",
    "?tag=lts",
    "?name=plain",
    "?name=accepted",
    "?sort=name:asc",
    "?sort=updated_at:desc,name:asc",
]
SEEN_BY_ADMIN = ("rename as admin", "accept as admin", "give away")


def lists_of(actor: Actor) -> dict[str, list[str]]:
    """Return each kind of list, whole, and one page by page."""
    pages = actor.pages("?limit=2&sort_dir=asc")
    paged = [image_id for page in pages for image_id in page]
    return {query: actor.listed(query) for query in LISTS} | {"pages": paged}


@pytest.mark.parametrize("change", CHANGES)
def test_lists_are_right_while_the_indexes_lag(change: str, world: World) -> None:
    """What should appear appears, and what should be gone is gone."""
    actors = [world.producer, world.consumer]
    if change in SEEN_BY_ADMIN:
        actors.append(world.admin)
    with lagging_indexes():
        CHANGES[change](world)
        lagging = [lists_of(actor) for actor in actors]

    assert [lists_of(actor) for actor in actors] == lagging


@pytest.mark.parametrize("visibility", ["community", "private", "public"])
def test_a_list_by_visibility_shows_ones_own_change(
    visibility: str, world: World
) -> None:
    """
    The image appears among those of its new visibility, and is gone from the old ones.
    """
    who = world.admin if visibility == "public" else world.producer

    def lists() -> list[list[str]]:
        return [who.listed(f"?visibility={one}") for one in (visibility, "shared")]

    with lagging_indexes():
        world.set("plain", "visibility", visibility, by=who)
        lagging = lists()

    assert lists() == lagging
    assert [world.ids["plain"] in one for one in lagging] == [True, False]


@pytest.mark.parametrize("change", ["create", "share", "accept", "rename", "delete"])
def test_the_change_shows_in_a_list(change: str, world: World) -> None:
    """Lest the comparison above be one of nothing with nothing."""
    before = [lists_of(world.producer), lists_of(world.consumer)]

    CHANGES[change](world)

    assert before != [lists_of(world.producer), lists_of(world.consumer)]


def test_an_administrators_lists_show_its_own_changes(
    world: World, admin: Actor
) -> None:
    """Of images of its own and of others."""
    with lagging_indexes():
        new = admin.make_image(name="new")
        others = admin.make_image(name="other", owner="producer")
        world.set("private", "name", "renamed", by=admin)
        lagging = lists_of(admin)
        shown = world.producer.listed()

    assert lists_of(admin) == lagging
    assert {new, others} <= set(lagging[""])
    assert others in shown


def test_public_images_of_others_are_right_once_the_indexes_catch_up(
    world: World, stranger: Actor
) -> None:
    """
    The promise is a project's own list; what is gone is gone for everyone at once.
    """
    public = world.ids["public"]
    with lagging_indexes():
        new = world.admin.make_image(name="new", visibility="public")
        lagging = stranger.listed()
        world.admin.delete(world.path("public"))
        after = stranger.listed()

    assert (lagging, after) == ([public], [])
    assert stranger.listed() == [new]


def test_the_promise_ends_with_the_lag_that_it_covers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`INDEX_LAG_SECONDS` after a change its hint is not read any more."""
    moment = clock.now()
    with lagging_indexes():
        new = world.producer.make_image(name="new")
        for seconds, listed in [(59, True), (61, False)]:
            later = moment + timedelta(seconds=seconds)
            monkeypatch.setattr(clock, "now", lambda later=later: later)
            assert (new in world.producer.listed()) is listed


def test_a_recent_change_is_removed_an_hour_after_its_promise(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By DynamoDB itself, which may take its time."""
    at(monkeypatch, "2026-11-28T10:00:00Z")
    producer.make_image()

    (change,) = (item for item in stored() if item["sk"]["S"].startswith("RECENT#"))
    seconds = int(change["expires_at"]["N"]) - int(clock.now().timestamp())
    assert seconds == settings.current.index_lag_seconds + 3_600


def test_thousands_of_offers_make_nobodys_list_dear(
    world: World, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its hints a list reads the newest few."""
    configure(monkeypatch, recent_changes_max=3)
    spammer = Actor(send, "spammer")
    counted = []

    with lagging_indexes():
        for number in range(6):
            spammer.share(spammer.make_image(name=f"spam {number}"), "consumer")
        with on(
            "after-call.dynamodb.Query",
            lambda parsed, **_: counted.append(parsed["ScannedCount"]),
        ):
            pending = world.consumer.listed("?visibility=shared&member_status=pending")

    assert max(counted) <= 3
    assert len(pending) == 1 + 1 + 3


def test_of_an_offer_that_was_withdrawn_only_the_membership_is_read(
    world: World, send: Send
) -> None:
    """A hint of another's offer is no reason to read its image, which may be large."""
    spammer = Actor(send, "spammer")
    pending = "?visibility=shared&member_status=pending"
    read: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        (wanted,) = params["RequestItems"].values()
        read.extend(key["pk"]["S"] for key in wanted["Keys"] if key["sk"]["S"] == IMAGE)

    with lagging_indexes():
        offered = [spammer.make_image() for _ in range(4)]
        for image_id in offered:
            spammer.share(image_id, "consumer")
        for image_id in offered[1:]:
            assert spammer.delete(f"/v2/images/{image_id}/members/consumer").status
        with on("provide-client-params.dynamodb.BatchGetItem", note):
            listed = world.consumer.listed(pending)
            of_offers = {
                image_id for image_id in offered if f"IMAGE#{image_id}" in read
            }
            read.clear()
            default = world.consumer.listed()

    assert of_offers == {offered[0]} == set(listed) & set(offered)
    assert not {f"IMAGE#{image_id}" for image_id in offered} & set(read)
    assert not set(offered) & set(default)


def test_the_oldest_image_offered_is_found_behind_500_newer_changes(
    world: World,
) -> None:
    """Its hint is older than all others, and its image is last in the list."""
    with lagging_indexes():
        world.producer.share(world.ids["plain"], "consumer")
        with Item.batch_write() as batch:
            for number in range(500):
                at_that_time = clock.now() + timedelta(milliseconds=number + 1)
                key = recent_key(
                    "consumer", "PENDING", at_that_time, ids.new_ordered_id()
                )
                batch.save(RecentChangeItem(*key, created_at=moment(at_that_time)))
        pages = world.consumer.pages("?visibility=shared&member_status=pending&limit=1")

    listed = [image_id for page in pages for image_id in page]
    assert listed == [world.ids[name] for name in ("own", "pending", "plain")]


def test_the_newest_recent_changes_are_read_page_by_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more than asked for, of one part of one project's list, of the last minute."""
    query_page, asked = dynamodb.query_page, []

    def query_two(*args: Any, limit: int, **options: Any) -> Any:
        asked.append(limit)
        return query_page(*args, limit=min(limit, 2), **options)

    monkeypatch.setattr(recent_changes, "query_page", query_two)
    moments = [clock.now() - timedelta(seconds=number) for number in range(1, 6)]
    changes = [("me", "PENDING", one, ids.new_id()) for one in moments]
    others = [
        ("me", "OWNED", moments[0], ids.new_id()),
        ("another", "PENDING", moments[0], ids.new_id()),
        ("me", "PENDING", clock.now() - timedelta(seconds=61), ids.new_id()),
    ]
    with Item.batch_write() as batch:
        for change in [*changes, *others]:
            key = recent_key(*change)
            batch.save(RecentChangeItem(*key, created_at=moment(clock.now())))

    def recent(limit: int | None = None) -> list[str]:
        asked.clear()
        places = recent_changes.query_recent("me", "PENDING", limit)
        return [place.partition("#")[2] for place in places]

    newest = [image_id for *_, image_id in changes]
    assert (recent(4), asked) == (newest[:4], [4, 2])
    assert (recent(), len(asked)) == (newest, 3)
    configure(monkeypatch, recent_changes_max=2)
    assert (recent(), asked) == (newest[:2], [2])
