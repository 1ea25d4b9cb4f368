"""Imports of many projects on ten slots: none keeps another's waiting."""

import json

import pytest

from chalicelib import settings
from chalicelib.domain.uploads import UploadState
from tests.queue_model import SLOTS, serving

HOUR = 3600
SIZE = 10 * 1024**3


def test_a_thousand_slow_imports_of_one_project_leave_slots_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each import of another is done within seconds; slow ones are given up in turn."""
    with serving(monkeypatch) as service:
        slow = [service.ask("slow", 45_000, SIZE) for _ in range(1000)]
        service.begin()
        waited = []
        for minute in range(1, 30, 4):
            service.time.pass_until(60 * minute)
            small = service.ask("other", 1e6, 5)
            service.time.pass_until(60 * minute + 10)
            waited.append(service.uploads[small].state)
        service.time.pass_until(HOUR / 2)
        ended = [service.uploads[one] for one in slow if service.uploads[one].is_over]

    assert waited == [UploadState.SUCCESS] * 8
    assert service.most["slow"] == settings.current.project_imports_max
    assert len(ended) > 4
    reasons = {one.message for one in ended}
    assert reasons == {"Failed 5 times: The source is too slow."}
    assert (service.sqs.dead, service.sqs.receives_max) == ([], 1)


def test_an_import_waits_for_one_slice_where_all_slots_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of five projects with a thousand imports, all slow but not too slow."""
    with serving(monkeypatch) as service:
        for number in range(1000):
            service.ask(f"slow-{number % 5}", 100_000, SIZE)
        service.begin()
        service.time.pass_until(HOUR / 4)
        small = service.ask("other", 1e6, 5)
        service.time.pass_until(HOUR / 4 + 75)

    assert service.uploads[small].state is UploadState.SUCCESS
    assert sum(service.most.values()) >= SLOTS
    assert service.longest < 75
    assert (service.sqs.dead, service.sqs.receives_max) == ([], 1)


def test_the_sweep_sends_what_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what waits in a long queue for hours; once that is done, all that is idle."""
    with serving(monkeypatch) as service:
        for number in range(700):
            service.ask(f"slow-{number}", 100_000, SIZE)
        lost = json.loads(service.sqs.lose().body)["upload_id"]
        service.begin()
        numbers = []
        for hour in (1.1, 2.1):
            service.time.pass_until(hour * HOUR)
            service.sweep()
            numbers.append(service.sqs.number)
        before = service.uploads[lost]
        while service.sqs.number > SLOTS:
            service.sqs.lose()
        service.time.pass_until(2.2 * HOUR)
        service.sweep()
        service.time.pass_until(3.6 * HOUR)

    assert numbers == [699, 699]
    assert before.begun_at is None
    assert all(upload.begun_at for upload in service.uploads.values())


def test_messages_that_are_put_back_would_die(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model counts receives: a run that never ends its message has five."""
    with serving(monkeypatch) as service:
        service.ask("one", 1e6, 5)
        for turn in range(6):
            service.time.pass_until(turn * 1000)
            service.sqs.receive()

    assert len(service.sqs.dead) == 1
