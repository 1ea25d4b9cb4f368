"""Each change is one event, which says who did what to what, and never a secret."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chalicelib import settings
from chalicelib.background import events
from infra.local.worker import Pump
from tests.actors import Actor, Send
from tests.events.stream import sending

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/events.schema.json").read_text("utf-8")
)


@pytest.fixture(autouse=True)
def sent(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was sent: each event as it went to the bus, in order."""
    assert pump
    bus = replace(settings.current, event_bus="default")
    monkeypatch.setattr(settings, "current", bus)
    with sending() as events_sent:
        yield events_sent
    for event in events_sent:
        jsonschema.validate(event, SCHEMA)


def told(sent: list[Any]) -> list[tuple[str, str | None, str]]:
    """Give of each event its type, its member and its actor."""
    return [(one["type"], one["member_id"], one["actor"]["project_id"]) for one in sent]


def test_a_share_is_told_from_its_offer_to_its_end(
    producer: Actor, consumer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """By whom each step was made; the image's counting of its members is no event."""
    image_id = producer.make_image(name="ubuntu")
    producer.share(image_id, "consumer")
    consumer.answer(image_id, "accepted")
    consumer.answer(image_id, "accepted")
    removed = producer.delete(f"/v2/images/{image_id}/members/consumer")
    producer.delete(f"/v2/images/{image_id}")
    pump.settle()

    assert told(sent) == [
        ("image.created", None, "producer"),
        ("member.added", "consumer", "producer"),
        ("member.status_changed", "consumer", "consumer"),
        ("member.updated", "consumer", "consumer"),
        ("member.removed", "consumer", "producer"),
        ("image.deleted", None, "producer"),
    ]
    assert {(one["image_id"], one["producer_id"]) for one in sent} == {
        (image_id, "producer")
    }
    end = sent[4]
    assert end["request_id"] == removed.headers["x-openstack-request-id"]
    assert end["before"] == {
        "image_id": image_id,
        "member_id": "consumer",
        "status": "accepted",
    }
    answered = sent[2]
    assert (answered["before"]["status"], answered["after"]["status"]) == (
        "pending",
        "accepted",
    )


def test_a_change_of_an_image_is_told_with_what_it_was(
    send: Send, pump: Pump, sent: list[Any]
) -> None:
    """An administrator's transfer is told of the new owner."""
    producer = Actor(send, "producer")
    admin = Actor(send, "operators", "admin", "carol")
    image_id = producer.make_image(name="old", tags=["lts"])
    path = f"/v2/images/{image_id}"
    producer.patch(path, [{"op": "replace", "path": "/name", "value": "new"}])
    admin.patch(path, [{"op": "replace", "path": "/owner", "value": "other"}])
    pump.settle()

    _, renamed, moved = sent
    assert (renamed["type"], moved["type"]) == ("image.updated", "image.updated")
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("old", "new")
    assert renamed["after"]["tags"] == ["lts"]
    assert moved["actor"] == {"project_id": "operators", "user_id": "carol"}
    assert (moved["before"]["owner"], moved["after"]["owner"]) == ("producer", "other")
    assert moved["producer_id"] == "other"


def test_the_ways_of_an_images_data_are_told(
    producer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """Its activation, and that an administrator or its owner stopped its downloads."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.upload(image_id, b"data")
    producer.post(f"/v2/images/{image_id}/actions/deactivate")
    producer.post(f"/v2/images/{image_id}/actions/reactivate")
    pump.settle()

    assert [one["type"] for one in sent] == [
        "image.created",
        "image.activated",
        "image.deactivated",
        "image.activated",
    ]


def test_the_source_of_an_import_is_told_nowhere(
    producer: Actor, pump: Pump, sent: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while it runs nor when it failed: its URL may hold a password."""
    caplog.set_level("INFO", "cloud-images.events")
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    method = {"name": "web-download", "uri": "https://u:hunter2@127.0.0.1/disk"}
    answer = producer.post(f"/v2/images/{image_id}/import", {"method": method})
    pump.settle()

    assert answer.status in (202, 400)
    assert sent
    assert "hunter2" not in json.dumps(sent)
    lines = [
        json.loads(one.message)
        for one in caplog.records
        if one.name == "cloud-images.events"
    ]
    assert [one["id"] for one in lines] == [one["id"] for one in sent]
    assert {one["image_id"] for one in lines} == {image_id}


def test_an_event_too_large_leaves_out_tags_and_properties(
    producer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """And says so; all else of it is there."""
    image_id = producer.make_image(name="large", a="x" * 150_000)
    producer.patch(
        f"/v2/images/{image_id}", [{"op": "replace", "path": "/name", "value": "new"}]
    )
    pump.settle()

    created, updated = sent
    assert (created["complete"], updated["complete"]) == (True, False)
    assert len(json.dumps(updated)) < events.DETAIL_BYTES_MAX
    assert updated["after"]["name"] == "new"
    assert not {"tags", "properties"} & set(updated["after"])


def test_what_no_project_did_makes_no_event(
    producer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """The members of a deleted image go without one each."""
    image_id = producer.make_image()
    producer.share(image_id, "a", "b", "c")
    producer.delete(f"/v2/images/{image_id}")
    pump.settle()

    assert [one["type"] for one in sent] == [
        "image.created",
        *(["member.added"] * 3),
        "image.deleted",
    ]
