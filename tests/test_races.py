"""
Requests at once, second writers between a read and its write, and faults of AWS.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

import pytest

import app as service
from chalicelib import dynamo, environment
from infra.local.server import per_thread
from tests.actors import Actor, Answer, Send, in_process
from tests.aws_faults import (
    at_once,
    in_conflict,
    leaving_keys_unread,
    losing_answers,
    on,
    overloaded,
    second_writer,
    timing_out,
    truth,
)
from tests.scene import error


@pytest.fixture
def send() -> Send:
    """
    Call the Lambda handler in this process, from any thread.
    """
    per_thread(service.app)
    return in_process(service.app)


@pytest.fixture
def image_id(producer: Actor) -> str:
    """
    An image that is shared with nobody yet.
    """
    return producer.make_image(name="ubuntu")


def _statuses(answers: list[Answer]) -> dict[int, int]:
    return dict(Counter(answer.status for answer in answers))


def _members() -> list[str]:
    """
    Give the members in the table, and see that the one image has counted them right.
    """
    image, *memberships = truth()
    assert image["member_count"]["N"] == str(len(memberships))
    return [item["member_id"]["S"] for item in memberships]


def _add(actor: Actor, image_id: str, project: str) -> Answer:
    return actor.post(f"/v2/images/{image_id}/members", {"member": project})


def _remove(actor: Actor, image_id: str, project: str) -> Answer:
    return actor.delete(f"/v2/images/{image_id}/members/{project}")


def _accept(actor: Actor, image_id: str) -> Answer:
    path = f"/v2/images/{image_id}/members/{actor.project}"
    return actor.put(path, {"status": "accepted"})


def _set(actor: Actor, image_id: str, name: str, value: Any) -> Answer:
    operation = {"op": "add", "path": f"/{name}", "value": value}
    return actor.patch(f"/v2/images/{image_id}", [operation])


def test_one_of_many_who_add_the_same_member_wins(
    producer: Actor, image_id: str
) -> None:
    """
    Exactly one is told that it added it, and it is there once.
    """
    counts = [
        _statuses(at_once(*[partial(_add, producer, image_id, project)] * 8))
        for project in "abcd"
    ]

    assert counts == [{200: 1, 409: 7}] * 4
    assert list("abcd") == _members()


def test_the_quota_holds_under_concurrent_adds(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As many as the quota allows get in, and not one more.
    """
    few = replace(environment.settings, member_quota=5)
    monkeypatch.setattr(environment, "settings", few)

    answers = at_once(*[partial(_add, producer, image_id, f"p{n}") for n in range(12)])

    assert _statuses(answers) == {200: 5, 413: 7}
    assert len(_members()) == 5


def test_adding_and_removing_at_once_keep_the_count_right(
    producer: Actor, image_id: str
) -> None:
    """
    What was added and not removed is there, and the image counts it.
    """
    calls = [partial(do, producer, image_id, p) for p in "ab" for do in (_add, _remove)]

    told = Counter[int]()
    for _ in range(5):
        told += Counter(_statuses(at_once(*calls * 2)))

    assert told[200] - told[204] == len(_members())
    assert set(told) <= {200, 409, 204, 404}


def test_an_image_deleted_while_it_is_shared_leaves_only_its_tombstone(
    producer: Actor, image_id: str
) -> None:
    """
    Whoever was added just before is removed with it; who comes later finds nothing.
    """
    delete = partial(producer.delete, f"/v2/images/{image_id}")
    adds = [partial(_add, producer, image_id, f"p{n}") for n in range(7)]

    deleted, *added = at_once(delete, *adds)

    (tombstone,) = truth()
    assert tombstone["deleted"] == {"BOOL": True}
    assert deleted.status == 204
    assert set(_statuses(added)) <= {200, 404}


def test_fifty_projects_are_added_at_once(producer: Actor, image_id: str) -> None:
    """
    A share with many is not a conflict.
    """
    projects = [f"project-{number:02}" for number in range(50)]

    answers = at_once(*[partial(_add, producer, image_id, one) for one in projects])

    assert _statuses(answers) == {200: 50}
    assert projects == _members()


def test_no_tag_that_was_added_gets_lost(producer: Actor, image_id: str) -> None:
    """
    Of tags put at once, each is there whose request was told so.
    """
    path = f"/v2/images/{image_id}"

    answers = at_once(*[partial(producer.put, f"{path}/tags/{n}") for n in range(6)])

    added = {str(n) for n, answer in enumerate(answers) if answer.status == 204}
    assert added == set(producer.get(path).document["tags"])
    assert set(_statuses(answers)) <= {204, 409}


Act = Callable[[Actor, Actor, str], Answer]

PUT, UPDATE, TRANSACT = "PutItem", "UpdateItem", "TransactWriteItems"
WRITES: dict[str, tuple[str, Act]] = {
    "create image": (PUT, lambda p, _, __: p.post("/v2/images", {"name": "ubuntu"})),
    "rename image": (UPDATE, lambda p, _, i: _set(p, i, "name", "new")),
    "protect image": (UPDATE, lambda p, _, i: _set(p, i, "protected", value=True)),
    "unshare image": (UPDATE, lambda p, _, i: _set(p, i, "visibility", "private")),
    "transfer image": (
        UPDATE,
        lambda p, _, i: _set(p.using("admin"), i, "owner", "heir"),
    ),
    "remove property": (
        UPDATE,
        lambda p, _, i: p.patch(f"/v2/images/{i}", [{"op": "remove", "path": "/x"}]),
    ),
    "remove tag": (UPDATE, lambda p, _, i: p.delete(f"/v2/images/{i}/tags/lts")),
    "delete image": (PUT, lambda p, _, i: p.delete(f"/v2/images/{i}")),
    "add member": (TRANSACT, lambda p, _, i: _add(p, i, "new")),
    "remove member": (TRANSACT, lambda p, _, i: _remove(p, i, "consumer")),
    "set status": (UPDATE, lambda _, c, i: _accept(c, i)),
}
"""
Each write: the operation that does it, and how to ask for it.
"""

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
    ("add member", "delete image", NO_IMAGE, []),
    ("add member", "unshare image", UNSHARED, ["consumer"]),
    ("add member", "transfer image", NO_IMAGE, ["consumer"]),
    ("add member", "add member", TWICE, ["consumer", "new"]),
    ("remove member", "remove member", NO_MEMBER, []),
    ("remove member", "unshare image", UNSHARED, ["consumer"]),
    ("remove member", "delete image", NO_MEMBER, []),
    ("set status", "remove member", NO_MEMBER, []),
    ("set status", "delete image", NO_MEMBER, []),
    ("rename image", "delete image", NO_IMAGE, []),
    ("delete image", "delete image", NO_IMAGE, []),
    ("delete image", "rename image", DONE, []),
    ("delete image", "protect image", PROTECTED, ["consumer"]),
    ("delete image", "add member", DONE, []),
    ("delete image", "remove member", DONE, []),
]


def _shared_image(producer: Actor) -> str:
    image_id = producer.make_image(name="ubuntu", tags=["lts"], x="y")
    producer.share(image_id, "consumer")
    return image_id


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
    """
    Between the read and the write of a request another one comes first.
    """
    image_id = _shared_image(producer)
    operation, act = WRITES[late]
    _, other = WRITES[first]

    with second_writer(operation, partial(other, producer, consumer, image_id)) as done:
        answer = act(producer, consumer, image_id)

    assert done[0].status in (200, 204)
    document = json.loads(json.dumps(answer.document).replace(image_id, "{id}"))
    assert wanted == (answer.status, document)
    assert left == [item["member_id"]["S"] for item in truth()[1:]]


def test_a_change_made_meanwhile_is_kept(producer: Actor, image_id: str) -> None:
    """
    Of two patches at once neither undoes the other.
    """
    other = partial(_set, producer, image_id, "os_version", "24.04")
    with second_writer(UPDATE, other):
        late = _set(producer, image_id, "os_distro", "ubuntu")

    image = producer.get(f"/v2/images/{image_id}").document
    assert (200, image) == (late.status, late.document)
    assert (image["os_distro"], image["os_version"]) == ("ubuntu", "24.04")


def test_a_member_exchanged_while_an_image_is_deleted_is_removed(
    producer: Actor, image_id: str
) -> None:
    """
    As many members as before need not be the same ones.
    """
    producer.share(image_id, "old")
    looked = Event()

    def exchange() -> None:
        looked.wait(1)
        _remove(producer, image_id, "old")
        _add(producer, image_id, "new")

    with (
        on("after-call.dynamodb.Query", lambda **_: looked.set()),
        second_writer(PUT, exchange),
    ):
        deleted = producer.delete(f"/v2/images/{image_id}")

    assert deleted.status == 204
    assert [item["sk"]["S"] for item in truth()] == ["IMAGE"]


FAULTS: dict[str, Callable[[str], AbstractContextManager[None]]] = {
    "a conflict, twice": partial(in_conflict, times=2),
    "a lost answer": losing_answers,
}


def _outcome(act: Act, producer: Actor, consumer: Actor) -> str:
    """
    Give the answer to a write on a new image, and what it left, for any id.
    """
    image_id = _shared_image(producer)
    before = {str(item) for item in truth()}
    answer = act(producer, consumer, image_id)
    left = [item for item in truth() if str(item) not in before]
    text = json.dumps([answer.status, answer.document, left], indent=1)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", text)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", WRITES)
def test_a_disturbed_write_ends_as_if_it_was_not(
    write: str,
    fault: str,
    producer: Actor,
    consumer: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Its answer and what it leaves are the same: it was done, and once.
    """
    now = datetime(2026, 11, 24, 8, tzinfo=UTC)
    monkeypatch.setattr(environment, "now", lambda: now)
    operation, act = WRITES[write]
    undisturbed = _outcome(act, producer, consumer)

    def disturbed(producer: Actor, consumer: Actor, image_id: str) -> Answer:
        with FAULTS[fault](operation):
            return act(producer, consumer, image_id)

    assert undisturbed == _outcome(disturbed, producer, consumer)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_in_conflict_for_long_is_unavailable(
    write: str, producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    503 tells the client to come back, and nothing is changed.
    """
    monkeypatch.setattr(dynamo, "CONFLICT_SECONDS", 0.1)
    image_id = _shared_image(producer)
    before = truth()

    operation, act = WRITES[write]
    with in_conflict(operation):
        answer = act(producer, consumer, image_id)

    message = "The image is being changed by too many requests at once."
    wanted = error(503, "Service Unavailable", message)
    assert wanted == (answer.status, answer.document)
    assert answer.headers["retry-after"] == "1"
    assert before == truth()


@pytest.mark.parametrize("fault", [in_conflict, timing_out])
def test_a_lost_hint_spoils_nothing(
    fault: Callable[[str], AbstractContextManager[None]],
    producer: Actor,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A hint is never truth: the answer is that of the change.
    """
    monkeypatch.setattr(dynamo, "CONFLICT_SECONDS", 0.1)

    with fault(PUT):
        added = _add(producer, image_id, "consumer")

    assert added.status == 200
    assert _members() == ["consumer"]


def test_keys_left_unread_are_read(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """
    DynamoDB may answer a batch in parts; no image is missed for it.
    """
    producer.share(image_id, "consumer")
    whole = producer.get(f"/v2/images/{image_id}").document
    with leaving_keys_unread():
        shown = consumer.get(f"/v2/images/{image_id}")

    assert (200, whole) == (shown.status, shown.document)


def test_keys_left_unread_for_long_make_the_service_unavailable(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Read again with pauses, and not for ever.
    """
    monkeypatch.setattr(dynamo, "CONFLICT_SECONDS", 0.1)

    with leaving_keys_unread(times=None) as calls:
        shown = producer.get(f"/v2/images/{image_id}")

    assert shown.status == 503
    assert 1 < len(calls) < 20


def test_a_member_list_is_of_one_moment(
    producer: Actor, admin: Actor, image_id: str
) -> None:
    """
    An owner that gave the image away meanwhile does not see whom the heir added.
    """
    producer.share(image_id, "consumer")

    def transfer_and_share() -> None:
        _set(admin, image_id, "owner", "heir")
        Actor(producer.send, "heir").share(image_id, "secret")

    path = f"/v2/images/{image_id}/members"
    with second_writer("Query", transfer_and_share):
        given = producer.get(path)
    with second_writer("Query", partial(admin.delete, f"/v2/images/{image_id}")):
        deleted = Actor(producer.send, "heir").get(path)

    missing = error(404, "Not Found", f"No image found with ID {image_id}")
    assert missing == (given.status, given.document)
    assert missing == (deleted.status, deleted.document)


def test_an_answer_to_an_ended_share_is_none_to_the_next(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """
    A member that was removed and added again meanwhile has not answered yet.
    """
    producer.share(image_id, "consumer")

    def share_anew() -> None:
        _remove(producer, image_id, "consumer")
        producer.share(image_id, "consumer")

    with second_writer(UPDATE, share_anew):
        late = _accept(consumer, image_id)

    # It ran again from its read, and found the new one: then it is an answer to that.
    member = consumer.get(f"/v2/images/{image_id}/members/consumer").document
    assert (200, member) == (late.status, late.document)
    assert member["created_at"] <= member["updated_at"]


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (timing_out, "BatchGetItem"),
        (timing_out, "Query"),
        (timing_out, UPDATE),
        (overloaded, "BatchGetItem"),
        (overloaded, TRANSACT),
    ],
)
def test_a_database_that_cannot_answer_makes_the_service_unavailable(
    fault: Callable[[str], AbstractContextManager[None]],
    operation: str,
    producer: Actor,
    image_id: str,
) -> None:
    """
    503 tells the client to come back, and nothing is changed.
    """
    act = {
        "BatchGetItem": partial(producer.get, f"/v2/images/{image_id}"),
        "Query": partial(producer.get, f"/v2/images/{image_id}/members"),
        UPDATE: partial(_set, producer, image_id, "name", "new"),
        TRANSACT: partial(_add, producer, image_id, "consumer"),
    }[operation]
    before = truth()

    with fault(operation):
        answer = act()

    message = "The database cannot answer just now."
    wanted = error(503, "Service Unavailable", message)
    assert wanted == (answer.status, answer.document)
    assert answer.headers["retry-after"] == "1"
    assert before == truth()


@pytest.mark.parametrize("operation", ["BatchWriteItem", "Query"])
@pytest.mark.parametrize("fault", [timing_out, overloaded])
def test_members_left_over_do_not_bring_a_deleted_image_back(
    fault: Callable[[str], AbstractContextManager[None]],
    operation: str,
    producer: Actor,
    consumer: Actor,
    image_id: str,
) -> None:
    """
    The image is deleted, whatever becomes of its memberships, and nobody sees them.
    """
    producer.share(image_id, "consumer")
    _accept(consumer, image_id)

    with fault(operation):
        deleted = producer.delete(f"/v2/images/{image_id}")

    assert deleted.status == 204
    assert [item["sk"]["S"] for item in truth()] == ["IMAGE", "MEMBER#consumer"]
    assert consumer.listed() == []
    assert consumer.get(f"/v2/images/{image_id}").status == 404
    assert consumer.get(f"/v2/images/{image_id}/members").status == 404
