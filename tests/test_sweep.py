"""The sweep: it finds what crashes left, and never touches what is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import clock, ids, settings
from chalicelib.background import functions, transfers
from chalicelib.background import sweep as sweeps
from chalicelib.background.sweep import ABANDONED, IDLE, ROUND, STREAM_LOST
from chalicelib.store import dynamodb, objects
from chalicelib.store import images as image_store
from chalicelib.store import uploads as upload_store
from infra.local.streams import MotoStream
from infra.local.worker import Pump, _Context
from tests.actors import Actor
from tests.aws_faults import recording
from tests.bucket_faults import client, multiparts, stored_objects
from tests.scene import CONTENT

OTHER = "11111111-2222-4333-8444-555555555555"
SOON = IDLE - timedelta(minutes=1)
LATER = IDLE + timedelta(minutes=1)
MUCH_LATER = ABANDONED + timedelta(minutes=1)

Sweep = Callable[[timedelta], None]


@pytest.fixture(autouse=True)
def _empty_bucket() -> None:
    """Remove what other tests stored: a sweep may end before it has seen all of it."""
    for key in stored_objects():
        client().delete_object(Bucket=settings.current.bucket_name, Key=key)


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that waits for its data."""
    return producer.make_image(disk_format="raw", container_format="bare")


@pytest.fixture
def sweep_in(monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Let the clock call the sweep some time from now."""

    def sweep(time: timedelta) -> None:
        then = clock.now() + time
        event: Any = dict.fromkeys(
            ("version", "account", "region", "detail", "source", "time", "id")
        )
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now", lambda: then)
            functions.sweep(
                event | {"detail-type": "Scheduled Event", "resources": []}, _Context()
            )

    return sweep


def test_an_object_that_nobody_has_is_removed(
    producer: Actor, image_id: str, sweep_in: Sweep
) -> None:
    """In the round of a day after it is an hour old: its request may still go on."""
    producer.upload(image_id, CONTENT)
    kept = stored_objects(image_id)
    for other in (image_id, OTHER):
        objects.put_data(other, ids.new_id(), b"left over")

    sweep_in(SOON)
    assert len(stored_objects()) >= 3

    sweep_in(SOON + ROUND)
    assert stored_objects(image_id) == kept
    assert stored_objects(OTHER) == []
    assert producer.download(image_id).body == CONTENT


def test_parts_that_nobody_waits_for_are_removed(
    producer: Actor, image_id: str, sweep_in: Sweep
) -> None:
    """Those of an upload that goes on are not."""
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, {"size": 10}).document
    wanted = multiparts(image_id)
    objects.begin_multipart(image_id, upload["id"])
    objects.begin_multipart(image_id, ids.new_id())
    objects.begin_multipart(OTHER, ids.new_id())

    sweep_in(LATER)

    assert multiparts(image_id) == wanted
    assert multiparts(OTHER) == []


def test_staged_data_stays(producer: Actor, image_id: str, sweep_in: Sweep) -> None:
    """Until it is imported, or its image deleted."""
    producer.upload(image_id, CONTENT, "stage")

    sweep_in(MUCH_LATER)

    method = {"method": {"name": "glance-direct"}}
    producer.post(f"/v2/images/{image_id}/import", method)
    assert producer.download(image_id).body == CONTENT


def test_an_upload_that_was_abandoned_is_ended(
    producer: Actor, image_id: str, sweep_in: Sweep
) -> None:
    """After a week without a sign of its client; the image takes other data then."""
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, {"size": 10}).document

    sweep_in(ABANDONED - timedelta(minutes=1))
    assert producer.get(upload["self"]).document["state"] == "open"

    sweep_in(MUCH_LATER)
    ended = producer.get(upload["self"]).document
    assert (ended["state"], ended["message"]) == (
        "failure",
        "The client did not continue it for 7 days.",
    )
    assert multiparts(image_id) == []
    assert producer.upload(image_id, CONTENT).status == 204


def test_an_import_that_stands_still_is_taken_up_again(
    producer: Actor, image_id: str, sweep_in: Sweep, pump: Pump
) -> None:
    """Its message got lost, or lies among the dead letters."""
    uri = {"name": "web-download", "uri": "http://localhost/"}
    producer.post(f"/v2/images/{image_id}/import", {"method": uri})
    stream = MotoStream("cloud-images-test")
    lost = Pump(stream, lambda *_: {"batchItemFailures": []}, print, print)
    lost.step()
    pump.drain()
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "importing"

    sweep_in(SOON)
    pump.drain()
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "importing"

    sweep_in(LATER)
    pump.drain()
    image = producer.get(f"/v2/images/{image_id}").document
    assert image["status"] == "queued"
    assert image["os_glance_failed_import"] == (
        "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
    )


def test_a_deletion_whose_record_was_lost_is_ended(
    producer: Actor, image_id: str, sweep_in: Sweep, pump: Pump
) -> None:
    """Once the stream cannot have it any more; the members of the image go, unseen."""
    producer.share(image_id, "consumer")
    producer.delete(f"/v2/images/{image_id}")
    stream = MotoStream("cloud-images-test")
    lost = Pump(stream, lambda *_: {"batchItemFailures": []}, print, print)
    lost.step()

    sweep_in(STREAM_LOST - timedelta(minutes=1))
    pump.drain()
    _, member = dynamodb.query_collection(image_id)
    assert member["sk"] == {"S": "MEMBER#consumer"}

    sweep_in(STREAM_LOST + timedelta(minutes=1))
    pump.drain()
    (tombstone,) = dynamodb.query_collection(image_id)
    assert tombstone.keys() == {"pk", "sk", "deleted", "changed"}

    sweep_in(10 * STREAM_LOST)
    assert dynamodb.query_collection(image_id) == [tombstone]


def test_a_deletion_that_was_ended_meanwhile_stays_so(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """An index lags: what it says is only a candidate."""
    producer.delete(f"/v2/images/{image_id}")
    pump.drain()

    image_store.touch_tombstone(image_id)

    assert pump.step() == 0


@contextmanager
def in_small_pages() -> Iterator[None]:
    """Let S3 list two things at a time."""
    events = objects._client().meta.events  # noqa: SLF001 - for tests alone

    def ask_for_two(params: Any, model: Any, **_: Any) -> None:
        field = "MaxKeys" if model.name == "ListObjectsV2" else "MaxUploads"
        params[field] = 2

    names = [
        f"provide-client-params.s3.{name}"
        for name in ("ListObjectsV2", "ListMultipartUploads")
    ]
    for name in names:
        events.register(name, ask_for_two)
    try:
        yield
    finally:
        for name in names:
            events.unregister(name, ask_for_two)


def test_all_objects_are_looked_at(sweep_in: Sweep) -> None:
    """However many pages they are listed on."""
    for _ in range(7):
        objects.put_data(OTHER, ids.new_id(), b"left over")
        objects.begin_multipart(OTHER, ids.new_id())

    with in_small_pages():
        left = len(stored_objects(OTHER)), len(multiparts(OTHER))
        sweep_in(LATER)

    assert left == (7, 7)
    assert stored_objects(OTHER) == []
    assert multiparts(OTHER) == []


def test_an_upload_is_seen_to_that_was_touched_meanwhile_only(
    producer: Actor, image_id: str, sweep_in: Sweep
) -> None:
    """An index lags: what it says is only a candidate."""
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, {"size": 10}).document
    producer.delete(upload["self"])

    sweep_in(MUCH_LATER)

    loaded = upload_store.load_upload(image_id, upload["id"])
    assert loaded
    assert loaded.message == "It was aborted."


def test_one_upload_that_cannot_be_seen_to_keeps_no_other_from_it(
    producer: Actor, sweep_in: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what the bucket has besides, whatever its key."""
    begun = []
    for _ in range(3):
        one = producer.make_image(disk_format="raw", container_format="bare")
        path = f"/ext/v1/images/{one}/uploads"
        begun.append(producer.post(path, {"size": 10}).document)
    load = upload_store.load_upload

    def fail(image_id: str, upload_id: str) -> Any:
        if upload_id == begun[0]["id"]:
            raise RuntimeError
        return load(image_id, upload_id)

    objects.put_data("no-image", "of-ours", b"left alone")
    with monkeypatch.context() as failing:
        failing.setattr(upload_store, "load_upload", fail)
        sweep_in(MUCH_LATER)

    states = [producer.get(one["self"]).document["state"] for one in begun]
    assert states == ["open", "failure", "failure"]
    assert stored_objects("no-image") == ["no-image/of-ours"]
    objects.delete_data("no-image", "of-ours")


def _begin_uploads(producer: Actor, count: int) -> list[Any]:
    """Begin a direct upload into each of some images."""
    begun = []
    for _ in range(count):
        image_id = producer.make_image(disk_format="raw", container_format="bare")
        path = f"/ext/v1/images/{image_id}/uploads"
        begun.append(producer.post(path, {"size": 10}).document)
    return begun


def test_uploads_that_wait_for_their_clients_cost_a_sweep_nothing(
    producer: Actor, sweep_in: Sweep
) -> None:
    """They stand in a partition of their own, which is read from a week ago on."""
    _begin_uploads(producer, 3)
    sweep_in(LATER)  # The bucket was looked at.

    with recording() as calls:
        sweep_in(2 * LATER)

    assert [name for name, _ in calls] == [
        *("BatchGetItem", "Query", "UpdateItem", "Query", "UpdateItem"),
        *("Query", "UpdateItem", "Query", "UpdateItem", "UpdateItem", "UpdateItem"),
    ]


def test_a_sweep_goes_on_where_the_last_one_ended(
    producer: Actor, sweep_in: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list, the bucket's too; after its end it begins again."""
    begun = [one["id"] for one in _begin_uploads(producer, 5)]
    for _ in range(3):
        objects.put_data(OTHER, ids.new_id(), b"left over")
    seen: list[str] = []
    monkeypatch.setattr(sweeps, "_BATCH_SIZE", 2)
    monkeypatch.setattr(transfers, "fail", lambda one, _: seen.append(one.id))
    monkeypatch.setattr(functions, "RESERVE_SECONDS", 900)

    left = []
    for hour in range(3):
        sweep_in(MUCH_LATER + timedelta(hours=hour))
        left.append(len(stored_objects(OTHER)))
    monkeypatch.setattr(functions, "RESERVE_SECONDS", 60)
    sweep_in(MUCH_LATER + timedelta(hours=3))

    assert seen == begun
    assert left == [1, 0, 0]


def test_a_bucket_is_looked_over_once_a_day(
    producer: Actor, image_id: str, sweep_in: Sweep
) -> None:
    """An object costs a read a day, where each hour's run took two."""
    producer.upload(image_id, CONTENT)

    with recording() as calls:
        for hour in range(1, 25):
            sweep_in(LATER + timedelta(hours=hour))

    keys = [
        key
        for name, parameters in calls
        if name == "BatchGetItem"
        for key in parameters["RequestItems"]["cloud-images-test"]["Keys"]
    ]
    assert keys.count({"pk": {"S": f"IMAGE#{image_id}"}, "sk": {"S": "IMAGE"}}) == 1
    assert not any(key["pk"] == {"S": f"UPLOAD#{image_id}"} for key in keys)
