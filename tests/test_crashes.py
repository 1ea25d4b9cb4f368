"""
A process that dies at any call of AWS: an image has all of its data or none, at last.

The call was done or it was not, nobody knows. The client repeats its request, the queue
and the stream hand on what was not finished, and the sweep comes.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import boto3
import pytest
import requests

from chalicelib import clock
from chalicelib.api import uploads
from chalicelib.background import downloads, sweep, transfers
from chalicelib.store import dynamodb
from chalicelib.store import uploads as upload_store
from chalicelib.store.cursors import save_cursors
from infra.local import backend
from infra.local.worker import Pump
from tests.actors import Actor, Response
from tests.bucket_faults import multiparts, small_parts, stored_objects
from tests.crashes import Death, dying_at
from tests.web_source import WebSource, allow, serving

CONTENT = bytes(range(256)) * 8
PART = 1000
MOMENTS = ["before-call", pytest.param("after-call", marks=pytest.mark.thorough)]
GLANCE_DIRECT = {"method": {"name": "glance-direct"}}


@dataclass
class Story:
    """How an image gets its data, or is deleted: the client's requests, one by one."""

    producer: Actor
    source: WebSource

    def upload(self, image_id: str) -> Iterator[Response]:
        """By one request."""
        yield self.producer.upload(image_id, CONTENT)

    def stage(self, image_id: str) -> Iterator[Response]:
        """Staged, then imported."""
        yield self.producer.upload(image_id, CONTENT, "stage")
        yield self.producer.post(f"/v2/images/{image_id}/import", GLANCE_DIRECT)

    def web(self, image_id: str) -> Iterator[Response]:
        """Imported from a URL."""
        method = {"name": "web-download", "uri": self.source.uri}
        yield self.producer.post(f"/v2/images/{image_id}/import", {"method": method})

    def parts(self, image_id: str) -> Iterator[Response]:
        """Sent to S3 in parts."""
        path = f"/ext/v1/images/{image_id}/uploads"
        begun = self.producer.post(path, {"size": len(CONTENT)})
        yield begun
        (upload,) = [
            one
            for one in self.producer.get(path).document["uploads"]
            if one["state"] == "open"
        ]
        urls = self.producer.post(upload["self"] + "/urls", {"part_numbers": [1, 2, 3]})
        for part in urls.document["parts"]:
            start = (part["part_number"] - 1) * PART
            piece = CONTENT[start : start + part["size"]]
            assert requests.put(part["url"], piece, timeout=10).ok
        yield self.producer.post(upload["self"] + "/complete")

    def delete(self, image_id: str) -> Iterator[Response]:
        """Deleted, with data, a member and a task."""
        self.producer.share(image_id, "consumer")
        list(self.stage(image_id))
        yield self.producer.delete(f"/v2/images/{image_id}")


@pytest.fixture
def story(producer: Actor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """
    Requests of a producer, and a source on loopback; parts are small, retries soon.
    """
    small_parts(monkeypatch)
    monkeypatch.setattr(downloads, "PART_BYTES", PART)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    monkeypatch.setattr("chalicelib.background.sources.SURPLUS_SECONDS", 0.01)
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    monkeypatch.setattr(uploads, "_MEBIBYTE", 1)
    allow(monkeypatch, "127.0.0.1")
    source = WebSource(CONTENT)
    with serving(source):
        yield Story(producer, source)


@pytest.fixture
def pump(pump: Pump) -> Pump:
    """Queues that give what a dead run had to another one at once."""
    sqs = boto3.client("sqs")
    for url in (backend.QUEUE_URL, backend.IMPORT_QUEUE_URL):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    return pump


def run(story: Callable[[str], Iterator[Response]], image_id: str, pump: Pump) -> bool:
    """Have a story go its way once more; tell whether nothing was refused."""
    refused = [response for response in story(image_id) if response.status >= 400]
    pump.drain()
    return not refused


def let_time_pass(days: float, pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sweep come some days later."""
    with monkeypatch.context() as later:
        then = clock.now() + timedelta(days=days)
        later.setattr(clock, "now", lambda: then)
        save_cursors({})  # The round of a new day begins.
        sweep.sweep(60)
        pump.drain()


def assert_all_or_nothing(producer: Actor, image_id: str) -> str:
    """See that an image has all of its data or none, and nothing else is kept."""
    image = producer.get(f"/v2/images/{image_id}").document
    kept = stored_objects(image_id)
    assert multiparts(image_id) == []
    if image["status"] == "active":
        assert image["os_hash_value"] == hashlib.sha512(CONTENT).hexdigest()
        assert producer.download(image_id).body == CONTENT
        assert len(kept) == 1
    else:
        assert image["status"] in ("queued", "uploading")
        assert len(kept) == (image["status"] == "uploading")
    return str(image["status"])


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", ["upload", "stage", "web", "parts"])
def test_an_image_gets_all_of_its_data_or_none(
    way: str, moment: str, story: Story, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call the process dies at; and then the image still can get it."""
    producer = story.producer
    for number in count():
        image_id = producer.make_image(disk_format="raw", container_format="bare")
        died = False
        try:
            with dying_at(number, moment):
                run(getattr(story, way), image_id, pump)
        except Death:
            died = True
        pump.drain()
        let_time_pass(0.1, pump, monkeypatch)
        let_time_pass(8, pump, monkeypatch)
        status = assert_all_or_nothing(producer, image_id)
        if status == "uploading":
            producer.post(f"/v2/images/{image_id}/import", GLANCE_DIRECT)
        elif status == "queued":
            assert run(getattr(story, way), image_id, pump)
        assert assert_all_or_nothing(producer, image_id) == "active"
        if not died:
            break
    assert number > 2


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deletion_takes_everything_or_nothing(
    moment: str, story: Story, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what the deleted image had, nothing is left but its tombstone."""
    producer = story.producer
    for number in count():
        image_id = producer.make_image(disk_format="raw", container_format="bare")
        steps = story.delete(image_id)
        died = False
        try:
            producer.share(image_id, "other")
            with dying_at(number, moment):
                list(steps)
                pump.drain()
        except Death:
            died = True
        pump.drain()
        if producer.get(f"/v2/images/{image_id}").status == 200:
            let_time_pass(0.1, pump, monkeypatch)
            assert_all_or_nothing(producer, image_id)
            producer.delete(f"/v2/images/{image_id}")
            pump.drain()
        assert stored_objects(image_id) == []
        assert multiparts(image_id) == []
        assert upload_store.list_uploads(image_id) == []
        assert [raw["sk"]["S"] for raw in dynamodb.query_collection(image_id)] == [
            "IMAGE"
        ]
        if not died:
            break
    assert number > 8
