"""Runs of the worker: killed, late, at once; nothing is left half-way."""

from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.background import downloads, functions, runs, transfers
from chalicelib.domain.uploads import UploadState
from chalicelib.store import objects
from chalicelib.store import uploads as upload_store
from infra.local.worker import Pump
from tests.actors import Actor
from tests.bucket_faults import multiparts, stored_objects
from tests.interleaving import act_before
from tests.transfers.importing import (
    PART,
    ask_import,
    assert_failed,
    assert_imported,
    process,
    show,
)
from tests.web_source import WebSource


def die(*_: Any) -> None:
    """End as a process does that is killed: nothing after it is done."""
    raise KeyboardInterrupt


def test_a_worker_that_was_killed_goes_on_where_it_was(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue gives its message to another."""
    upload_id = ask_import(producer, image_id, source)
    act_before(monkeypatch, objects, "put_part", die, turn=1)
    with pytest.raises(KeyboardInterrupt):
        process(image_id, upload_id)
    process(image_id, upload_id)

    assert source.asked == [None, "bytes=1000-"]
    assert_imported(producer, image_id)
    pump.drain()
    assert_imported(producer, image_id)


def test_a_worker_that_always_dies_is_given_up(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ever left importing."""
    upload_id = ask_import(producer, image_id, source)
    monkeypatch.setattr(downloads, "open_source", die)
    for _ in range(runs.TRIES_MAX):
        with pytest.raises(KeyboardInterrupt):
            process(image_id, upload_id)

    process(image_id, upload_id)

    assert_failed(producer, image_id, "Failed 5 times: The worker crashed.")


def test_a_run_ends_before_its_time_and_another_goes_on(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """A part is kept whole or not at all."""
    upload_id = ask_import(producer, image_id, source)
    pieces = count()

    transfers.transfer(image_id, upload_id, lambda: next(pieces) > 14)
    halfway = upload_store.load_upload(image_id, upload_id)
    pump.drain()

    assert halfway
    assert (halfway.state, halfway.progress.parts) == (UploadState.PROCESSING, 1)
    assert source.asked == [None, "bytes=1000-"]
    assert_imported(producer, image_id)


def test_an_import_ends_after_a_day(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From its first byte on, however long it waited before."""
    begins = clock.now() + timedelta(hours=30)
    monkeypatch.setattr(clock, "now", lambda: begins)
    source.cut_at = [1500, 700]
    upload_id = ask_import(producer, image_id, source)
    process(image_id, upload_id)
    monkeypatch.setattr(clock, "now", lambda: begins + timedelta(hours=24))
    process(image_id, upload_id)
    assert show(producer, image_id)["status"] == "importing"
    later = begins + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)

    pump.drain()

    assert_failed(producer, image_id, "The import took longer than 24 hours.")


def test_of_two_runs_at_once_the_later_goes_on(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one sees it and stops; no part of it is in the data."""
    upload_id = ask_import(producer, image_id, source)
    put_part, turns = objects.put_part, count()

    def be_overtaken(upload: Any, number: int, content: bytes) -> None:
        if next(turns) == 1:
            process(image_id, upload_id)
            content = bytes(len(content))
        put_part(upload, number, content)

    monkeypatch.setattr(objects, "put_part", be_overtaken)
    process(image_id, upload_id)

    assert_imported(producer, image_id)


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_part_that_was_exchanged_is_never_part_of_the_data(  # noqa: PLR0913 - a row
    *,
    moment: str,
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S3's tag of the whole must be that of the bytes that were hashed.

    Parts exchanged before are sent again; a completed object is abandoned.
    """
    upload_id = ask_import(producer, image_id, source)
    name = "list_parts" if moment == "before" else "complete_multipart"
    call, turns = getattr(objects, name), count()

    def exchange(upload: Any, *parts: Any) -> Any:
        if next(turns) == 0:
            objects.put_part(upload, 2, bytes(PART))
            if parts:
                parts = (objects.list_parts(upload),)
        return call(upload, *parts)

    monkeypatch.setattr(objects, name, exchange)
    process(image_id, upload_id)

    if moment == "before":
        assert show(producer, image_id)["status"] == "importing"
        pump.drain()
        assert_imported(producer, image_id)
    else:
        message = "The stored data differs from the downloaded data."
        assert_failed(producer, image_id, message)


def test_a_late_run_never_writes_over_the_data(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It read the source before it changed, and stores what it read after another's end.
    """
    source.content, source.etag = b"first", None
    upload_id = ask_import(producer, image_id, source)

    def be_overtaken() -> None:
        source.content = b"second"
        process(image_id, upload_id)

    act_before(monkeypatch, objects, "put_data", be_overtaken)
    process(image_id, upload_id)

    assert_imported(producer, image_id, b"second")


def test_what_was_stored_by_a_dead_run_is_not_taken_for_another(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source changed since: the import fails, and another one may follow."""
    source.content, source.etag = b"first", None
    upload_id = ask_import(producer, image_id, source)
    save = upload_store.save_upload

    def die_at_the_end(before: Any, after: Any) -> Any:
        if after.progress.whole:
            die()
        return save(before, after)

    with monkeypatch.context() as dying:
        dying.setattr(upload_store, "save_upload", die_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            process(image_id, upload_id)
    source.content = b"second"
    process(image_id, upload_id)

    assert_failed(
        producer, image_id, "The stored data differs from the downloaded data."
    )


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_image_deleted_while_it_is_imported_leaves_nothing(  # noqa: PLR0913 - a row
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: int,
) -> None:
    """Before the first part, between two, or after the last one."""
    upload_id = ask_import(producer, image_id, source)
    delete = partial(producer.delete, f"/v2/images/{image_id}")
    act_before(monkeypatch, objects, "put_part", delete, turn=after)
    process(image_id, upload_id)
    pump.drain()

    assert producer.get(f"/v2/images/{image_id}").status == 404
    assert stored_objects(image_id) == []
    assert multiparts(image_id) == []
    assert upload_store.list_uploads(image_id) == []


def test_an_image_changed_while_it_is_imported_keeps_the_change(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name and a member that came meanwhile are there afterwards."""
    ask_import(producer, image_id, source)

    def change() -> None:
        rename = {"op": "replace", "path": "/name", "value": "new"}
        producer.patch(f"/v2/images/{image_id}", [rename])
        producer.share(image_id, "consumer")

    act_before(monkeypatch, upload_store, "_end", change)  # The last moment.
    pump.drain()

    assert show(producer, image_id)["name"] == "new"
    assert_imported(producer, image_id)


def test_a_source_that_is_too_large_is_refused(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before its first byte is moved."""
    monkeypatch.setattr(downloads, "PART_BYTES_MAX", PART)
    monkeypatch.setattr(downloads, "PARTS_MAX", 2)
    monkeypatch.setattr(downloads, "SHORT_PARTS", 0)
    ask_import(producer, image_id, source)

    pump.drain()

    message = "The source has 2560 bytes; the maximum is 2000."
    assert_failed(producer, image_id, message)


def test_the_worker_stops_a_minute_before_its_end() -> None:
    """Lambda tells how many milliseconds are left."""
    assert functions.RESERVE_SECONDS == 60
