"""The stream's function: killed at any step, with bad records, read again."""

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
    """The records of two images from creation on; the second is deleted."""
    for name in ("one", "two"):
        image_id = producer.make_image(
            name=name, disk_format="raw", container_format="bare"
        )
        producer.share(image_id, "consumer")
        consumer.set_status(image_id, "accepted")
        producer.upload(image_id, b"data")
    producer.delete(f"/v2/images/{image_id}")
    return [_record(one) for one in take_records(table)]


def by_image(sent: list[Any]) -> dict[str, list[Any]]:
    """Return the events of each image in order, without duplicates."""
    known: dict[str, list[Any]] = {}
    for event in sent:
        events = known.setdefault(event["image_id"], [])
        if event not in events:
            events.append(event)
    return known


def test_a_function_killed_at_any_step_loses_no_event(story: Records) -> None:
    """Lambda retries, each image's events keep their order, duplicates are equal."""
    with sending() as sent, stopping_at(0) as steps:
        Mapping().follow(story)
    expected, step_count = by_image(sent), len(steps)
    assert sum(map(len, expected.values())) == len(sent) == 9
    assert step_count > 20

    for step in range(1, step_count + 1):
        mapping = Mapping()
        with sending() as sent, stopping_at(step):
            mapping.follow(story)

        assert by_image(sent) == expected
        assert mapping.aside == []
        ids = {event["id"] for event in sent}
        assert len(ids) == 9
        sequences = [
            [int(event["sequence"]) for event in events] for events in expected.values()
        ]
        assert all(numbers == sorted(numbers) for numbers in sequences)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_new_trigger_sends_the_same_events_again(
    batch_size: int, story: Records
) -> None:
    """It reads a day's records from the first: each event keeps its id and content."""
    with sending() as sent:
        Mapping().follow(story)

    with sending() as sent_again:
        Mapping(batch_size=batch_size).follow(story)

    assert len({event["id"] for event in sent}) == len(sent) == 9
    assert sent_again == sent


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_record_that_always_fails_is_set_aside_alone(
    batch_size: int, story: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events of the records around it are sent, in order."""
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


def test_an_event_that_the_bus_rejects_is_retried(story: Records) -> None:
    """A response of 200 can still report that an entry failed."""
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
    assert len({event["id"] for event in sent}) == 9
