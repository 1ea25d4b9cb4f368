"""The consumer stopped anywhere, and records that it cannot take."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from chalicelib import settings
from chalicelib.background import stream
from infra.local.mended_moto import take_records
from infra.local.worker import Pump, _record
from tests.actors import Actor
from tests.events.stream import Mapping, Records, hooked, number, sending, stopping_at


@pytest.fixture(autouse=True)
def _bus(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pump
    bus = replace(settings.current, event_bus="default")
    monkeypatch.setattr(settings, "current", bus)


@pytest.fixture
def story(producer: Actor, consumer: Actor, table: str) -> Records:
    """The records of two images' lives, as the stream has them."""
    for name in ("one", "two"):
        image_id = producer.make_image(
            name=name, disk_format="raw", container_format="bare"
        )
        producer.share(image_id, "consumer")
        consumer.answer(image_id, "accepted")
        producer.upload(image_id, b"data")
    producer.delete(f"/v2/images/{image_id}")
    return [_record(one) for one in take_records(table)]


def by_image(sent: list[Any]) -> dict[str, list[Any]]:
    """Give the events of each image in order, each once: the first time it was sent."""
    known: dict[str, list[Any]] = {}
    for event in sent:
        events = known.setdefault(event["image_id"], [])
        if event not in events:
            events.append(event)
    return known


def test_no_stop_loses_an_event_or_its_place(story: Records) -> None:
    """Stopped between any two of its steps, the consumer goes on where it must.

    Duplicates are the same to the letter, and so have the same id.
    """
    with sending() as sent, stopping_at(0) as steps:
        Mapping().follow(story)
    undisturbed, many = by_image(sent), len(steps)
    assert sum(map(len, undisturbed.values())) == len(sent) == 9
    assert many > 20

    for step in range(1, many + 1):
        mapping = Mapping()
        with sending() as sent, stopping_at(step):
            mapping.follow(story)

        assert by_image(sent) == undisturbed
        assert mapping.aside == []
        ids = {one["id"] for one in sent}
        assert len(ids) == 9
        sequences = [
            [int(one["sequence"]) for one in some] for some in undisturbed.values()
        ]
        assert all(some == sorted(some) for some in sequences)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_record_that_cannot_be_taken_is_set_aside_alone(
    batch_size: int, story: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before and after it are not lost, and keep their order."""
    poison = {number(story[0]), number(story[4]), number(story[-1])}

    def refuse(record: Any) -> None:
        if record.sequence_number in poison:
            raise ValueError(record.sequence_number)

    mapping = Mapping(batch_size=batch_size)
    with sending() as sent:
        Mapping().follow(story)
    wanted = [one for one in sent if one["sequence"] not in poison]
    handlers = (refuse, *stream.HANDLERS)
    monkeypatch.setattr(stream, "HANDLERS", handlers)
    with sending() as sent:
        mapping.follow(story)

    assert set(mapping.aside) == poison
    assert len(mapping.aside) == len(poison)
    assert by_image(sent) == by_image(wanted)


def test_what_the_bus_does_not_take_is_tried_again(story: Records) -> None:
    """Also where it answers, but not for the event."""
    turns = count()

    def refuse(parsed: Any, **_: Any) -> None:
        if next(turns) in (0, 3, 4):
            parsed["FailedEntryCount"] = 1
            parsed["Entries"] = [{"ErrorCode": "InternalFailure"}]

    mapping = Mapping()
    with sending() as sent, hooked("after-call.events.PutEvents", refuse):
        mapping.follow(story)

    assert mapping.aside == []
    assert mapping.runs > 3
    assert len({one["id"] for one in sent}) == 9
