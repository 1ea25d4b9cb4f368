"""Each function may do what it does and no more: counted, call by call.

That it may do what it does is held in every test: the fixture `rights` sees to it. That
it may do no more is held here, where one test makes every call that there is.
"""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import requests

from chalicelib import clock, ids
from chalicelib.background import downloads, functions, sweep, transfers
from chalicelib.domain.quotas import IMAGE_QUOTAS, OFFER_QUOTAS
from chalicelib.identity.http_client import UpstreamError
from chalicelib.identity.secret import read_secret
from chalicelib.store import objects
from chalicelib.store import uploads as upload_store
from infra.local.worker import Pump
from infra.local.worker import _Context as Context
from tests.actors import Actor, Send
from tests.bucket_faults import small_parts
from tests.configuring import configure
from tests.contract.player import Conversation, read
from tests.infra.rights import INDEXES, SECRETS, Watch, always, granted
from tests.web_source import WebSource, allow, serving

CONTENT = b"cloud images" * 100
RECORDINGS = ("data", "list-filters", "tags-and-actions", "workflow")
"""The recorded conversations that make every call which needs no large data."""


def test_each_function_may_do_what_it_does_and_no_more(
    rights: Watch, send: Send, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded conversations, every way of data, and what crashes leave."""
    small_parts(monkeypatch)
    monkeypatch.setattr(downloads, "PART_BYTES", 500)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    allow(monkeypatch, "127.0.0.1")
    limited: dict[str, Any] = dict.fromkeys((*IMAGE_QUOTAS, *OFFER_QUOTAS), 1_000)
    configure(monkeypatch, event_bus="default", **limited)
    for name in RECORDINGS:
        talk = Conversation(send)
        for step in read(name):
            talk.play(step)
    pump.drain()
    _use_data(send, pump)
    _read_secrets()
    _leave_and_sweep(send, pump, monkeypatch)

    for function, granted_rights in granted().items():
        used = rights.used[function] | always(function)
        assert used - granted_rights == set(), f"{function} lacks rights"
        assert granted_rights - used == set(), f"{function} needs no such rights"


def _use_data(send: Send, pump: Pump) -> None:
    producer = Actor(send, "producer")
    disk = {"disk_format": "raw", "container_format": "bare"}
    source = WebSource(CONTENT, cut_at=[700])  # The worker comes a second time.
    with serving(source):
        imported = producer.make_image(**disk)
        producer.post(
            f"/v2/images/{imported}/import",
            {"method": {"name": "web-download", "uri": source.uri}},
        )
        pump.drain()
        _import_as_before(producer, producer.make_image(**disk), source)
        source.statuses = [404]
        pump.drain()
    assert producer.download(imported).body == CONTENT
    sent = producer.make_image(**disk)
    _send_parts(producer, sent, {"size": len(CONTENT)})
    _have_worked(sent, is_over=True)
    pump.drain()
    assert producer.download(sent).body == CONTENT
    wrong = producer.make_image(**disk)
    _send_parts(producer, wrong, {"size": len(CONTENT), "sha512": "0" * 128})
    pump.drain()
    given_up = producer.make_image(**disk)
    path = f"/ext/v1/images/{given_up}/uploads"
    upload = producer.post(path, {"size": len(CONTENT)}).document
    producer.delete(f"{path}/{upload['id']}")
    share = f"/ext/v1/outgoing/{sent}/consumer"
    assert [producer.put(share, {"note": note}).status for note in "ab"] == [201, 200]
    patch = [{"op": "replace", "path": "/name", "value": "renamed"}]
    producer.patch(f"/v2/images/{sent}", patch)
    pump.drain()
    for image_id in (imported, sent):
        producer.delete(f"/v2/images/{image_id}")
    open_upload = producer.make_image(**disk)
    producer.post(f"/ext/v1/images/{open_upload}/uploads", {"size": 5})
    producer.delete(f"/v2/images/{open_upload}")
    pump.drain()


def _import_as_before(producer: Actor, image_id: str, source: WebSource) -> None:
    """Hand the worker an import, as a version with one queue left it there."""
    source.cut_at = [700]
    method = {"name": "web-download", "uri": source.uri}
    producer.post(f"/v2/images/{image_id}/import", {"method": method})
    _have_worked(image_id)


def _have_worked(image_id: str, *, is_over: bool = False) -> None:
    """Hand the worker the upload of an image, with or without time for it."""
    (upload,) = upload_store.list_uploads(image_id)
    body = json.dumps({"image_id": image_id, "upload_id": upload.id})
    record = {"body": body, "receiptHandle": "handle"}
    context = Context()
    context.is_over = is_over
    functions.worker({"Records": [record]}, context)


def _read_secrets() -> None:
    for place in SECRETS:
        with suppress(UpstreamError):  # There is none.
            read_secret(f"arn:aws:{place}:us-east-1:123456789012:secret:keystone")


def _send_parts(producer: Actor, image_id: str, document: Any) -> None:
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, document).document
    for one in upload["parts"]:
        requests.put(one["url"], CONTENT, timeout=60)
    producer.get(f"{path}/{upload['id']}")
    producer.post(f"{path}/{upload['id']}/complete")


def _leave_and_sweep(send: Send, pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Actor(send, "producer")
    disk = {"disk_format": "raw", "container_format": "bare"}
    waiting = producer.make_image(**disk)
    producer.post(
        f"/v2/images/{waiting}/import",
        {"method": {"name": "web-download", "uri": "http://127.0.0.1:9/none"}},
    )
    _send_parts(producer, producer.make_image(**disk), {"size": len(CONTENT)})
    left_alone = producer.make_image(**disk)
    producer.post(f"/ext/v1/images/{left_alone}/uploads", {"size": 5})
    nobody = ids.new_id()
    objects.put_data(nobody, nobody, b"left")
    objects.begin_multipart(nobody, nobody)
    event = {"version": "0", "source": "aws.events", "detail": {}}
    event |= dict.fromkeys(("account", "region", "time", "id", "detail-type"), "local")
    for time in (2 * sweep.IDLE, sweep.ABANDONED + timedelta(days=1)):
        later = clock.now() + time
        monkeypatch.setattr(clock, "now", lambda later=later: later)
        functions.sweep({**event, "resources": []}, Context())
    pump.drain()


def test_what_a_function_may_not_do_is_found(
    rights: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Function, action and resource are named."""
    query = ("dynamodb:Query", INDEXES)
    fewer = granted() | {"sweep": granted()["sweep"] - {query}}

    sweep.sweep(60)

    assert rights.excess == []
    with monkeypatch.context() as changed:
        changed.setattr("tests.infra.rights.granted", lambda: fewer)
        assert rights.excess == [f"sweep may not dynamodb:Query on {INDEXES}"]
