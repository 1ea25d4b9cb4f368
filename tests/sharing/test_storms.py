"""Calls of both sides at once, on DynamoDB Local; the whole table is compared after."""

from collections.abc import Callable
from functools import partial

import pytest

import app as service
from chalicelib.background import stream
from chalicelib.background.stream import Record
from infra.local.server import per_thread
from tests.actors import Actor, Response, Send, in_process
from tests.aws_faults import at_once, stored
from tests.configuring import configure

ROUNDS = 4
AT_ONCE = 16
"""How many calls of each kind: a storm has 32."""

pytestmark = [
    pytest.mark.java,
    pytest.mark.xdist_group("dynamodb-local-storms"),
    pytest.mark.usefixtures("on_dynamodb_local"),
]

Act = Callable[[], Response]


@pytest.fixture
def send() -> Send:
    """Call the Lambda handler in this process, from any thread."""
    per_thread(service.app)
    return in_process(service.app)


def check_table() -> dict[str, list[str]]:
    """Return each image's members; see that it counted them right.

    A membership stands under its member by its status, and under its image's owner.
    """
    items = stored()
    images = {
        item["pk"]["S"]: item
        for item in items
        if item["sk"]["S"] == "IMAGE" and "deleted" not in item
    }
    members: dict[str, list[str]] = {pk: [] for pk in images}
    for item in items:
        if item["sk"]["S"].startswith("MEMBER#"):
            image = images[item["pk"]["S"]]
            part = item["status"]["S"].upper()
            assert item["project_sk"]["S"].startswith(f"{part}#")
            assert item["group_pk"]["S"] == f"OWNER#{image['owner']['S']}"
            members[item["pk"]["S"]].append(item["member_id"]["S"])
    counts = {pk: int(image["member_count"]["N"]) for pk, image in images.items()}
    assert counts == {pk: len(held) for pk, held in members.items()}
    return members


def test_each_pair_of_conflicting_calls_leaves_a_sound_table(
    producer: Actor, consumer: Actor
) -> None:
    """In each round 32 calls at once: no answer but those of an order of them."""
    image_id = producer.make_image()
    incoming = f"/ext/v1/incoming/{image_id}"
    outgoing = f"/ext/v1/outgoing/{image_id}"
    share = partial(producer.put, f"{outgoing}/consumer")
    noted = partial(producer.put, f"{outgoing}/consumer", {"note": "hello"})
    old_share = partial(
        producer.post, f"/v2/images/{image_id}/members", {"member": "consumer"}
    )
    revoke = partial(producer.delete, f"{outgoing}/consumer")
    accept = partial(consumer.put, incoming, {"status": "accepted"})
    leave = partial(consumer.delete, incoming)

    def declare(*projects: str) -> Act:
        members = [{"project_id": one, "note": one} for one in projects]
        return partial(producer.put, outgoing, {"members": members})

    pairs: list[tuple[Act, Act]] = [
        (share, noted),
        (share, old_share),
        (accept, revoke),
        (accept, leave),
        (leave, share),
        (revoke, leave),
        (declare("consumer", "a"), declare("consumer", "b")),
    ]
    for first, second in pairs:
        for _ in range(ROUNDS):
            share()
            calls = [first] * AT_ONCE + [second] * AT_ONCE
            responses = at_once(*calls)
            statuses = {response.status for response in responses}
            assert statuses <= {200, 201, 204, 404, 409}, statuses
            check_table()


def test_bulk_shares_at_once_never_pass_the_quota(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pair has a result, and the image has as many members as it may."""
    configure(monkeypatch, member_quota=50)
    image_id = producer.make_image()

    def bulk(number: int) -> Act:
        projects = [f"project-{number}-{one}" for one in range(10)]
        body = {"action": "share", "images": [image_id], "projects": projects}
        return partial(producer.post, "/ext/v1/outgoing", body)

    responses = at_once(*[bulk(number) for number in range(AT_ONCE)])

    results = [one for response in responses for one in response.document["results"]]
    shared = {one["project_id"] for one in results if one["result"] == "shared"}
    (members,) = check_table().values()
    assert set(members) == shared
    assert len(members) <= 50
    assert {one.get("reason") for one in results} <= {
        None,
        "limit-exceeded",
        "conflict",
    }


@pytest.mark.parametrize("answer", ["accepted", "rejected", "pending"])
def test_a_rule_never_wins_over_the_consumers_own_answer(
    answer: str, producer: Actor, consumer: Actor
) -> None:
    """32 of rule and answer at once: what stays is the answer, if it is one."""
    consumer.put("/ext/v1/rules/producer", {"effect": "accept"})
    for _ in range(ROUNDS):
        image_id = producer.make_image()
        producer.share(image_id, "consumer")
        (item,) = (
            item
            for item in stored()
            if item["sk"]["S"] == "MEMBER#consumer"
            and item["pk"]["S"].endswith(image_id)
        )
        record = Record(None, item, "1")

        def rule(record: Record = record) -> Response:
            stream.accept_by_rule(record)
            return Response(200, {}, b"")

        own = partial(consumer.put, f"/ext/v1/incoming/{image_id}", {"status": answer})
        calls: list[Act] = [rule, own] * AT_ONCE
        at_once(*calls)

        status = consumer.get(f"/ext/v1/incoming/{image_id}").document["status"]
        # Pending on a pending offer is no answer; after the rule, it is one.
        allowed = {"accepted", "pending"} if answer == "pending" else {answer}
        assert status in allowed
    check_table()
