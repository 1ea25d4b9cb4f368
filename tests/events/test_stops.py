"""The stream's function: killed at any step, with bad records, read again."""

import random
from itertools import count
from typing import Any

import pytest

from chalicelib.background import events, stream
from infra.local.mended_moto import take_records
from infra.local.worker import Pump, _record
from tests.actors import Actor
from tests.configuring import configure
from tests.events.stream import (
    Mapping,
    Records,
    filters,
    hooked,
    matches,
    number,
    sending,
    stopping_at,
)
from tests.web_source import allow


@pytest.fixture(autouse=True)
def _bus(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pump
    configure(monkeypatch, event_bus="default")


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
    assert step_count > 10

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
        if next(turns) < 3:
            parsed["FailedEntryCount"] = 1
            parsed["Entries"][-1] = {"ErrorCode": "InternalFailure"}

    mapping = Mapping()
    with hooked("after-call.events.PutEvents", refuse), sending() as sent:
        mapping.follow(story)

    assert mapping.aside == []
    assert mapping.runs > 3
    assert len({event["id"] for event in sent}) == 9


def test_an_event_that_the_bus_rejects_is_sent_with_those_after_it(
    story: Records,
) -> None:
    """What was accepted before it is not sent again; what came after it may be."""
    turns = count()

    def refuse(parsed: Any, **_: Any) -> None:
        if next(turns) == 0:
            parsed["FailedEntryCount"] = 1
            parsed["Entries"][3] = {"ErrorCode": "ThrottlingException"}

    with sending() as whole:
        Mapping().follow(story)
    with hooked("after-call.events.PutEvents", refuse), sending() as sent:
        Mapping().follow(story)

    assert sent == whole[:3] + whole[4:] + whole[3:]


def test_events_are_sent_ten_at_a_time(
    producer: Actor, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer where they are large: a call has at most 256 KB."""
    image_id = producer.make_image()
    producer.share(image_id, *(f"p{one}" for one in range(24)))
    records = [_record(one) for one in take_records(table)]
    with sending() as sent, stopping_at(0) as steps:
        Mapping().follow(records)
    few = steps.count("PutEvents") // 2
    monkeypatch.setattr(events, "BATCH_BYTES_MAX", 1500)
    with stopping_at(0) as steps:
        Mapping().follow(records)

    assert (len(sent), few) == (25, 3)
    assert steps.count("PutEvents") // 2 == 25


def test_the_function_is_not_called_for_what_it_ignores(
    story: Records, producer: Actor, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recent changes, progress of uploads, what expires: nothing follows from them."""
    allow(monkeypatch, "127.0.0.1")
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, {"size": 5}).document
    producer.post(f"{upload['self']}/urls", {"part_numbers": [1]})
    method = {"name": "web-download", "uri": "http://127.0.0.1:9/none"}
    other = producer.make_image(disk_format="raw", container_format="bare")
    producer.post(f"/v2/images/{other}/import", {"method": method})
    records = story + [_record(one) for one in take_records(table)]
    patterns = filters()
    chosen = [one for one in records if any(matches(f, one) for f in patterns)]
    ignored = [one for one in records if one not in chosen]
    with sending() as wanted, stopping_at(0) as steps:
        Mapping().follow(records)
    with sending() as sent, stopping_at(0) as steps_of_chosen:
        Mapping().follow(chosen)
    with stopping_at(0) as steps_of_ignored:
        Mapping().follow(ignored)

    assert sent == wanted
    assert steps_of_chosen.count("SendMessage") == steps.count("SendMessage") == 2
    assert steps_of_ignored == []
    assert len(ignored) > len(records) / 3


def test_whoever_keeps_the_largest_sequence_of_each_subject_knows_the_truth(
    producer: Actor, consumer: Actor, table: str
) -> None:
    """In any order of an image's items, each in its own order; and in no order."""
    image_id = producer.make_image(name="one")
    path = f"/v2/images/{image_id}"
    producer.share(image_id, "consumer", "other")
    consumer.set_status(image_id, "accepted")
    for name in ("two", "three"):
        patch = [{"op": "replace", "path": "/name", "value": name}]
        producer.patch(path, patch)
        producer.delete(f"{path}/members/consumer")
        producer.share(image_id, "consumer")
        consumer.set_status(image_id, "rejected")
        producer.put(f"/ext/v1/outgoing/{image_id}/consumer", {"note": name})
    producer.delete(f"{path}/members/other")
    records = [_record(one) for one in take_records(table)]
    chance = random.Random(2026)  # noqa: S311 - the same each time
    for _ in range(20):
        with sending() as sent:
            Mapping().follow(_shuffled(records, chance))
        known = _known(sent)
        chance.shuffle(sent)

        assert known == _known(sent)
        assert known[image_id, None, False]["name"] == "three"
        assert known[image_id, "consumer", False]["status"] == "rejected"
        assert known[image_id, "consumer", True]["note"] == "three"
        assert known[image_id, "other", False] is None


def _shuffled(records: Records, chance: random.Random) -> Records:
    """Return records in an order that Lambda may hand them on in."""
    items: dict[str, Records] = {}
    for one in records:
        items.setdefault(str(one["dynamodb"]["Keys"]), []).append(one)
    left = [iter(of_image) for of_image in items.values()]
    turns = [
        of_image for of_image, of in zip(left, items.values(), strict=True) for _ in of
    ]
    chance.shuffle(turns)
    return [next(turn) for turn in turns]


def _known(sent: list[Any]) -> dict[tuple[str, str | None, bool], Any]:
    """Return what a receiver knows of each image, membership, and its terms."""
    newest: dict[tuple[str, str | None, bool], Any] = {}
    for event in sent:
        is_of_terms = event["type"] == "member.terms_changed"
        subject = event["image_id"], event["member_id"], is_of_terms
        last = newest.get(subject)
        if last is None or int(event["sequence"]) > int(last["sequence"]):
            newest[subject] = event
    return {subject: event["after"] for subject, event in newest.items()}
