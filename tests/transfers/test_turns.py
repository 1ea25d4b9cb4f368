"""Turns: how long an import may keep others waiting."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.background import downloads, runs, sources
from chalicelib.domain.uploads import UploadState
from chalicelib.errors import StaleError, Unavailable
from chalicelib.store import claims, objects, queue
from chalicelib.store import uploads as upload_store
from infra.local.worker import Pump
from tests.actors import Actor
from tests.configuring import configure
from tests.transfers.importing import (
    CONTENT,
    PART,
    ask_import,
    assert_failed,
    assert_imported,
    process,
)
from tests.web_source import WebSource


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let each piece of a source take some seconds."""
    start, time = clock.now(), [0.0]
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=time[0]))
    monkeypatch.setattr(sources, "SURPLUS_SECONDS", 0.01)

    def pass_by(pause: float) -> None:
        read = sources.Source.read

        def read_slowly(source: sources.Source, n: int, seconds: float) -> bytes:
            time[0] += pause
            return read(source, n, seconds)

        monkeypatch.setattr(sources.Source, "read", read_slowly)

    return pass_by


@pytest.fixture
def any_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a source be as slow as it is."""
    configure(monkeypatch, import_rate_min=1)


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a project have one import in progress."""
    configure(monkeypatch, project_imports_max=1)


@pytest.mark.parametrize(
    ("pause", "asked"),
    [
        (2.5, [None, "bytes=2000-"]),
        (4, [None, "bytes=1000-", "bytes=2000-"]),
        (7, [None, "bytes=900-", "bytes=1800-"]),
        (13, [None, *[f"bytes={start}-" for start in range(500, 2560, 500)]]),
    ],
)
@pytest.mark.usefixtures("any_rate")
def test_a_run_on_a_source_ends_after_a_minute(  # noqa: PLR0913, PLR0917 - a row
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
    pause: float,
    asked: list[str | None],
) -> None:
    """Another one goes on; a part may be shorter then, but not below S3's minimum."""
    seconds(pause)
    ask_import(producer, image_id, source)

    pump.drain()

    assert source.asked == asked
    assert_imported(producer, image_id)


@pytest.mark.usefixtures("any_rate")
def test_a_run_on_a_large_source_stores_no_more_short_parts_than_there_may_be(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
) -> None:
    """Four with a short one; a run then takes as long as a whole part."""
    seconds(13)
    ask_import(producer, image_id, source)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(downloads, "PARTS_MAX", 4)
        patched.setattr(downloads, "SHORT_PARTS", 1)

        pump.drain()

    assert source.asked == [None, "bytes=500-", "bytes=1500-", "bytes=2500-"]
    assert_imported(producer, image_id)


def test_a_run_that_ends_where_the_source_ends_is_the_last_one(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
) -> None:
    """Though its last part is whole: a request beyond the end would start again."""
    source.content = CONTENT[: 2 * PART]
    seconds(0.002)
    ask_import(producer, image_id, source)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "SLICE_SECONDS", 0.05)

        pump.drain()

    assert source.asked == [None]
    assert_imported(producer, image_id, source.content)


@pytest.mark.usefixtures("any_rate")
def test_a_source_that_cannot_be_resumed_is_read_in_one_run(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
) -> None:
    """The first run cannot know it; the next one reads from the first byte on."""
    source.has_ranges = False
    seconds(7)
    ask_import(producer, image_id, source)

    pump.drain()

    assert source.asked == [None, "bytes=900-"]
    assert_imported(producer, image_id)


def test_a_source_below_the_least_rate_is_given_up(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
) -> None:
    """After five runs of half a minute each."""
    seconds(7)
    ask_import(producer, image_id, source)

    pump.drain()

    assert_failed(producer, image_id, "Failed 5 times: The source is too slow.")
    assert len(source.asked) == runs.TRIES_MAX


@pytest.mark.usefixtures("one_slot")
def test_an_import_beyond_its_projects_bound_waits_and_loses_no_try(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Its message is sent again with a growing delay, and the sweep leaves it alone.
    """
    first = ask_import(producer, image_id, source)
    other = producer.make_image(disk_format="raw", container_format="bare")
    second = ask_import(producer, other, source)
    pump.read_stream()
    start = clock.now()
    sent: list[Any] = []
    with monkeypatch.context() as waiting:
        waiting.setattr(queue, "send_upload", lambda *message: sent.append(message[1:]))
        claimed = upload_store.load_upload(image_id, first)
        assert claimed
        assert claims.claim_slot(claimed)
        for waits, minutes in enumerate([0, 10, 20, 30]):
            then = start + timedelta(minutes=minutes)
            waiting.setattr(clock, "now", lambda then=then: then)
            assert claims.claim_slot(claimed)
            process(other, second, waits)
    waiting_upload = upload_store.load_upload(other, second)
    pump.drain()

    assert sent == [(30, 1), (60, 2), (120, 3), (240, 4)]
    assert waiting_upload
    assert (waiting_upload.state, waiting_upload.tries) == (UploadState.PENDING, 0)
    assert waiting_upload.updated_at == start + timedelta(minutes=20)
    assert_imported(producer, image_id)


@pytest.mark.usefixtures("one_slot")
def test_a_claim_of_a_run_that_was_killed_ends_by_itself(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its message is seen again; until then it is counted."""
    upload_id = ask_import(producer, image_id, source)
    upload = upload_store.load_upload(image_id, upload_id)
    assert upload
    killed = upload._replace(id="killed")
    assert claims.claim_slot(killed)

    claimed = [claims.claim_slot(upload)]
    later = clock.now() + claims.CLAIM + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    claimed.append(claims.claim_slot(upload))
    claims.release_slot(upload)
    claimed.append(claims.claim_slot(killed))

    assert claimed == [False, True, True]


@pytest.mark.parametrize(
    "end",
    [
        StaleError(),
        runs.FailedError("The stored data differs from the downloaded data."),
        Unavailable("S3 does not answer."),
    ],
    ids=["finds it so", "fails", "is to be retried"],
)
@pytest.mark.usefixtures("one_slot")
def test_a_run_that_was_overtaken_leaves_the_claim_to_the_other(
    producer: Actor,
    image_id: str,
    source: WebSource,
    monkeypatch: pytest.MonkeyPatch,
    end: Exception,
) -> None:
    """A message may be delivered twice; the project has no slot more by it."""
    upload_id = ask_import(producer, image_id, source)
    latest = partial(upload_store.load_upload, image_id, upload_id)
    claimed = []

    def be_overtaken(*_: Any) -> None:
        other = latest()
        assert other
        claimed.append(claims.claim_slot(other))
        runs.Run(other).begin()
        raise end

    monkeypatch.setattr(objects, "put_part", be_overtaken)

    process(image_id, upload_id)

    upload = latest()
    assert upload
    assert upload.state is UploadState.PROCESSING
    claimed.append(claims.claim_slot(upload._replace(id="another")))
    assert claimed == [True, False]
