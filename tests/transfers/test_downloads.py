"""Imports from a URL: never with wrong bytes, whatever the source does."""

import pytest

from chalicelib.background import runs
from infra.local.worker import Pump
from tests.actors import Actor, Response
from tests.scene import error
from tests.transfers.importing import (
    CONTENT,
    NO_PORT,
    NOT_PUBLIC,
    PART,
    ask_import,
    assert_failed,
    assert_imported,
    show,
    tasks,
)
from tests.web_source import WebSource, allow


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

    def import_of(uri: str) -> Response:
        method = {"name": "web-download", "uri": uri}
        return producer.post(f"{path}/import", {"method": method})

    refused = import_of(uri)

    assert (refused.status, refused.document) == error(400, "Bad Request", message)
    assert producer.get(path).document["status"] == "queued"
    assert tasks(producer, image_id) == []
    assert import_of("http://10.0.0.2:22/").status == 202


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
