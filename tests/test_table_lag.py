"""What a project was promised holds while eventually consistent reads are late.

The promises: read-your-writes, revocation at once, hidden = absent. In each test, a
read that does not ask for strong consistency gets the table from before the change.
"""

from typing import Any

import pytest

from chalicelib.store import copies as copy_store
from chalicelib.store import dynamodb
from chalicelib.store import uploads as upload_store
from chalicelib.store.items import MemberItem
from chalicelib.store.keys import image_key, member_key
from tests.actors import Actor
from tests.aws_faults import recording
from tests.lagging import lagging_table

CONTENT = b"an image"
ACCEPTED = "?visibility=shared&member_status=accepted"
IMPORT = {"method": {"name": "glance-direct"}}


@pytest.fixture
def accepted_id(producer: Actor, consumer: Actor) -> str:
    """An image with data that the consumer accepted."""
    image_id = producer.make_image(
        name="old", disk_format="raw", container_format="bare"
    )
    assert producer.upload(image_id, CONTENT).status == 204
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    return image_id


def change(producer: Actor, image_id: str, attribute: str, value: str) -> None:
    """Change an attribute of an image."""
    operation = {"op": "replace", "path": f"/{attribute}", "value": value}
    assert producer.patch(f"/v2/images/{image_id}", [operation]).status == 200


def seen(actor: Actor, image_id: str) -> list[Any]:
    """Return what a project gets of an image: show, data, its membership, its lists."""
    path = f"/v2/images/{image_id}"
    return [
        actor.get(path).status,
        actor.download(image_id).status,
        actor.get(f"{path}/members/{actor.project}").status,
        *(actor.listed(query) for query in ("", ACCEPTED, "?name=old")),
    ]


def members_of(actor: Actor, image_id: str) -> list[str]:
    """Return the ids of an image's members."""
    members = actor.get(f"/v2/images/{image_id}/members").document["members"]
    return [member["member_id"] for member in members]


def test_an_eventually_consistent_read_lags(producer: Actor, image_id: str) -> None:
    """A read gets the change only if it asks for strong consistency."""
    pk, sk = image_key(image_id)
    path = {"pk": {"S": pk}, "sk": {"S": sk}}
    client = dynamodb.connection.connection.client
    table = dynamodb.connection.table_name

    def names(*, strong: bool) -> list[str]:
        batch = {table: {"Keys": [path], "ConsistentRead": strong}}
        query = client.query(
            TableName=table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": path["pk"]},
            ConsistentRead=strong,
        )
        items = [
            client.get_item(TableName=table, Key=path, ConsistentRead=strong)["Item"],
            *client.batch_get_item(RequestItems=batch)["Responses"][table],
            *query["Items"],
        ]
        return [item["name"]["S"] for item in items]

    with lagging_table():
        change(producer, image_id, "name", "new")
        assert names(strong=True) == ["new"] * 3
        assert names(strong=False) == ["ubuntu"] * 3


def test_a_show_after_a_patch_has_the_new_name(producer: Actor, image_id: str) -> None:
    """Read-your-writes, for an image and for the list of one's own."""
    with lagging_table():
        change(producer, image_id, "name", "new")
        shown = producer.get(f"/v2/images/{image_id}").document["name"]
        listed = producer.get("/v2/images").document["images"]

    assert (shown, [image["name"] for image in listed]) == ("new", ["new"])


def test_a_list_shows_what_was_just_created(producer: Actor) -> None:
    """Read-your-writes, for a list: its indexes lag, its hints do not."""
    with lagging_table():
        new = producer.make_image(name="new")
        assert producer.listed() == [new]


def test_a_removed_member_sees_nothing_at_once(
    producer: Actor, consumer: Actor, accepted_id: str
) -> None:
    """Revocation at once: no show, no data, no membership, in no list."""
    lists = [[accepted_id]] * 3
    with lagging_table():
        assert seen(consumer, accepted_id) == [200, 200, 200, *lists]
        path = f"/v2/images/{accepted_id}/members/consumer"
        assert producer.delete(path).status == 204
        assert seen(consumer, accepted_id) == [404, 404, 404, [], [], []]
        assert members_of(producer, accepted_id) == []


def test_a_hidden_image_is_absent_at_once(
    producer: Actor, consumer: Actor, accepted_id: str
) -> None:
    """Hidden = absent: a private image is as one that never was, for its members."""
    with lagging_table():
        change(producer, accepted_id, "visibility", "private")
        assert seen(consumer, accepted_id) == [404, 404, 404, [], [], []]


def test_a_member_list_shows_who_was_just_added(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Read-your-writes; the new member sees the image, and is offered it, at once."""
    pending = "?visibility=shared&member_status=pending"
    with lagging_table():
        producer.share(image_id, "consumer")
        assert members_of(producer, image_id) == ["consumer"]
        assert consumer.get(f"/v2/images/{image_id}").status == 200
        assert consumer.listed(pending) == [image_id]


def test_a_task_list_shows_what_just_began(producer: Actor) -> None:
    """Read-your-writes, for the owner; and the worker finds the upload it is sent."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    assert producer.upload(image_id, CONTENT, "stage").status == 204
    with lagging_table():
        assert producer.post(f"/v2/images/{image_id}/import", IMPORT).status == 202
        tasks = producer.get(f"/v2/images/{image_id}/tasks").document["tasks"]
        (upload,) = upload_store.list_uploads(image_id)
        loaded = upload_store.load_upload(image_id, upload.id)

    assert [task["image_id"] for task in tasks] == [image_id]
    assert loaded == upload


def test_a_new_membership_is_not_missed_by_the_copies(
    producer: Actor, image_id: str
) -> None:
    """A name that changes just after the offer comes to the membership's row."""
    with lagging_table():
        producer.share(image_id, "consumer")
        change(producer, image_id, "name", "new")
        copy_store.update_copies(image_id)
        row = MemberItem.get(*member_key(image_id, "consumer"), consistent_read=True)

    assert row.name == "new"


def test_no_read_of_the_table_is_eventually_consistent(
    producer: Actor, consumer: Actor, accepted_id: str
) -> None:
    """Only the indexes are read so, which DynamoDB offers no other way."""
    with recording() as calls:
        assert seen(consumer, accepted_id)[0] == 200
        members_of(producer, accepted_id)
        producer.get(f"/v2/images/{accepted_id}/tasks")
        producer.listed()

    reads = [
        request
        for operation, body in calls
        if operation in {"BatchGetItem", "GetItem", "Query"} and "IndexName" not in body
        for request in body.get("RequestItems", {"": body}).values()
    ]
    assert reads
    assert all(request.get("ConsistentRead") for request in reads)
