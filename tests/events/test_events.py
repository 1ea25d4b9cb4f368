"""Each change is one event, with its actor and its subject, and without secrets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chalicelib.background import events
from infra.local.worker import Pump
from tests.actors import Actor, Send
from tests.configuring import configure
from tests.events.stream import sending

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/events.schema.json").read_text("utf-8")
)


@pytest.fixture(autouse=True)
def sent(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The events that were put on the bus, in order; each is of the schema."""
    assert pump
    configure(monkeypatch, event_bus="default")
    with sending() as events_sent:
        yield events_sent
    for event in events_sent:
        jsonschema.validate(event, SCHEMA)


def summary(sent: list[Any]) -> list[tuple[str, str | None, str]]:
    """Return the type, the member and the actor of each event."""
    return [
        (event["type"], event["member_id"], event["actor"]["project_id"])
        for event in sent
    ]


def test_each_step_of_a_share_is_an_event(
    producer: Actor, consumer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """It has the step's actor; an update of the member count is no event."""
    image_id = producer.make_image(name="ubuntu")
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    consumer.set_status(image_id, "accepted")
    removed = producer.delete(f"/v2/images/{image_id}/members/consumer")
    producer.delete(f"/v2/images/{image_id}")
    pump.drain()

    assert summary(sent) == [
        ("image.created", None, "producer"),
        ("member.added", "consumer", "producer"),
        ("member.status_changed", "consumer", "consumer"),
        ("member.removed", "consumer", "producer"),
        ("image.deleted", None, "producer"),
    ]
    assert {(event["image_id"], event["producer_id"]) for event in sent} == {
        (image_id, "producer")
    }
    end = sent[3]
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


def test_an_update_of_an_image_has_its_old_document(
    send: Send, pump: Pump, sent: list[Any]
) -> None:
    """After a transfer by an administrator, the producer is the new owner."""
    producer = Actor(send, "producer")
    admin = Actor(send, "operators", "admin", "carol")
    image_id = producer.make_image(name="old", tags=["lts"])
    path = f"/v2/images/{image_id}"
    producer.patch(path, [{"op": "replace", "path": "/name", "value": "new"}])
    admin.patch(path, [{"op": "replace", "path": "/owner", "value": "other"}])
    pump.drain()

    _, renamed, moved = sent
    assert (renamed["type"], moved["type"]) == ("image.updated", "image.updated")
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("old", "new")
    assert renamed["after"]["tags"] == ["lts"]
    assert moved["actor"] == {"project_id": "operators", "user_id": "carol"}
    assert (moved["before"]["owner"], moved["after"]["owner"]) == ("producer", "other")
    assert moved["producer_id"] == "other"


def test_each_change_of_a_note_is_an_event(
    producer: Actor, image_id: str, pump: Pump, sent: list[Any]
) -> None:
    """Its removal as well; that which follows from the membership's end is none."""
    share = f"/ext/v1/outgoing/{image_id}/consumer"
    for note in ("hello", "hi", None, None, "again"):
        producer.put(share, {"note": note})
    shown = producer.get(share.rpartition("/")[0]).document["members"][0]["note"]
    producer.delete(share)
    pump.drain()

    notes = [
        tuple(one[side] and one[side]["note"] for side in ("before", "after"))
        for one in sent
        if one["type"] == "member.terms_changed"
    ]
    assert shown == "again"
    assert notes == [(None, "hello"), ("hello", "hi"), ("hi", None), (None, "again")]
    assert summary(sent)[-1] == ("member.removed", "consumer", "producer")


def test_a_note_of_an_earlier_owner_or_offer_is_in_no_event_of_the_next(
    producer: Actor, admin: Actor, image_id: str, pump: Pump, sent: list[Any]
) -> None:
    """It stays for a while, hidden from the API as well."""
    share = f"/ext/v1/outgoing/{image_id}/consumer"
    heir = Actor(producer.send, "other")
    producer.put(share, {"note": "of one offer"})
    producer.delete(share)
    producer.put(share, {"note": "of one owner"})
    admin.patch(
        f"/v2/images/{image_id}",
        [{"op": "replace", "path": "/owner", "value": "other"}],
    )
    heir.put(share, {"note": "of the next"})
    pump.drain()

    notes = [
        (one["producer_id"], one["before"], one["after"]["note"])
        for one in sent
        if one["type"] == "member.terms_changed"
    ]
    assert notes == [
        ("producer", None, "of one offer"),
        ("producer", None, "of one owner"),
        ("other", None, "of the next"),
    ]


def test_activation_and_deactivation_are_events(
    producer: Actor, pump: Pump, sent: list[Any]
) -> None:
    """An upload of data activates an image; actions deactivate and reactivate it."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.upload(image_id, b"data")
    producer.post(f"/v2/images/{image_id}/actions/deactivate")
    producer.post(f"/v2/images/{image_id}/actions/reactivate")
    pump.drain()

    assert [event["type"] for event in sent] == [
        "image.created",
        "image.activated",
        "image.deactivated",
        "image.activated",
    ]


def test_no_event_and_no_log_line_has_the_source_of_an_import(
    producer: Actor, pump: Pump, sent: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while it runs nor after it failed: its URL may contain a password."""
    caplog.set_level("INFO", "cloud-images.events")
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    method = {"name": "web-download", "uri": "https://u:hunter2@127.0.0.1/disk"}
    response = producer.post(f"/v2/images/{image_id}/import", {"method": method})
    pump.drain()

    assert response.status in (202, 400)
    assert sent
    assert "hunter2" not in json.dumps(sent)
    lines = [
        json.loads(one.message)
        for one in caplog.records
        if one.name == "cloud-images.events"
    ]
    assert [one["id"] for one in lines] == [event["id"] for event in sent]
    assert {one["image_id"] for one in lines} == {image_id}


def test_an_event_that_is_too_large_omits_tags_and_properties(
    producer: Actor, pump: Pump, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is marked as incomplete, and has everything else."""
    configure(monkeypatch, property_bytes_max=200_000)
    image_id = producer.make_image(name="large", a="x" * 150_000)
    producer.patch(
        f"/v2/images/{image_id}", [{"op": "replace", "path": "/name", "value": "new"}]
    )
    pump.drain()

    created, updated = sent
    assert (created["complete"], updated["complete"]) == (True, False)
    assert len(json.dumps(updated)) < events.DETAIL_BYTES_MAX
    assert updated["after"]["name"] == "new"
    assert not {"tags", "properties"} & set(updated["after"])


def test_clean_up_makes_no_event(producer: Actor, pump: Pump, sent: list[Any]) -> None:
    """The removal of a deleted image's members is no event of its own."""
    image_id = producer.make_image()
    producer.share(image_id, "a", "b", "c")
    producer.delete(f"/v2/images/{image_id}")
    pump.drain()

    assert [event["type"] for event in sent] == [
        "image.created",
        *(["member.added"] * 3),
        "image.deleted",
    ]
