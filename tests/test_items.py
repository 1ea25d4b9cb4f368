"""What items say of themselves besides what the API shows."""

import json
from typing import Any

import pytest

from chalicelib import clock, settings
from chalicelib.store import dynamodb
from chalicelib.store.keys import image_key
from tests.actors import Actor, Response, Send
from tests.aws_faults import stored, truth
from tests.scene import CONTENT, at
from tests.writes import add_member, remove_member, set_attribute

NOW = "2026-11-24T08:00:00.000000Z"
USERS = {"producer": "alice", "consumer": "bob", "operators": "carol"}


def changes() -> dict[str, Any]:
    """
    Return what each image and membership says of its last change, by its sort key.
    """
    return {item["sk"]["S"]: json.loads(item["changed"]["S"]) for item in truth()}


def made_by(response: Response, project: str, **more: str) -> dict[str, str]:
    """Return what the change of a request, at NOW, is to say."""
    return {
        "project_id": project,
        "user_id": USERS[project],
        "request_id": response.headers["x-openstack-request-id"],
        "at": NOW,
        **more,
    }


def test_an_item_says_who_changed_it_last(
    send: Send, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image also of a membership that ended, which cannot say it any more."""
    at(monkeypatch, NOW)
    producer, consumer, admin = (
        Actor(send, project, "admin" if user == "carol" else "member", user)
        for project, user in USERS.items()
    )
    path = f"/v2/images/{image_id}"

    added = add_member(producer, image_id, "consumer")
    assert changes() == {
        "IMAGE": made_by(added, "producer"),
        "MEMBER#consumer": made_by(added, "producer", owner="producer"),
    }
    answered = consumer.put(f"{path}/members/consumer", {"status": "accepted"})
    expected = made_by(answered, "consumer", owner="producer")
    assert changes()["MEMBER#consumer"] == expected
    renamed = set_attribute(admin, image_id, "name", "new")
    assert changes()["IMAGE"] == made_by(renamed, "operators")
    removed = remove_member(producer, image_id, "consumer")
    ended = {"removed_member": "consumer", "removed_status": "accepted"}
    last = made_by(removed, "producer", **ended)
    assert changes() == {"IMAGE": last}
    deleted = producer.delete(path)
    assert changes() == {"IMAGE": made_by(deleted, "producer")}


def test_a_hint_outlives_what_it_is_for_by_an_hour(
    image_id: str, monkeypatch: pytest.MonkeyPatch, producer: Actor
) -> None:
    """Then DynamoDB may remove it; nothing else has an end."""
    at(monkeypatch, NOW)
    set_attribute(producer, image_id, "name", "new")

    lag = settings.current.index_lag_seconds
    ends = [int(item["expires_at"]["N"]) for item in stored() if "expires_at" in item]
    assert int(clock.now().timestamp()) + lag + 3600 in ends
    assert not any("expires_at" in item for item in truth())


def test_what_a_later_version_stored_is_read(producer: Actor) -> None:
    """Old code and new code share the table for a while."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.upload(image_id, CONTENT, "stage")
    pk, sk = image_key(image_id)
    (image,) = [item for item in truth() if item["sk"]["S"] == sk]
    staged = json.dumps(json.loads(image["staged"]["S"]) | {"later": 1})
    dynamodb.connection.connection.client.update_item(
        TableName=dynamodb.connection.table_name,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET staged = :staged, later = :staged",
        ExpressionAttributeValues={":staged": {"S": staged}},
    )

    method = {"method": {"name": "glance-direct"}}
    assert producer.post(f"/v2/images/{image_id}/import", method).status == 202
    assert producer.download(image_id).body == CONTENT
