"""What memberships copy from their image: a name, `os_hidden` and an owner."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from chalicelib.background import copies
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image
from chalicelib.errors import StaleError
from chalicelib.store import copies as copy_store
from chalicelib.store import dynamodb, queue
from chalicelib.store import images as image_store
from chalicelib.store import members as member_store
from chalicelib.store.changes import recopied_image_of
from chalicelib.store.items import MemberItem
from chalicelib.store.keys import member_key
from infra.local.mended_moto import take_records
from infra.local.worker import Pump
from tests.actors import Actor
from tests.aws_faults import stored
from tests.configuring import configure
from tests.events.stream import sending
from tests.interleaving import Stage, stepping

COPIED = ("owner", "group_pk", "name", "os_hidden")
THOROUGH = pytest.mark.thorough


def row(image_id: str, member_id: str = "consumer") -> dict[str, Any]:
    """Return the item of a membership, without its attributes' types."""
    raw = dynamodb.get_item(member_key(image_id, member_id))
    assert raw is not None
    return {name: value for name, typed in raw.items() for value in typed.values()}


def change(actor: Actor, image_id: str, **fields: Any) -> None:
    """Change fields of an image."""
    operations = [
        {"op": "replace", "path": f"/{name}", "value": value}
        for name, value in fields.items()
    ]
    assert actor.patch(f"/v2/images/{image_id}", operations).status == 200


def copied(image_id: str, member_id: str = "consumer") -> list[Any]:
    """Return what a membership has copied, in the order of `COPIED`."""
    item = row(image_id, member_id)
    return [item.get(name) for name in COPIED]


def test_a_new_membership_copies_its_image(producer: Actor, image_id: str) -> None:
    """In the write that makes it."""
    producer.share(image_id, "consumer")

    assert copied(image_id) == ["producer", "OWNER#producer", "ubuntu", False]


def test_a_change_of_the_image_is_copied(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Its name, or none, and whether it is hidden."""
    producer.share(image_id, "consumer")
    change(producer, image_id, name="debian", os_hidden=True)
    pump.drain()
    renamed = copied(image_id)
    change(producer, image_id, name=None)
    pump.drain()

    assert renamed == ["producer", "OWNER#producer", "debian", True]
    assert copied(image_id) == ["producer", "OWNER#producer", None, True]


def test_a_rename_reaches_the_lists_of_members(
    producer: Actor, consumer: Actor, image_id: str, pump: Pump
) -> None:
    """A moment later; what a list shows is new at once, also in the owner's list."""
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    change(producer, image_id, name="debian")
    own = producer.listed("?name=debian")
    shown = consumer.get("/v2/images").document["images"][0]["name"]
    pump.drain()

    assert (own, shown) == ([image_id], "debian")
    assert consumer.listed("?name=debian") == [image_id]
    assert consumer.listed("?name=ubuntu") == []


def test_a_copy_is_no_change_of_the_membership(
    producer: Actor,
    consumer: Actor,
    image_id: str,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It makes no event, and the membership was not updated by it."""
    configure(monkeypatch, event_bus="default")
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    pump.drain()
    before = row(image_id)
    with sending() as sent:
        change(producer, image_id, name="debian")
        pump.drain()
    after = row(image_id)

    different = {name for name in after if before.get(name) != after[name]}
    assert different == {"name", "image_version"}
    assert [event["type"] for event in sent] == ["image.updated"]


def test_an_image_that_is_given_away_takes_its_memberships_along(
    producer: Actor, admin: Actor, image_id: str, pump: Pump
) -> None:
    """In the index, they stand under their new owner."""
    producer.share(image_id, "consumer")
    change(admin, image_id, owner="other")
    pump.drain()

    assert copied(image_id) == ["other", "OWNER#other", "ubuntu", False]


def test_a_membership_without_copies_gets_its_place_under_the_owner(
    producer: Actor, image_id: str
) -> None:
    """One of an older version, which no list of shares has."""
    producer.share(image_id, "consumer")
    older = MemberItem(*member_key(image_id, "consumer"))
    places = (MemberItem.group_pk, MemberItem.group_sk, MemberItem.image_version)
    older.update(actions=[attribute.remove() for attribute in places])
    before = producer.get("/ext/v1/outgoing").document["memberships"]

    copy_store.update_copies(image_id)

    (share,) = producer.get("/ext/v1/outgoing").document["memberships"]
    assert (before, share["project_id"]) == ([], "consumer")


@pytest.mark.parametrize(
    "act",
    [
        lambda p, i: change(p, i, min_disk=3),
        lambda p, i: p.put(f"/v2/images/{i}/tags/lts"),
        lambda p, i: p.share(i, "other"),
        lambda p, i: p.delete(f"/v2/images/{i}"),
    ],
    ids=["patch", "tag", "share", "delete"],
)
def test_no_other_change_makes_a_job(
    producer: Actor, image_id: str, pump: Pump, act: Callable[..., Any]
) -> None:
    """Neither does a rename of an image that has no members."""
    change(producer, image_id, name="debian")
    pump.drain()
    producer.share(image_id, "consumer")
    pump.drain()
    with patch.object(queue, "send_copies") as send:
        act(producer, image_id)
        pump.drain()

    send.assert_not_called()


def test_a_job_has_500_memberships_at_most(image_id: str, table: str) -> None:
    """The next message goes on after them; each row is written once."""
    count = 2 * copy_store.COPIES_AT_ONCE + 1
    image = load(image_id)
    client = dynamodb.connection.connection.client
    for number in range(count):
        pk, sk = member_key(image_id, f"project-{number:04}")
        item = {
            "pk": {"S": pk},
            "sk": {"S": sk},
            "image_version": {"N": "-1"},
            "member_id": {"S": f"project-{number:04}"},
            "created_at": {"S": "-"},
        }
        client.put_item(TableName=table, Item=item)
    sent = [queue.CopyMessage(image_id, "", "producer")]
    written = []
    with (
        patch.object(queue, "send_copies", sent.append),
        patch.object(copy_store, "with_retries", lambda call: written.append(call())),
    ):
        for number, job in enumerate(sent):
            copies.update_copies(job)
            assert len(written) == min(count, 500 * (number + 1))

    after = ("", "project-0499", "project-0999")
    assert sent == [queue.CopyMessage(image_id, name, "producer") for name in after]
    assert copied(image_id, "project-1000")[2:] == [image.name, False]


def test_a_message_of_an_upload_is_read_as_before() -> None:
    """Messages of an older version may be on the queue while a new one starts."""
    job = queue.parse_message(json.dumps({"image_id": "i", "upload_id": "u"}))

    assert job == queue.UploadMessage("i", "u")


def load(image_id: str) -> Image:
    """Return an image as it is."""
    image = image_store.load_image(image_id, "").image
    assert image is not None
    return image


class Interleaving:
    """A share and renames of an image `a` at once, and two workers with their jobs."""

    def __init__(self, seed: int, table: str, image_id: str) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - the same each time
        self.table = table
        self.image_id = image_id
        self.jobs: list[str] = []
        self.stage = Stage(self.chance)

    def play(self) -> None:
        """Run all of them to their ends."""
        take_records(self.table)
        actors = {"rename": self._rename, "share": self._share}
        actors |= {"one": self._work, "two": self._work}
        with stepping(self.stage):
            self.stage.play(actors, self._follow)

    def _rename(self) -> None:
        for name in self.chance.choice([("b",), ("b", "c"), ("b", "a")]):
            image = load(self.image_id)
            image_store.update_image(image, image._replace(name=name), caller())

    def _share(self) -> None:
        self._add()
        if self.chance.random() < 0.3:
            loaded = image_store.load_image(self.image_id, "consumer")
            assert loaded.image
            assert loaded.membership
            member_store.remove_member(loaded.image, loaded.membership, caller())
            self._add()

    def _add(self) -> None:
        while True:
            with suppress(StaleError):
                member_store.add_member(load(self.image_id), "consumer", caller())
                return

    def _work(self) -> None:
        while self.jobs or {"rename", "share"} - self.stage.done:
            if self.jobs:
                copy_store.update_copies(self.jobs.pop())
            else:
                self.stage.wait()

    def _follow(self) -> None:
        for record in take_records(self.table):
            change = record["dynamodb"]
            changed = recopied_image_of(change.get("OldImage"), change.get("NewImage"))
            if changed:  # A message may arrive twice.
                self.jobs.extend([changed] * self.chance.choice([1, 1, 2]))


def caller() -> Caller:
    """Return the producer, as the caller of a request of its own."""
    return Caller("producer", "alice", Role.MEMBER, str(uuid4()))


@pytest.mark.parametrize(
    "first",
    [0, 100, *(pytest.param(one, marks=THOROUGH) for one in range(200, 1000, 100))],
)
@pytest.mark.usefixtures("pump")
def test_no_order_of_a_share_and_renames_leaves_a_wrong_name(
    first: int, image_id: str, table: str
) -> None:
    """1,000 orders, with renames there and back, shares again, and jobs run twice."""
    model = load(image_id)._replace(name="a")
    for seed in range(first, first + 100):
        image = model._replace(id=str(uuid4()))
        image_store.create_image(image, caller())
        Interleaving(seed, table, image.id).play()

        item = row(image.id)
        assert (seed, item["name"]) == (seed, load(image.id).name)
        assert int(item["image_version"]) <= load(image.id).version
        _empty(table)


def _empty(table: str) -> None:
    """Delete all items: moto copies every one in each transaction."""
    for item in stored():
        key = {"pk": item["pk"], "sk": item["sk"]}
        dynamodb.connection.connection.client.delete_item(TableName=table, Key=key)
