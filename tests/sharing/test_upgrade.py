"""The table of the code before the extension, and that code on a table of today."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.store import dynamodb
from infra.local.worker import Pump
from tests.actors import Actor
from tests.aws_faults import stored

BEFORE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "before_extension.json").read_text("utf-8")
)
"""What the code of commit 9e00d7e made of two images and their memberships."""

SHARED = "6b1f1a52-0000-4000-8000-000000000001"
DORMANT = "6b1f1a52-0000-4000-8000-000000000002"
EXT = "/ext/v1"


@pytest.fixture
def before(table: str) -> None:
    """Fill the table as the code before the extension did."""
    for item in BEFORE:
        dynamodb.connection.connection.client.put_item(TableName=table, Item=item)


def statuses(response: Any) -> list[tuple[str, str]]:
    """Return the image and the status of each membership of a list."""
    memberships = response.document["memberships"]
    return sorted((one["image_id"], one["status"]) for one in memberships)


@pytest.mark.usefixtures("before")
def test_both_sides_act_on_what_the_code_before_made(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """Nothing is missing but who knows whom: that begins with the next answer."""
    everything = [(SHARED, "accepted"), (DORMANT, "pending")]
    own = f"{EXT}/outgoing?member_id=consumer"
    offered = statuses(consumer.get(f"{EXT}/incoming?status=all"))
    shared = statuses(producer.get(own))
    dormant = producer.get(f"{EXT}/outgoing/{DORMANT}").document
    known = producer.get(f"{EXT}/recipients/consumer").document["known"]
    acts = [
        producer.put(f"{EXT}/outgoing/{SHARED}/consumer", {"note": "hello"}),
        consumer.put(f"{EXT}/incoming/{SHARED}", {"status": "pending"}),
        consumer.put(f"{EXT}/incoming/{SHARED}", {"status": "rejected"}),
        consumer.delete(f"{EXT}/incoming/{DORMANT}"),
        producer.delete(f"{EXT}/outgoing/{DORMANT}/other"),
    ]
    pump.drain()

    assert (offered, shared) == (everything, everything)
    assert (dormant["visibility"], len(dormant["members"])) == ("private", 2)
    assert [act.status for act in acts] == [200, 200, 200, 204, 204]
    assert statuses(producer.get(own)) == [(SHARED, "rejected")]
    assert known is False
    assert producer.get(f"{EXT}/recipients/consumer").document["known"] is True


def test_the_code_before_finds_what_it_made(
    producer: Actor, consumer: Actor, admin: Actor, image_id: str, pump: Pump
) -> None:
    """It reads an image's whole partition: the image and its members, as it wrote them.

    It reads nothing else by what a key begins with but recent changes and uploads.
    """
    producer.put(f"{EXT}/profile", {"display_name": "ACME", "published": True})
    admin.put(f"{EXT}/profiles/producer/verified", {"verified": True})
    consumer.put(f"{EXT}/rules/*", {"effect": "accept"})
    for member in ("consumer", "other"):
        producer.put(f"{EXT}/outgoing/{image_id}/{member}", {"note": "hello"})
    pump.drain()
    attributes = {one["sk"]["S"].partition("#")[0]: set(one) for one in BEFORE}
    items = [item for item in stored() if item["pk"]["S"].startswith("IMAGE#")]
    others = {item["sk"]["S"].partition("#")[0] for item in stored()} - set(attributes)

    assert len(items) == 3
    for item in items:
        assert set(item) == attributes[item["sk"]["S"].partition("#")[0]]
    assert others == {"NOTE", "PROFILE", "RULE", "ANSWERED", "RECENT"}
