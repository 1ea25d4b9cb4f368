"""Offer rules, who knows whom, and the copies of memberships, as the table has them."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.offer_rules import ANYONE, Effect
from chalicelib.domain.profiles import Profile
from chalicelib.errors import LimitExceeded
from chalicelib.store import copies, dynamodb, images, members, offer_rules, profiles
from chalicelib.store.items import MemberItem
from chalicelib.store.keys import member_key
from tests.aws_faults import recording
from tests.scene import at
from tests.store.scene import (
    ID,
    LATER,
    NOW,
    OTHER,
    PRODUCER,
    TIME,
    change,
    kept,
    load,
    share,
    unshare,
)

ACCEPT, MUTE = Effect.ACCEPT, Effect.MUTE
SET = datetime.fromisoformat(NOW)
MOMENT = timedelta(microseconds=1)


def set_rules(rules: dict[str, Effect]) -> list[bool]:
    """Set rules of the consumer; return of each whether that changed it."""
    return [
        offer_rules.set_rule("consumer", producer, effect, OTHER)
        for producer, effect in rules.items()
    ]


def test_all_rules_of_a_project_are_read_page_by_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no other item of it, nor a rule of another project."""
    rules = {"a": ACCEPT, "b#c": MUTE, ANYONE: ACCEPT}
    set_rules(rules)
    offer_rules.set_rule("other", "d", MUTE, OTHER)
    profiles.set_profile("consumer", None, Profile("Consumer", TIME), OTHER)
    one_at_a_time = partial(dynamodb.query_page, limit=1)
    monkeypatch.setattr(offer_rules, "query_page", one_at_a_time)

    with recording() as calls:
        read = offer_rules.query_rules("consumer")
        assert read == offer_rules.query_rules("consumer", strongly=True)

    strongly = [body.get("ConsistentRead", False) for _, body in calls]
    half = len(strongly) // 2
    assert rules == read
    assert strongly == [False] * half + [True] * half


def test_a_rule_is_written_where_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most as many as a project may have; one that is there can change."""
    monkeypatch.setattr(offer_rules, "RULES_MAX", 2)

    assert set_rules({"a": ACCEPT, "b": ACCEPT}) == [True, True]
    assert set_rules({"a": ACCEPT, "b": MUTE}) == [False, True]
    with pytest.raises(LimitExceeded, match="2"):
        set_rules({"c": ACCEPT})
    with recording() as calls:
        offer_rules.set_rule("consumer", "a", ACCEPT, OTHER)
    assert [body["ConsistentRead"] for _, body in calls] == [True]
    assert offer_rules.query_rules("consumer") == {"a": ACCEPT, "b": MUTE}


@pytest.mark.parametrize(
    ("rules", "offered_at", "expected"),
    [
        ({}, SET, False),
        ({"producer": ACCEPT}, SET, True),
        ({"producer": ACCEPT}, SET + MOMENT, True),
        ({"producer": ACCEPT}, SET - MOMENT, False),
        ({"producer": MUTE}, SET, False),
        ({ANYONE: ACCEPT}, SET, True),
        ({ANYONE: ACCEPT, "producer": MUTE}, SET, False),
        ({ANYONE: MUTE, "producer": ACCEPT}, SET, True),
        ({ANYONE: MUTE}, SET, False),
        ({"another": ACCEPT}, SET, False),
    ],
)
def test_a_producers_own_rule_comes_before_that_of_all_others(
    rules: dict[str, Effect],
    offered_at: datetime,
    expected: bool,  # noqa: FBT001 - a row
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It accepts what was offered after it was set."""
    at(monkeypatch, NOW)
    set_rules(rules)

    with recording() as calls:
        accepted = offer_rules.accepts_offer("consumer", "producer", offered_at)

    assert accepted is expected
    (request,) = calls[0][1]["RequestItems"].values()
    assert (len(calls), request["ConsistentRead"]) == (1, True)


def test_a_rule_of_anyone_by_that_name_is_read_once() -> None:
    """DynamoDB refuses to read a key twice in one call."""
    set_rules({ANYONE: ACCEPT})

    later = datetime.now(TIME.tzinfo) + timedelta(hours=1)
    assert offer_rules.accepts_offer("consumer", ANYONE, later)


def test_a_producer_knows_who_published_a_profile_or_answered_it() -> None:
    """A profile that is not published shows nothing, even of one that answered."""
    shown = Profile("Shown", TIME, published=True)
    profiles.set_profile("published", None, shown, OTHER)
    profiles.set_profile("both", None, shown, OTHER)
    profiles.set_profile("quiet", None, Profile("Quiet", TIME), OTHER)
    profiles.set_profile("quiet-answered", None, Profile("Quiet", TIME), OTHER)
    for project in ("answered", "quiet-answered", "both"):
        profiles.note_answer("producer", project)
    profiles.note_answer("another", "none")
    projects = ["published", "both", "quiet", "quiet-answered", "answered", "none"]

    with recording() as calls:
        known = profiles.load_known("producer", projects)

    assert known == {
        "published": shown,
        "both": shown,
        "quiet-answered": None,
        "answered": None,
    }
    (request,) = calls[0][1]["RequestItems"].values()
    assert (len(calls), request["ConsistentRead"]) == (1, False)


def copied(*projects: str) -> list[tuple[Any, ...]]:
    """Return the name and the version that memberships have copied."""
    rows = [MemberItem.get(*member_key(ID, project)) for project in projects]
    return [(row.name, row.image_version) for row in rows]


@pytest.mark.usefixtures("image")
def test_a_job_copies_to_the_next_memberships(monkeypatch: pytest.MonkeyPatch) -> None:
    """It returns after which the next one goes on, or that none is left."""
    monkeypatch.setattr(copies, "COPIES_AT_ONCE", 3)
    share("A", "b", "c", "d")
    change(name="new")

    with recording() as calls:
        assert copies.update_copies(ID) == "c"
    assert copied("A", "b", "c", "d") == [("new", 2)] * 3 + [("ubuntu", 1)]
    query, read = (body for operation, body in calls if operation != "UpdateItem")
    assert query["ConsistentRead"]
    assert read["RequestItems"][MemberItem.Meta.table_name]["ConsistentRead"]

    change(name="newer")
    assert copies.update_copies(ID, "c") is None
    assert copied("A", "b", "c", "d") == [("new", 2)] * 3 + [("newer", 3)]


@pytest.mark.usefixtures("image")
def test_a_copy_has_no_name_where_the_image_has_none() -> None:
    """And the image's owner, with the membership's place under it."""
    share("a")
    change(name=None, os_hidden=True, owner="heir")
    before = [item for item in kept() if item["sk"]["S"] == "MEMBER#a"]
    assert copies.update_copies(ID) is None

    (expected,) = before
    expected.pop("name")
    (found,) = [item for item in kept() if item["sk"]["S"] == "MEMBER#a"]
    assert found == expected | {
        "os_hidden": {"BOOL": True},
        "owner": {"S": "heir"},
        "group_pk": {"S": "OWNER#heir"},
        "image_version": {"N": "2"},
    }


@pytest.mark.usefixtures("image")
def test_nothing_is_written_that_is_no_newer() -> None:
    """Nor for an image that was deleted."""
    share("a")
    with recording() as calls:
        copies.update_copies(ID)
    assert "UpdateItem" not in [operation for operation, _ in calls]

    change(name="new")
    images.delete_image(load()[0], PRODUCER)
    assert copies.update_copies(ID) is None
    assert copies.update_copies("6b1f") is None
    assert copied("a") == [("ubuntu", 1)]


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("version", [None, 1, 2, 3])
def test_a_newer_copy_stays(
    version: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the row had when the job read it."""
    share("a")
    change(name="new")
    item = MemberItem(*member_key(ID, "a"))

    def come_first(call: Any) -> Any:
        attribute = MemberItem.image_version
        action = attribute.remove() if version is None else attribute.set(version)
        item.update(actions=[action, MemberItem.name.set("first")])
        return dynamodb.with_retries(call)

    monkeypatch.setattr(copies, "with_retries", come_first)
    copies.update_copies(ID)

    newer = version is not None and version >= 2
    assert copied("a") == [("first", version) if newer else ("new", 2)]


@pytest.mark.usefixtures("image")
def test_a_copy_is_none_of_the_next_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was made meanwhile copied the image itself."""
    share("a")
    change(name="new")

    def come_first(call: Any) -> Any:
        monkeypatch.undo()
        at(monkeypatch, LATER)
        unshare("a")
        image, _ = load()
        members.add_member(image._replace(), "a", OTHER)
        older = MemberItem.image_version.set(1)
        MemberItem(*member_key(ID, "a")).update(actions=[older])
        return dynamodb.with_retries(call)

    monkeypatch.setattr(copies, "with_retries", come_first)
    copies.update_copies(ID)

    assert copied("a") == [("new", 1)]
