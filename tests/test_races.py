"""Requests at once, and second writers between a read and its write."""

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest

import app as service
from chalicelib.store import dynamodb
from infra.local.server import per_thread
from infra.local.worker import Pump
from tests.actors import Actor, Response, Send, in_process
from tests.aws_faults import (
    at_once,
    one_at_a_time,
    second_writer,
    truth,
)
from tests.configuring import configure
from tests.scene import at, error
from tests.writes import (
    TRANSACT,
    UPDATE,
    WRITES,
    accept,
    add_member,
    members,
    remove_member,
    set_attribute,
    shared_image,
)


@pytest.fixture
def send() -> Send:
    """Call the Lambda handler in this process, from any thread."""
    per_thread(service.app)
    return in_process(service.app)


def _statuses(responses: list[Response]) -> dict[int, int]:
    return dict(Counter(response.status for response in responses))


def test_one_of_many_who_add_the_same_member_wins(
    producer: Actor, image_id: str
) -> None:
    """Exactly one request succeeds in adding it, and it is there once."""
    counts = [
        _statuses(at_once(*[partial(add_member, producer, image_id, project)] * 8))
        for project in "abcd"
    ]

    assert counts == [{200: 1, 409: 7}] * 4
    assert list("abcd") == members()


def test_the_quota_holds_under_concurrent_adds(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the quota allows get in, and not one more."""
    configure(monkeypatch, member_quota=5)

    responses = at_once(
        *[partial(add_member, producer, image_id, f"p{n}") for n in range(12)]
    )

    assert _statuses(responses) == {200: 5, 413: 7}
    assert len(members()) == 5


def test_adding_and_removing_at_once_keep_the_count_right(
    producer: Actor, image_id: str
) -> None:
    """What was added and not removed is there, and the image counts it."""
    calls = [
        partial(do, producer, image_id, p)
        for p in "ab"
        for do in (add_member, remove_member)
    ]

    counts = Counter[int]()
    for _ in range(5):
        counts += Counter(_statuses(at_once(*calls * 2)))

    assert counts[200] - counts[204] == len(members())
    assert set(counts) <= {200, 409, 204, 404}


def test_an_image_deleted_while_it_is_shared_leaves_only_its_tombstone(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """
    A member added just before is removed after it; one added later gets 404.
    """
    delete = partial(producer.delete, f"/v2/images/{image_id}")
    adds = [partial(add_member, producer, image_id, f"p{n}") for n in range(7)]

    deleted, *added = at_once(delete, *adds)
    pump.drain()

    (tombstone,) = truth()
    assert tombstone["deleted"] == {"BOOL": True}
    assert deleted.status == 204
    assert set(_statuses(added)) <= {200, 404}


def test_fifty_projects_are_added_at_once(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share with many is not a conflict, although their transactions are."""
    # Nothing here is about how fast the machine is.
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 60)
    projects = [f"project-{number:02}" for number in range(50)]

    with one_at_a_time(TRANSACT) as refused:
        responses = at_once(
            *[partial(add_member, producer, image_id, one) for one in projects]
        )

    assert _statuses(responses) == {200: 50}
    assert projects == members()
    assert refused


def test_no_tag_that_was_added_gets_lost(producer: Actor, image_id: str) -> None:
    """Of tags put at once, each is there whose request succeeded."""
    path = f"/v2/images/{image_id}"

    responses = at_once(*[partial(producer.put, f"{path}/tags/{n}") for n in range(6)])

    added = {str(n) for n, response in enumerate(responses) if response.status == 204}
    assert added == set(producer.get(path).document["tags"])
    assert set(_statuses(responses)) <= {204, 409}


def test_tags_added_at_once_stay_within_their_bytes(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is judged by the image that it is written to, not by the one before it."""
    configure(monkeypatch, property_bytes_max=300)
    path = f"/v2/images/{producer.make_image()}"

    responses = at_once(
        *[partial(producer.put, f"{path}/tags/{str(n) * 100}") for n in range(6)]
    )
    late = [producer.put(f"{path}/tags/{str(n) * 100}").status for n in "6789"]

    assert len(producer.get(path).document["tags"]) == 3
    assert set(_statuses(responses)) <= {204, 409, 413}
    assert late[3] == 413


def begin_upload(actor: Actor, image_id: str) -> Response:
    """Begin a direct upload."""
    return actor.post(f"/ext/v1/images/{image_id}/uploads", {"size": 12})


def uploading(actor: Actor) -> int:
    """Return how many uploads of a project are counted as in progress."""
    quota = actor.get("/v2/info/usage").document["usage"]["image_count_uploading"]
    count: int = quota["usage"]
    return count


def test_uploads_that_begin_and_end_at_once_are_counted_exactly(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the quota allows begin; repeated writes count nothing twice."""
    configure(monkeypatch, image_count_uploading=3)
    formats = {"disk_format": "raw", "container_format": "bare"}
    ids = [producer.make_image(**formats) for _ in range(6)]

    responses = at_once(*[partial(begin_upload, producer, one) for one in ids])
    paths = [one.document["self"] for one in responses if one.status == 201]

    assert _statuses(responses) == {201: 3, 413: 3}
    assert uploading(producer) == 3
    ended = at_once(*[partial(producer.delete, path) for path in paths * 2])
    assert {204} <= set(_statuses(ended)) <= {204, 409}
    assert uploading(producer) == 0


DONE = (204, "")
NO_IMAGE = error(404, "Not Found", "No image found with ID {id}")
NO_MEMBER = error(
    404, "Not Found", "consumer not found in the member list of the image {id}."
)
TWICE = error(409, "Conflict", "Member new is duplicated for image {id}")
PROTECTED = error(403, "Forbidden", "Image {id} is protected and cannot be deleted.")
UNSHARED = error(403, "Forbidden", "Only shared images have members.")

RACES = [
    # the late one,  what is done meanwhile, what the late one gets, members left
    ("add member", "delete image", NO_IMAGE, ["consumer"]),
    ("add member", "unshare image", UNSHARED, ["consumer"]),
    ("add member", "transfer image", NO_IMAGE, ["consumer"]),
    ("add member", "add member", TWICE, ["consumer", "new"]),
    ("remove member", "remove member", NO_MEMBER, []),
    ("remove member", "unshare image", UNSHARED, ["consumer"]),
    ("remove member", "delete image", NO_MEMBER, ["consumer"]),
    ("set status", "remove member", NO_MEMBER, []),
    ("rename image", "delete image", NO_IMAGE, ["consumer"]),
    ("delete image", "delete image", NO_IMAGE, ["consumer"]),
    ("delete image", "rename image", DONE, ["consumer"]),
    ("delete image", "protect image", PROTECTED, ["consumer"]),
    ("delete image", "add member", DONE, ["consumer", "new"]),
    ("delete image", "remove member", DONE, []),
]


@pytest.mark.parametrize(("late", "first", "wanted", "left"), RACES)
def test_what_was_done_meanwhile_decides(  # noqa: PLR0913 - a row and two actors
    *,
    late: str,
    first: str,
    wanted: tuple[int, Any],
    left: list[str],
    producer: Actor,
    consumer: Actor,
) -> None:
    """Between the read and the write of a request another one comes first."""
    image_id = shared_image(producer)
    operation, act = WRITES[late]
    _, other = WRITES[first]

    with second_writer(operation, partial(other, producer, consumer, image_id)) as done:
        response = act(producer, consumer, image_id)

    assert done[0].status in (200, 204)
    document = json.loads(json.dumps(response.document).replace(image_id, "{id}"))
    assert wanted == (response.status, document)
    assert left == [item["member_id"]["S"] for item in truth()[1:]]


def test_a_status_set_while_an_image_is_deleted_does_nothing(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """
    The membership is there until the deletion's work is done; nobody sees it any more.
    """
    image_id = shared_image(producer)
    with second_writer(UPDATE, partial(producer.delete, f"/v2/images/{image_id}")):
        accept(consumer, image_id)

    assert consumer.get(f"/v2/images/{image_id}").status == 404
    assert consumer.listed() == []
    pump.drain()
    assert [item["sk"]["S"] for item in truth()] == ["IMAGE"]


def test_a_late_note_leaves_that_of_the_next_owner(
    producer: Actor, admin: Actor
) -> None:
    """Its writer no longer has the image, and gets what anybody else would get."""
    image_id = shared_image(producer)
    share = f"/ext/v1/outgoing/{image_id}/consumer"
    heir = Actor(producer.send, "heir")

    def give_away() -> Response:
        set_attribute(admin, image_id, "owner", "heir")
        return heir.put(share, {"note": "of the next"})

    with second_writer(TRANSACT, give_away) as done:
        late = producer.put(share, {"note": "late"})

    shown = heir.get(share.rpartition("/")[0]).document["members"][0]["note"]
    assert (done[0].status, late.status, shown) == (200, 404, "of the next")


def test_a_change_made_meanwhile_is_kept(producer: Actor, image_id: str) -> None:
    """Of two patches at once neither undoes the other."""
    other = partial(set_attribute, producer, image_id, "os_version", "24.04")
    with second_writer(UPDATE, other):
        late = set_attribute(producer, image_id, "os_distro", "ubuntu")

    image = producer.get(f"/v2/images/{image_id}").document
    assert (200, image) == (late.status, late.document)
    assert (image["os_distro"], image["os_version"]) == ("ubuntu", "24.04")


def test_a_member_list_is_of_one_moment(
    producer: Actor, admin: Actor, image_id: str
) -> None:
    """An owner that gave the image away meanwhile does not see whom the heir added."""
    producer.share(image_id, "consumer")

    def transfer_and_share() -> None:
        set_attribute(admin, image_id, "owner", "heir")
        Actor(producer.send, "heir").share(image_id, "secret")

    path = f"/v2/images/{image_id}/members"
    with second_writer("Query", transfer_and_share):
        given = producer.get(path)
    with second_writer("Query", partial(admin.delete, f"/v2/images/{image_id}")):
        deleted = Actor(producer.send, "heir").get(path)

    missing = error(404, "Not Found", f"No image found with ID {image_id}")
    assert missing == (given.status, given.document)
    assert missing == (deleted.status, deleted.document)


def test_what_is_there_already_can_be_added_by_many(
    producer: Actor, image_id: str
) -> None:
    """A change that changes nothing is in nobody's way."""
    path = f"/v2/images/{image_id}/tags/lts"
    producer.put(path)

    responses = at_once(*[partial(producer.put, path)] * 8)

    assert _statuses(responses) == {204: 8}


def test_an_answer_to_an_ended_share_is_none_to_the_next(
    producer: Actor, consumer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that was removed and added again meanwhile has not answered yet.

    The status is set again from its read, and finds the new one: then it returns that.
    """
    at(monkeypatch, "2026-11-24T08:00:00Z")
    producer.share(image_id, "consumer")

    def share_anew() -> None:
        at(monkeypatch, "2026-11-24T09:00:00Z")
        remove_member(producer, image_id, "consumer")
        producer.share(image_id, "consumer")

    with second_writer(UPDATE, share_anew):
        late = accept(consumer, image_id)

    member = consumer.get(f"/v2/images/{image_id}/members/consumer").document
    assert (200, member) == (late.status, late.document)
    assert [member["created_at"], member["updated_at"]] == ["2026-11-24T09:00:00Z"] * 2
