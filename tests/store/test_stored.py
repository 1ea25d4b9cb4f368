"""What stands in the table after each write: all of it, as later versions read it."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Visibility
from chalicelib.domain.members import ImageAndMembership, MemberStatus
from chalicelib.domain.offer_rules import Effect
from chalicelib.domain.profiles import Profile
from chalicelib.domain.uploads import Upload, UploadState
from chalicelib.store import images, members, notes, offer_rules, profiles
from chalicelib.store.dynamodb import change_by, delete_items, get_item
from chalicelib.store.items import image_item, upload_item
from chalicelib.store.keys import Key, image_key, member_key, note_key
from chalicelib.store.mapping import Raw
from tests.aws_faults import Refusal, on, stored
from tests.scene import at
from tests.store.scene import (
    ADMIN,
    ID,
    IMAGE,
    LATER,
    NOW,
    OTHER,
    PRODUCER,
    TIME,
    kept,
    load,
)

PLACE = f"2026-11-24T08:00:00.000001Z#{ID}"
BY_PRODUCER = {
    "project_id": "producer",
    "user_id": "alice",
    "request_id": "req-1",
    "at": NOW,
}
IN_SHARE = BY_PRODUCER | {"owner": "producer"}
STORED_IMAGE = {
    "pk": f"IMAGE#{ID}",
    "sk": "IMAGE",
    "project_pk": "PROJECT#producer",
    "project_sk": f"SHARED#{PLACE}",
    "group_pk": "VISIBILITY#shared",
    "group_sk": PLACE,
    "changed": BY_PRODUCER,
    "image_id": ID,
    "owner": "producer",
    "name": "ubuntu",
    "visibility": "shared",
    "status": "queued",
    "protected": False,
    "os_hidden": False,
    "min_disk": "0",
    "min_ram": "0",
    "tags": [],
    "properties": {"k": "v"},
    "member_count": "0",
    "version": "1",
    "created_at": "2026-11-24T08:00:00.000001Z",
    "updated_at": "2026-11-24T08:00:00.000001Z",
}
STORED_MEMBER = {
    "pk": f"IMAGE#{ID}",
    "sk": "MEMBER#consumer",
    "project_pk": "PROJECT#consumer",
    "project_sk": f"PENDING#{PLACE}",
    "group_pk": "OWNER#producer",
    "group_sk": f"consumer#{ID}",
    "changed": IN_SHARE,
    "image_id": ID,
    "member_id": "consumer",
    "status": "pending",
    "created_at": NOW,
    "updated_at": NOW,
    "owner": "producer",
    "name": "ubuntu",
    "os_hidden": False,
    "image_version": "1",
    "offered_at": "1795510800000002",
}
STORED_NOTE = {
    "pk": f"NOTES#{ID}",
    "sk": "NOTE#consumer",
    "changed": IN_SHARE,
    "image_id": ID,
    "member_id": "consumer",
    "owner": "producer",
    "text": "hello",
    "offered_at": NOW,
}
DOCUMENTS = ("changed", "properties")


def row(key: Key) -> dict[str, Any] | None:
    """Return an item without its attributes' types, and with its documents parsed."""
    raw = get_item(key)
    if raw is None:
        return None
    plain = {name: value for name, typed in raw.items() for value in typed.values()}
    return plain | {
        name: json.loads(plain[name]) for name in DOCUMENTS if name in plain
    }


@pytest.mark.usefixtures("image")
def test_each_step_of_a_share_leaves_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a new image to an ended membership and a tombstone."""
    keys = image_key(ID), member_key(ID, "consumer"), note_key(ID, "consumer")
    assert row(keys[0]) == STORED_IMAGE
    (member,) = members.add_members(load()[0], {"consumer": "hello"}, PRODUCER)
    shared = STORED_IMAGE | {"member_count": "1"}
    assert [row(key) for key in keys] == [shared, STORED_MEMBER, STORED_NOTE]

    at(monkeypatch, LATER)
    by_consumer = {
        "project_id": "other",
        "user_id": "bob",
        "request_id": "req-2",
        "at": LATER,
    }
    answer = members.set_member_status(
        load()[0], member, MemberStatus.ACCEPTED, OTHER, unanswered=True
    )
    assert answer == load()[1]
    assert row(keys[1]) == STORED_MEMBER | {
        "status": "accepted",
        "project_sk": f"ACCEPTED#{PLACE}",
        "updated_at": LATER,
        "changed": by_consumer | {"owner": "producer"},
    }
    notes.set_note(load()[0], member, None, OTHER)
    removed = STORED_NOTE | {"changed": by_consumer | {"owner": "producer"}}
    removed.pop("text")
    assert row(keys[2]) == removed

    members.leave_image(load()[0], answer, OTHER)
    assert [row(key) for key in keys] == [
        STORED_IMAGE
        | {
            "changed": by_consumer
            | {"removed_member": "consumer", "removed_status": "accepted"}
        },
        None,
        removed,
    ]
    images.delete_image(load()[0], OTHER)
    tombstone = {
        "pk": f"IMAGE#{ID}",
        "sk": "IMAGE",
        "deleted": True,
        "changed": by_consumer,
    }
    unswept = {"project_pk": "DELETED", "project_sk": f"{LATER}#{ID}"}
    assert row(keys[0]) == tombstone | unswept
    assert images.is_unswept(ID)
    at(monkeypatch, NOW)
    images.touch_tombstone(ID)
    assert row(keys[0]) == tombstone | unswept | {"project_sk": f"{NOW}#{ID}"}
    images.finish_deletion(ID)
    assert row(keys[0]) == tombstone


@pytest.mark.parametrize(
    ("image_id", "member_id", "expected"),
    [
        (ID, "consumer", [image_key(ID), member_key(ID, "consumer")]),
        (ID, "", [image_key(ID)]),
        (ID, "x" * 2000, [image_key(ID)]),
        ("6b1f", "consumer", []),
    ],
)
def test_only_what_can_be_a_key_is_read(
    image_id: str, member_id: str, expected: list[Key]
) -> None:
    """What cannot be one is absent, as what is not there."""
    assert expected == images.keys_of(image_id, member_id)
    absent = ImageAndMembership(image_id, member_id, None, None)
    assert absent == images.load_image(image_id, member_id)


@pytest.mark.usefixtures("image")
def test_what_a_deleted_image_leaves_is_removed() -> None:
    """Its members and its notes, but not its tombstone, nor anything of another one."""
    other = IMAGE._replace(id=ID.replace("6", "7"))
    images.create_image(other, PRODUCER)
    for image in (IMAGE, other):
        members.add_members(image, {"a": "hello", "b": None}, PRODUCER)
    images.delete_image(load()[0], PRODUCER)
    before = kept()

    images.delete_members(ID)

    assert len(before) == 8
    left = [raw for raw in before if other.id in raw["pk"]["S"] or "deleted" in raw]
    assert left == kept()


def test_deleted_images_are_swept_in_the_order_of_their_deletion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those deleted before a time, after the place where a sweep ended."""
    ids = [f"{ID[:-1]}{number}" for number in (3, 1, 2)]
    for hour, image_id in enumerate(ids):
        images.create_image(IMAGE._replace(id=image_id), PRODUCER)
        at(monkeypatch, f"2026-11-24T0{hour}:00:00Z")
        images.delete_image(IMAGE._replace(id=image_id), PRODUCER)
    until = datetime.fromisoformat("2026-11-24T02:00:00Z")
    places = [f"2026-11-24T0{hour}:00:00.000000Z#{one}" for hour, one in enumerate(ids)]
    expected = list(zip(places, ids, strict=True))

    assert list(images.query_deleted(until, "")) == expected[:2]
    assert list(images.query_deleted(until, places[0])) == expected[1:2]


COMMUNITY, PUBLIC = Visibility.COMMUNITY, Visibility.PUBLIC


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    "steps",
    [
        [{"name": None}, {"name": "new"}],
        [{"visibility": PUBLIC}, {"name": "new"}, {"name": None}],
        [{"visibility": PUBLIC}, {"visibility": COMMUNITY}, {"owner": "other"}],
        [{"visibility": PUBLIC}, {"visibility": Visibility.PRIVATE, "name": "new"}],
        [{"visibility": Visibility.PRIVATE}, {"visibility": Visibility.SHARED}],
        [{"visibility": PUBLIC, "name": None}, {"visibility": COMMUNITY}],
        [{"tags": ("a",), "properties": {}, "os_hidden": True}, {"tags": ()}],
        [{"size": 3, "checksum": "c"}, {"size": None, "min_ram": 1}],
    ],
)
def test_an_update_leaves_what_a_create_of_the_result_would(
    steps: list[dict[str, Any]],
) -> None:
    """The image's places in the indexes go along; only an image that has one."""
    for fields in steps:
        before, _ = load()
        after = images.update_image(before, before._replace(**fields), PRODUCER)
        created = image_item(after)
        created.changed = change_by(PRODUCER)

        assert after.version == before.version + 1
        assert (after, None) == load()
        assert kept() == [created.serialize()]


@pytest.mark.usefixtures("image")
def test_an_update_that_changes_nothing_is_no_new_version() -> None:
    """It was updated all the same."""
    before, _ = load()
    after = images.update_image(before, before, OTHER)

    updated = {"updated_at": NOW, "changed": BY_PRODUCER}
    assert (after, None) == load()
    assert after.version == before.version
    assert row(image_key(ID)) == STORED_IMAGE | updated | {"changed": change_by(OTHER)}


def test_only_what_differs_is_written() -> None:
    """The id, the time of creation and the number of members never are."""
    other = IMAGE._replace(id="other", member_count=9, created_at=TIME.replace(hour=9))

    assert images.image_actions(IMAGE, IMAGE) == []
    assert images.image_actions(IMAGE, other) == []
    assert len(images.image_actions(IMAGE, IMAGE._replace(name="new"))) == 1


def hints() -> list[Key]:
    """Return the keys of the recent changes."""
    keys = [(item["pk"]["S"], item["sk"]["S"]) for item in stored()]
    return [key for key in keys if key[1].startswith("RECENT#")]


OWN, ADMINS = (f"PROJECT#{project}" for project in ("producer", "operators"))


@pytest.mark.parametrize(
    ("fields", "caller", "expected"),
    [
        (None, PRODUCER, [OWN]),
        (None, ADMIN, [ADMINS, OWN]),
        ({"name": "new"}, PRODUCER, [OWN]),
        ({"name": "new"}, ADMIN, [ADMINS, OWN]),
        ({"os_hidden": True}, PRODUCER, [OWN]),
        ({"visibility": PUBLIC}, PRODUCER, [OWN]),
        ({"owner": "heir"}, PRODUCER, ["PROJECT#heir"]),
        ({"min_ram": 9}, ADMIN, []),
    ],
)
def test_what_moves_an_image_in_lists_is_recorded(
    fields: dict[str, Any] | None, caller: Caller, expected: list[str]
) -> None:
    """For the owner's lists, and those of an administrator who changes it."""
    if fields is None:
        images.create_image(IMAGE, caller)
    else:
        images.create_image(IMAGE, PRODUCER)
        delete_items(hints())
        before, _ = load()
        images.update_image(before, before._replace(**fields), caller)

    assert expected == [partition for partition, _ in hints()]
    assert {sort.split("#")[1] for _, sort in hints()} <= {"OWNED"}


@pytest.mark.usefixtures("image")
def test_an_offer_and_its_answer_are_recorded_for_the_consumer() -> None:
    """Each in the part of its list that the membership then stands in."""
    (member,) = members.add_members(load()[0], {"consumer": None}, PRODUCER)
    members.set_member_status(load()[0], member, MemberStatus.REJECTED, PRODUCER)

    parts = [sort.split("#")[1] for key, sort in hints() if key == "PROJECT#consumer"]
    assert parts == ["PENDING", "REJECTED"]


def refuse_hints(params: Any, **_: Any) -> Any:
    """Refuse to store a recent change."""
    return Refusal("Refused").response if b"RECENT#" in params["body"] else None


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    "write",
    [
        lambda i, _: images.create_image(i._replace(id="9c27"), PRODUCER),
        lambda i, _: images.update_image(i, i._replace(name="new"), PRODUCER),
        lambda i, _: members.add_member(i, "new", PRODUCER),
        lambda i, m: members.set_member_status(i, m, MemberStatus.ACCEPTED, PRODUCER),
    ],
    ids=["create", "update", "add", "answer"],
)
def test_a_recent_change_that_is_lost_is_told_with_its_request(
    write: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It spoils no write."""
    (member,) = members.add_members(load()[0], {"consumer": None}, OTHER)
    before = hints()

    with on("before-call.dynamodb.PutItem", refuse_hints):
        write(load()[0], member)

    assert before == hints()
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.startswith("req-1: A recent change of the list of ")


def test_a_projects_own_items_are_stored_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its profile, a rule, and whose offers it answered; a removed rule expires."""
    at(monkeypatch, NOW)
    profile = Profile("Producer", TIME, contact="a@example.org", published=True)
    profiles.set_profile("producer", None, profile, PRODUCER)
    assert offer_rules.set_rule("producer", "*", Effect.MUTE, PRODUCER)
    profiles.note_answer("producer", "consumer")

    pk = {"pk": "PROJECT#producer"}
    assert [row((item["pk"]["S"], item["sk"]["S"])) for item in stored()] == [
        pk | {"sk": "ANSWERED#consumer"},
        pk
        | {
            "sk": "PROFILE",
            "display_name": "Producer",
            "contact": "a@example.org",
            "published": True,
            "verified": False,
            "updated_at": "2026-11-24T08:00:00.000001Z",
            "changed": BY_PRODUCER,
        },
        pk
        | {
            "sk": "RULE#*",
            "producer_id": "*",
            "effect": "mute",
            "changed": BY_PRODUCER,
        },
    ]
    profiles.delete_profile("producer")
    offer_rules.delete_rule("producer", "*", PRODUCER)
    assert [row((item["pk"]["S"], item["sk"]["S"])) for item in stored()] == [
        pk | {"sk": "ANSWERED#consumer"},
        pk
        | {
            "sk": "RULE#*",
            "producer_id": "*",
            "effect": "ask",
            "changed": BY_PRODUCER,
            "expires_at": "1795597200",
        },
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (UploadState.OPEN, {"project_pk": "OPEN", "project_sk": f"{NOW}#9c27"}),
        (
            UploadState.PENDING,
            {"project_pk": "UNFINISHED", "project_sk": f"{NOW}#9c27"},
        ),
        (UploadState.SUCCESS, {"expires_at": "1795683600"}),
    ],
)
def test_an_upload_stands_in_an_index_until_it_is_over(
    state: UploadState, expected: dict[str, str]
) -> None:
    """By when it was last touched; then it expires after some days."""
    upload = Upload(
        id="9c27",
        image_id=ID,
        method="glance-direct",
        state=state,
        project_id="producer",
        user_id="alice",
        request_id="req-1",
        created_at=TIME,
        updated_at=datetime.fromisoformat(NOW),
    )
    raw: Raw = upload_item(upload).serialize()

    places = {"project_pk", "project_sk", "expires_at"} & raw.keys()
    assert {name: next(iter(raw[name].values())) for name in places} == expected
    assert (raw["pk"], raw["sk"]) == ({"S": f"UPLOAD#{ID}"}, {"S": "9c27"})
