"""Imports from a URL: never with wrong bytes, never left half-way."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest

from chalicelib import clock, settings
from chalicelib.background import downloads, functions, runs, sources, transfers
from chalicelib.domain.uploads import UploadState
from chalicelib.store import claims, objects, queue
from chalicelib.store import uploads as upload_store
from infra.local.worker import Pump
from tests.actors import Actor, Response
from tests.bucket_faults import multiparts, small_parts, stored_objects
from tests.scene import error
from tests.web_source import WebSource, allow, serving

CONTENT = bytes(range(256)) * 10
PART = 1000
"""How large a part is in these tests: the content has three."""

NOT_PUBLIC = (
    "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
)
NO_PORT = "The source's port must be 80 or 443 (IMPORT_ALLOW permits others)."


@pytest.fixture(autouse=True)
def _small_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts; no pause before another try; sources on loopback."""
    small_parts(monkeypatch)
    monkeypatch.setattr(downloads, "PART_BYTES", PART)
    monkeypatch.setattr(runs, "PIECE_BYTES", 100)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    allow(monkeypatch, "127.0.0.1")


@pytest.fixture
def source() -> Iterator[WebSource]:
    """A source that serves an image of three parts."""
    source = WebSource(CONTENT)
    with serving(source):
        yield source


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that waits for its data."""
    return producer.make_image(disk_format="raw", container_format="bare")


def ask_import(producer: Actor, image_id: str, source: WebSource) -> str:
    """Ask for an import from a source; return the upload's id."""
    method = {"name": "web-download", "uri": source.uri}
    response = producer.post(f"/v2/images/{image_id}/import", {"method": method})
    assert (response.status, response.body) == (202, b"")
    (upload,) = [one for one in upload_store.list_uploads(image_id) if not one.is_over]
    return upload.id


def show(producer: Actor, image_id: str) -> Any:
    """Return an image's document."""
    return producer.get(f"/v2/images/{image_id}").document


def tasks(producer: Actor, image_id: str) -> list[tuple[str, str]]:
    """
    Return what became of an image's imports, the newest first, and what is said of it.
    """
    found = producer.get(f"/v2/images/{image_id}/tasks").document["tasks"]
    return [(task["status"], task["message"]) for task in found]


def assert_imported(producer: Actor, image_id: str, content: bytes = CONTENT) -> None:
    """See that an image has just the right data, and that nothing else is kept."""
    image = show(producer, image_id)
    assert (image["status"], image["size"]) == ("active", len(content))
    assert image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert image["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert "os_glance_importing_to_stores" not in image
    assert "os_glance_failed_import" not in image
    assert producer.download(image_id).body == content
    assert len(stored_objects(image_id)) == 1
    assert multiparts(image_id) == []


def assert_failed(producer: Actor, image_id: str, message: str) -> None:
    """See that an image has no data and says why, and that nothing is kept."""
    image = show(producer, image_id)
    assert (image["status"], image["size"]) == ("queued", None)
    assert image["os_glance_failed_import"] == message
    assert tasks(producer, image_id)[0] == ("failure", message)
    assert stored_objects(image_id) == []
    assert multiparts(image_id) == []


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2560])
def test_a_source_becomes_the_data(
    producer: Actor, image_id: str, source: WebSource, pump: Pump, size: int
) -> None:
    """Whatever its size is; until then the image says that it is being imported."""
    source.content = CONTENT[:size]
    ask_import(producer, image_id, source)
    waiting = show(producer, image_id)
    early = producer.download(image_id)

    pump.drain()

    assert (waiting["status"], waiting["size"]) == ("importing", None)
    assert waiting["os_glance_importing_to_stores"] == "file1"
    assert early.status == 204
    assert_imported(producer, image_id, source.content)
    assert tasks(producer, image_id) == [("success", "")]


def test_a_source_that_is_cut_is_resumed(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """From the last whole part on."""
    source.cut_at = [1500, 10, 700]
    ask_import(producer, image_id, source)

    pump.drain()

    assert source.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=1000-"]
    assert_imported(producer, image_id)


@pytest.mark.parametrize("without", ["ranges", "validator"])
def test_a_source_that_cannot_be_resumed_is_read_anew(
    producer: Actor, image_id: str, source: WebSource, pump: Pump, without: str
) -> None:
    """It does not take ranges, or cannot tell whether it still is the same."""
    source.cut_at = [1500, 2100]
    source.has_ranges = without != "ranges"
    source.etag = None if without == "validator" else source.etag
    ask_import(producer, image_id, source)

    pump.drain()

    assert_imported(producer, image_id)


def test_a_source_that_changed_is_read_anew(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """Its parts are never mixed with those it had before."""
    source.cut_at = [1500]
    ask_import(producer, image_id, source)
    pump.step()
    source.content, source.etag = CONTENT[::-1][:1200], '"2"'

    pump.drain()

    assert_imported(producer, image_id, CONTENT[::-1][:1200])


def test_a_source_that_stays_broken_is_given_up(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """After some tries that got no further; the image can be imported again."""
    source.cut_at = [500] * 50
    ask_import(producer, image_id, source)

    pump.drain()

    message = (
        "Failed 5 times: The source closed the connection before the end of its data."
    )
    assert_failed(producer, image_id, message)
    assert len(source.asked) == runs.TRIES_MAX
    source.cut_at = []
    ask_import(producer, image_id, source)
    pump.drain()
    assert_imported(producer, image_id)
    assert tasks(producer, image_id) == [("success", ""), ("failure", message)]


def test_each_part_that_came_gives_new_tries(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """What counts is that it gets further."""
    source.cut_at = [10, 10, 10, 10, 1001, 10, 10, 10, 10]
    ask_import(producer, image_id, source)

    pump.drain()

    assert_imported(producer, image_id)


@pytest.mark.parametrize("announced", [len(CONTENT) + 1, len(CONTENT) - 1, 1])
def test_a_source_that_lies_about_its_length_is_never_believed(
    producer: Actor, image_id: str, source: WebSource, pump: Pump, announced: int
) -> None:
    """Neither with fewer bytes than it announced nor with more."""
    source.announced, source.has_ranges = announced, False
    ask_import(producer, image_id, source)

    pump.drain()

    few = "Failed 5 times: The source closed the connection before the end of its data."
    many = "The source sends more than its Content-Length."
    assert_failed(producer, image_id, few if announced > len(CONTENT) else many)


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "http://localhost/", "http://[::1]/"],
)
def test_a_redirect_to_a_private_address_is_refused(
    producer: Actor, image_id: str, source: WebSource, pump: Pump, location: str
) -> None:
    """
    At once, and the message has no address: all who see the image can read it.
    """
    source.location = location
    ask_import(producer, image_id, source)

    pump.drain()

    assert_failed(producer, image_id, NOT_PUBLIC)
    assert len(source.asked) == 1


def test_only_a_source_that_is_allowed_may_have_another_port(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker looks again: a setting may have changed since the request."""
    ask_import(producer, image_id, source)
    allow(monkeypatch)

    pump.drain()

    assert_failed(producer, image_id, NO_PORT)
    assert source.asked == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://10.0.0.1/", NOT_PUBLIC),
        ("http://127.0.0.1/", NOT_PUBLIC),
        ("https://[::ffff:169.254.169.254]/", NOT_PUBLIC),
        ("http://8.8.8.8:8080/", NO_PORT),
        ("http://files.example.com:22/", NO_PORT),
    ],
)
def test_a_target_that_is_not_permitted_is_refused_at_once(
    uri: str,
    message: str,
    producer: Actor,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A private address and a port by the request, a name by the worker."""
    allow(monkeypatch, "10.0.0.2")
    path = f"/v2/images/{image_id}"

    def asked(uri: str) -> Response:
        method = {"name": "web-download", "uri": uri}
        return producer.post(f"{path}/import", {"method": method})

    refused = asked(uri)

    assert (refused.status, refused.document) == error(400, "Bad Request", message)
    assert producer.get(path).document["status"] == "queued"
    assert tasks(producer, image_id) == []
    assert asked("http://10.0.0.2:22/").status == 202


def test_a_server_that_heals_is_asked_again(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """While it is tried again, the task says why."""
    source.statuses = [503, 500, 429]
    ask_import(producer, image_id, source)
    pump.step()
    waiting = tasks(producer, image_id)

    pump.drain()

    assert waiting == [("processing", "The source responds with status 503.")]
    assert_imported(producer, image_id)


def test_what_is_not_there_is_a_failure_at_once(
    producer: Actor, image_id: str, source: WebSource, pump: Pump
) -> None:
    """The message has no host and no query: all who see the image can read it."""
    source.statuses = [404]
    ask_import(producer, image_id, source)

    pump.drain()

    assert_failed(producer, image_id, "The source responds with status 404.")
    assert len(source.asked) == 1


def test_a_worker_that_was_killed_goes_on_where_it_was(
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue gives its message to another."""
    upload_id = ask_import(producer, image_id, source)
    put_part, turns = objects.put_part, count()

    def die(*arguments: Any) -> None:
        if next(turns) == 1:
            raise KeyboardInterrupt
        put_part(*arguments)

    monkeypatch.setattr(objects, "put_part", die)
    with pytest.raises(KeyboardInterrupt):
        transfers.transfer(image_id, upload_id, lambda: False)
    transfers.transfer(image_id, upload_id, lambda: False)

    assert source.asked == [None, "bytes=1000-"]
    assert_imported(producer, image_id)
    pump.drain()
    assert_imported(producer, image_id)


def test_a_worker_that_always_dies_is_given_up(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ever left importing."""

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    upload_id = ask_import(producer, image_id, source)
    monkeypatch.setattr(downloads, "open_source", die)
    for _ in range(runs.TRIES_MAX):
        with pytest.raises(KeyboardInterrupt):
            transfers.transfer(image_id, upload_id, lambda: False)

    transfers.transfer(image_id, upload_id, lambda: False)

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
    transfers.transfer(image_id, upload_id, lambda: False)
    monkeypatch.setattr(clock, "now", lambda: begins + timedelta(hours=24))
    transfers.transfer(image_id, upload_id, lambda: False)
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
    whole = partial(transfers.transfer, image_id, upload_id, lambda: False)

    def be_overtaken(upload: Any, number: int, content: bytes) -> None:
        if next(turns) == 1:
            whole()
            content = bytes(len(content))
        put_part(upload, number, content)

    monkeypatch.setattr(objects, "put_part", be_overtaken)
    whole()

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
    transfers.transfer(image_id, upload_id, lambda: False)

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
    put_data, turns = objects.put_data, count()

    def be_overtaken(*arguments: Any) -> None:
        if next(turns) == 0:
            source.content = b"second"
            transfers.transfer(image_id, upload_id, lambda: False)
        put_data(*arguments)

    monkeypatch.setattr(objects, "put_data", be_overtaken)
    transfers.transfer(image_id, upload_id, lambda: False)

    assert_imported(producer, image_id, b"second")


def test_what_was_stored_by_a_dead_run_is_not_taken_for_another(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source changed since: the import fails, and another one may follow."""
    source.content, source.etag = b"first", None
    upload_id = ask_import(producer, image_id, source)
    save = upload_store.save_upload

    def die(before: Any, after: Any) -> Any:
        if after.progress.whole:
            raise KeyboardInterrupt
        return save(before, after)

    with monkeypatch.context() as dying:
        dying.setattr(upload_store, "save_upload", die)
        with pytest.raises(KeyboardInterrupt):
            transfers.transfer(image_id, upload_id, lambda: False)
    source.content = b"second"
    transfers.transfer(image_id, upload_id, lambda: False)

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
    put_part, turns = objects.put_part, count()

    def delete_first(*arguments: Any) -> None:
        if next(turns) == after:
            producer.delete(f"/v2/images/{image_id}")
        put_part(*arguments)

    monkeypatch.setattr(objects, "put_part", delete_first)
    transfers.transfer(image_id, upload_id, lambda: False)
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
    end, turns = upload_store._end, count()  # noqa: SLF001 - the last moment

    def rename_first(*arguments: Any) -> None:
        if next(turns) == 0:
            rename = {"op": "replace", "path": "/name", "value": "new"}
            producer.patch(f"/v2/images/{image_id}", [rename])
            producer.share(image_id, "consumer")
        end(*arguments)

    monkeypatch.setattr(upload_store, "_end", rename_first)
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
    ask_import(producer, image_id, source)

    pump.drain()

    message = "The source has 2560 bytes; the maximum is 2000."
    assert_failed(producer, image_id, message)


def test_the_worker_stops_a_minute_before_its_end() -> None:
    """Lambda tells how many milliseconds are left."""
    assert functions.RESERVE_SECONDS == 60


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let each piece of a source take some seconds."""
    start, time = clock.now(), [0.0]
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=time[0]))
    monkeypatch.setattr(sources, "SURPLUS_SECONDS", 0.01)

    def pass_by(pause: float) -> None:
        read = sources.Source.read

        def read_slowly(source: sources.Source, n: int) -> bytes:
            time[0] += pause
            return read(source, n)

        monkeypatch.setattr(sources.Source, "read", read_slowly)

    return pass_by


@pytest.mark.parametrize(
    ("pause", "asked"),
    [
        (2.5, [None, "bytes=2000-"]),
        (4, [None, "bytes=1000-", "bytes=2000-"]),
        (7, [None, "bytes=1000-", "bytes=2000-"]),
    ],
)
def test_a_run_on_a_source_ends_after_a_minute_with_a_whole_part(  # noqa: PLR0913, PLR0917 - a row
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
    asked: list[str | None],
) -> None:
    """Another one goes on; where a part takes longer, the run takes as long."""
    slow = replace(settings.current, import_rate_min=1)
    monkeypatch.setattr(settings, "current", slow)
    seconds(pause)
    ask_import(producer, image_id, source)

    pump.drain()

    assert source.asked == asked
    assert_imported(producer, image_id)


def test_a_source_that_cannot_be_resumed_is_read_in_one_run(  # noqa: PLR0913, PLR0917 - a row
    producer: Actor,
    image_id: str,
    source: WebSource,
    pump: Pump,
    seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first run cannot know it; the next one reads from the first byte on."""
    slow = replace(settings.current, import_rate_min=1)
    monkeypatch.setattr(settings, "current", slow)
    source.has_ranges = False
    seconds(7)
    ask_import(producer, image_id, source)

    pump.drain()

    assert source.asked == [None, "bytes=1000-"]
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
    one = replace(settings.current, project_imports_max=1)
    monkeypatch.setattr(settings, "current", one)
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
        assert claims.claim_import(claimed)
        for waits, minutes in enumerate([0, 10, 20, 30]):
            then = start + timedelta(minutes=minutes)
            waiting.setattr(clock, "now", lambda then=then: then)
            assert claims.claim_import(claimed)
            transfers.transfer(other, second, lambda: False, waits)
    waiting_upload = upload_store.load_upload(other, second)
    pump.drain()

    assert sent == [(30, 1), (60, 2), (120, 3), (240, 4)]
    assert waiting_upload
    assert (waiting_upload.state, waiting_upload.tries) == (UploadState.PENDING, 0)
    assert waiting_upload.updated_at == start + timedelta(minutes=20)
    assert_imported(producer, image_id)


def test_a_claim_of_a_run_that_was_killed_ends_by_itself(
    producer: Actor, image_id: str, source: WebSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its message is seen again; until then it is counted."""
    one = replace(settings.current, project_imports_max=1)
    monkeypatch.setattr(settings, "current", one)
    upload_id = ask_import(producer, image_id, source)
    upload = upload_store.load_upload(image_id, upload_id)
    assert upload
    killed = replace(upload, id="killed")
    assert claims.claim_import(killed)

    claimed = [claims.claim_import(upload)]
    later = clock.now() + claims.CLAIM + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    claimed.append(claims.claim_import(upload))
    claims.release_import(upload)
    claimed.append(claims.claim_import(killed))

    assert claimed == [False, True, True]
