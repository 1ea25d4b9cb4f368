"""The relation of sharing: what a producer and a consumer can rely on (S)."""

from typing import Any

import pytest

from tests.actors import Actor, Send
from tests.scene import at, error, make_active

PENDING = "?visibility=shared&member_status=pending"


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image of the producer's, shared with the consumer."""
    made = producer.make_image(name="ubuntu")
    producer.share(made, "consumer")
    return made


def members(actor: Actor, image_id: str) -> dict[str, str]:
    """Return the members that an actor sees, and their statuses."""
    document = actor.get(f"/v2/images/{image_id}/members").document
    return {one["member_id"]: one["status"] for one in document["members"]}


@pytest.mark.behaviour("S1", "S2", "S3")
def test_a_new_member_is_pending_and_may_show_the_image(
    consumer: Actor, producer: Actor
) -> None:
    """From the moment of the share on; its list does not hold the image yet."""
    image_id = producer.make_image(name="ubuntu")
    before = consumer.get(f"/v2/images/{image_id}").status
    producer.share(image_id, "consumer")

    shown = consumer.get(f"/v2/images/{image_id}")

    assert (before, shown.status) == (404, 200)
    assert members(consumer, image_id) == {"consumer": "pending"}
    assert consumer.listed() == []


@pytest.mark.behaviour("S4", "S5", "S6", "S19")
@pytest.mark.parametrize(
    "statuses",
    [
        ["accepted", "rejected", "pending", "accepted"],
        ["rejected", "accepted", "pending", "rejected"],
        ["pending", "rejected", "rejected", "accepted"],
    ],
)
def test_the_list_follows_each_status_at_once(
    statuses: list[str], producer: Actor, consumer: Actor, image_id: str
) -> None:
    """
    In any order; whatever its status, the consumer stays a member and may show it.
    """
    for status in statuses:
        consumer.set_status(image_id, status)

        listed = [image_id] if status == "accepted" else []
        assert listed == consumer.listed()
        assert consumer.get(f"/v2/images/{image_id}").status == 200
        assert {"consumer": status} == members(producer, image_id)


@pytest.mark.behaviour("S7")
def test_a_status_set_twice_is_a_success(
    consumer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the first change stays."""
    path = f"/v2/images/{image_id}/members/consumer"
    at(monkeypatch, "2026-11-24T08:00:00Z")
    consumer.set_status(image_id, "accepted")
    at(monkeypatch, "2026-11-24T09:00:00Z")
    again = consumer.put(path, {"status": "accepted"})

    assert (again.status, again.document["status"]) == (200, "accepted")
    assert again.document["updated_at"] == "2026-11-24T08:00:00Z"


@pytest.mark.behaviour("S8")
def test_pending_offers_are_found_beside_ones_own_shared_images(
    consumer: Actor, image_id: str
) -> None:
    """As the reference mixes them, newest first."""
    own = consumer.make_image(name="own")
    consumer.make_image(name="private", visibility="private")

    assert [own, image_id] == consumer.listed(PENDING)


@pytest.mark.behaviour("S9")
def test_a_list_is_filtered_by_the_callers_status(
    producer: Actor, consumer: Actor
) -> None:
    """`accepted` without a word; `all` are the shares of any status."""
    shares = {}
    for status in ("pending", "accepted", "rejected"):
        shares[status] = producer.make_image(name=status)
        producer.share(shares[status], "consumer")
        consumer.set_status(shares[status], status)

    listed = {
        status: consumer.listed(f"?visibility=shared&member_status={status}")
        for status in (*shares, "all")
    }

    one_each = {status: [image_id] for status, image_id in shares.items()}
    assert {**one_each, "all": list(shares.values())[::-1]} == listed
    assert [shares["accepted"]] == consumer.listed("?visibility=shared")
    refused = consumer.get("/v2/images?member_status=maybe")
    wanted = "member_status must be one of pending, accepted, rejected, all."
    assert error(400, "Bad Request", wanted) == (refused.status, refused.document)


@pytest.mark.behaviour("S10", "S11")
def test_a_producer_sees_every_status_and_a_member_its_own(
    send: Send, producer: Actor, consumer: Actor, image_id: str
) -> None:
    """So that the producer knows who has acted on the offer."""
    producer.share(image_id, "another")
    consumer.set_status(image_id, "rejected")

    another = Actor(send, "another")
    assert members(producer, image_id) == {"another": "pending", "consumer": "rejected"}
    assert members(consumer, image_id) == {"consumer": "rejected"}
    assert members(another, image_id) == {"another": "pending"}


@pytest.mark.behaviour("S12")
def test_a_producer_cannot_accept_for_a_consumer(
    producer: Actor, image_id: str
) -> None:
    """Its own status neither, if it made itself a member."""
    response = producer.put(
        f"/v2/images/{image_id}/members/consumer", {"status": "accepted"}
    )

    wanted = "The owner of an image may not update a member."
    assert error(403, "Forbidden", wanted) == (response.status, response.document)
    assert members(producer, image_id) == {"consumer": "pending"}


@pytest.mark.behaviour("S13", "S14")
def test_a_consumer_neither_adds_nor_removes_anybody(
    producer: Actor, consumer: Actor, stranger: Actor, image_id: str
) -> None:
    """A member gets 403; to another project the image does not exist."""
    producer.share(image_id, "another")
    path = f"/v2/images/{image_id}/members"

    statuses = {
        "member adds itself": consumer.post(path, {"member": "consumer"}).status,
        "member adds another": consumer.post(path, {"member": "friend"}).status,
        "member removes itself": consumer.delete(f"{path}/consumer").status,
        "member removes another": consumer.delete(f"{path}/another").status,
        "stranger adds itself": stranger.post(path, {"member": "stranger"}).status,
        "stranger removes a member": stranger.delete(f"{path}/consumer").status,
    }

    assert list(statuses.values()) == [403, 403, 403, 404, 404, 404], statuses
    assert list(members(producer, image_id)) == ["another", "consumer"]


@pytest.mark.behaviour("S15", "S16")
def test_a_removed_member_loses_the_image_at_once(
    send: Send, producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Another member notices nothing."""
    another = Actor(send, "another")
    producer.share(image_id, "another")
    for member in (consumer, another):
        member.set_status(image_id, "accepted")

    removed = producer.delete(f"/v2/images/{image_id}/members/consumer")

    assert removed.status == 204
    assert consumer.get(f"/v2/images/{image_id}").status == 404
    assert consumer.get(f"/v2/images/{image_id}/members").status == 404
    assert consumer.listed() == []
    assert another.listed() == [image_id]
    assert members(producer, image_id) == {"another": "accepted"}


@pytest.mark.behaviour("S17")
def test_sharing_is_from_project_to_project(send: Send, image_id: str) -> None:
    """Any user of the producer may share, any user of the consumer has the image."""

    def user(name: str, project: str) -> Actor:
        return Actor(send, project, user=name)

    user("another-of-us", "producer").share(image_id, "friend")
    user("first", "friend").set_status(image_id, "accepted")

    assert [image_id] == user("second", "friend").listed()
    assert [image_id] == user("reader", "friend").using("reader").listed()


@pytest.mark.behaviour("S18")
def test_a_share_is_no_copy(producer: Actor, consumer: Actor, image_id: str) -> None:
    """The consumer sees each change of the producer's, and its end."""
    consumer.set_status(image_id, "accepted")
    path = f"/v2/images/{image_id}"
    producer.patch(path, [{"op": "replace", "path": "/name", "value": "new"}])
    renamed = consumer.get(path).document
    producer.delete(path)

    assert renamed["name"] == "new"
    assert consumer.get(path).status == 404
    assert consumer.listed() == []


@pytest.mark.behaviour("S20")
def test_a_member_that_comes_back_is_a_new_one(
    producer: Actor, consumer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pending again, since now: a reminder of the offer."""
    consumer.set_status(image_id, "rejected")
    producer.delete(f"/v2/images/{image_id}/members/consumer")
    at(monkeypatch, "2031-01-01T00:00:00Z")
    producer.share(image_id, "consumer")

    member: Any = consumer.get(f"/v2/images/{image_id}/members/consumer").document
    assert member["status"] == "pending"
    assert member["created_at"] == "2031-01-01T00:00:00Z"
    assert [image_id] == consumer.listed(PENDING)


@pytest.mark.behaviour("S22")
def test_a_deactivated_image_is_shared_as_any_other(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Only its data cannot be had."""
    make_active(image_id)
    path = f"/v2/images/{image_id}"
    producer.post(f"{path}/actions/deactivate")
    producer.share(image_id, "friend")
    consumer.set_status(image_id, "accepted")
    patched = producer.patch(path, [{"op": "add", "path": "/name", "value": "new"}])

    assert (patched.status, patched.document["status"]) == (200, "deactivated")
    assert patched.document["stores"] == "file1"
    assert [image_id] == consumer.listed()
    assert members(producer, image_id) == {"consumer": "accepted", "friend": "pending"}


@pytest.mark.behaviour("S23")
def test_the_story_from_end_to_end(
    producer: Actor, consumer: Actor, stranger: Actor
) -> None:
    """Create, share, see the offer, accept, list, reject, put off, remove."""
    image_id = producer.make_image(name="golden")
    path = f"/v2/images/{image_id}"

    producer.share(image_id, "consumer")
    assert [image_id] == consumer.listed(PENDING)
    assert consumer.listed() == []
    consumer.set_status(image_id, "accepted")
    assert consumer.listed(PENDING) == []
    assert [image_id] == consumer.listed()
    consumer.set_status(image_id, "rejected")
    assert consumer.listed() == []
    consumer.set_status(image_id, "pending")
    assert [image_id] == consumer.listed(PENDING)
    assert stranger.get(path).status == 404
    producer.delete(f"{path}/members/consumer")
    assert consumer.get(path).status == 404
    assert consumer.listed("?visibility=shared&member_status=all") == []
