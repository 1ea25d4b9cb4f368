"""What AWS does to a busy service: conflicts, lost responses, throttling, silence."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from threading import Event
from time import sleep
from typing import NoReturn

import pytest

from chalicelib import clock, telemetry
from chalicelib.api.app import App, install
from chalicelib.api.requests import ANY_TYPE
from chalicelib.api.responses import no_content
from chalicelib.domain.quotas import UPLOADING
from chalicelib.store import dynamodb
from chalicelib.store import usage as usage_store
from infra.local.worker import Pump
from tests.actors import Actor, Response, in_process
from tests.aws_faults import (
    CANCELLED,
    CONFLICTS,
    THROUGHPUT_EXCEEDED,
    Refusal,
    in_conflict,
    leaving_deletions_undone,
    leaving_keys_unread,
    losing_responses,
    on,
    overloaded,
    timing_out,
    truth,
)
from tests.configuring import configure
from tests.scene import error
from tests.writes import (
    EXTENSION_WRITES,
    PUT,
    TRANSACT,
    UPDATE,
    WRITES,
    Act,
    accept,
    add_member,
    members,
    remove_member,
    set_attribute,
    shared_image,
)

THROTTLED = Refusal(CANCELLED, ("None", "ThrottlingError"))
FAULTS: dict[str, Callable[[str], AbstractContextManager[None]]] = {
    "a conflict, twice": partial(in_conflict, times=2),
    "a lost response": losing_responses,
}


def _outcome(act: Act, producer: Actor, consumer: Actor) -> str:
    """Return the response to a write on a new image, and what it left, for any id."""
    image_id = shared_image(producer)
    before = {str(item) for item in truth()}
    response = act(producer, consumer, image_id)
    left = [item for item in truth() if str(item) not in before]
    text = json.dumps([response.status, response.document, left], indent=1)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", text)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", [*WRITES, *EXTENSION_WRITES])
def test_a_disturbed_write_ends_as_if_it_was_not(
    write: str,
    fault: str,
    producer: Actor,
    consumer: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its response and what it leaves are the same: it was done, and once."""
    now = datetime(2026, 11, 24, 8, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    operation, act = (WRITES | EXTENSION_WRITES)[write]
    undisturbed = _outcome(act, producer, consumer)

    def disturbed(producer: Actor, consumer: Actor, image_id: str) -> Response:
        with FAULTS[fault](operation):
            return act(producer, consumer, image_id)

    assert undisturbed == _outcome(disturbed, producer, consumer)


@pytest.mark.parametrize("write", [*WRITES, *EXTENSION_WRITES])
def test_a_write_in_conflict_for_long_is_unavailable(
    write: str, producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 tells the client to come back, and nothing is changed."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 1)
    image_id = shared_image(producer)
    before = truth()

    operation, act = (WRITES | EXTENSION_WRITES)[write]
    with in_conflict(operation):
        response = act(producer, consumer, image_id)

    message = "Too many concurrent requests change the image; retry."
    detail = response.document.get("message", response.document.get("detail"))
    assert (503, message) == (response.status, detail)
    assert response.headers["retry-after"] == "1"
    assert before == truth()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disturbed_upload_is_counted_once(
    fault: str, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it begins, and as it ends."""
    configure(monkeypatch, image_count_uploading=1)
    formats = {"disk_format": "raw", "container_format": "bare"}
    image_id = producer.make_image(**formats)
    counts = []

    with FAULTS[fault](TRANSACT):
        begun = producer.post(f"/ext/v1/images/{image_id}/uploads", {"size": 12})
    counts.append(usage_store.load_usage("producer").used[UPLOADING])
    with FAULTS[fault](TRANSACT):
        ended = producer.delete(begun.document["self"])
    counts.append(usage_store.load_usage("producer").used[UPLOADING])

    assert (begun.status, ended.status) == (201, 204)
    assert counts == [1, 0]


def test_a_throttled_transaction_is_tried_again(producer: Actor, image_id: str) -> None:
    """
    Botocore tries a throttled call again, but not a transaction with a throttled item.
    """
    with in_conflict(TRANSACT, 2, THROTTLED):
        added = add_member(producer, image_id, "consumer")
    with in_conflict(TRANSACT, 2, THROTTLED):
        removed = remove_member(producer, image_id, "consumer")

    assert (added.status, removed.status) == (200, 204)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (THROTTLED, "The database is unavailable; retry."),
        (None, "Too many concurrent requests change the image; retry."),
    ],
)
def test_a_transaction_refused_for_long_is_told_with_its_reason(  # noqa: PLR0913 - a row
    *,
    refusal: Refusal | None,
    words: str,
    producer: Actor,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In words for the client, and in DynamoDB's own for the log."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 1)

    with in_conflict(TRANSACT, refusal=refusal):
        response = add_member(producer, image_id, "consumer")

    assert error(503, "Service Unavailable", words) == (
        response.status,
        response.document,
    )
    _, reason = (refusal or CONFLICTS[TRANSACT]).reasons
    assert reason in caplog.text


def test_a_transaction_refused_for_another_reason_is_a_bug(
    producer: Actor, image_id: str
) -> None:
    """It is not taken for a condition that failed."""
    refusal = Refusal(CANCELLED, ("None", "ValidationError"))
    with on(f"before-call.dynamodb.{TRANSACT}", lambda **_: refusal.response):
        response = add_member(producer, image_id, "consumer")

    assert response.status == 500
    assert members() == []


@pytest.mark.parametrize("fault", [in_conflict, timing_out])
def test_a_lost_recent_change_spoils_nothing(
    fault: Callable[[str], AbstractContextManager[None]],
    producer: Actor,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    The write succeeds as usual, and the log has the loss.
    """
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 1)

    with fault(PUT):
        added = add_member(producer, image_id, "consumer")

    request_id = added.headers["x-openstack-request-id"]
    messages = [one.message for one in caplog.records if one.name == "cloud-images"]
    project = telemetry.named_project("consumer")
    lost = f"{request_id}: A recent change of the list of {project} was lost"
    assert messages == [lost]
    assert added.status == 200
    assert members() == ["consumer"]


def test_keys_left_unread_are_read(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """DynamoDB may answer a batch in parts; no image is missed for it."""
    producer.share(image_id, "consumer")
    whole = producer.get(f"/v2/images/{image_id}").document
    with leaving_keys_unread():
        shown = consumer.get(f"/v2/images/{image_id}")

    assert (200, whole) == (shown.status, shown.document)


def test_keys_left_unread_for_long_make_the_service_unavailable(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again with pauses, and not for ever."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 1)

    with leaving_keys_unread(times=None) as calls:
        shown = producer.get(f"/v2/images/{image_id}")

    assert shown.status == 503
    assert 1 < len(calls) < 20


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (timing_out, "BatchGetItem"),
        (timing_out, "Query"),
        (timing_out, UPDATE),
        (overloaded, "BatchGetItem"),
        (overloaded, TRANSACT),
    ],
)
def test_a_database_that_cannot_answer_makes_the_service_unavailable(
    fault: Callable[[str], AbstractContextManager[None]],
    operation: str,
    producer: Actor,
    image_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 tells the client to come back, and the log why; nothing is changed."""
    act = {
        "BatchGetItem": partial(producer.get, f"/v2/images/{image_id}"),
        "Query": partial(producer.get, f"/v2/images/{image_id}/members"),
        UPDATE: partial(set_attribute, producer, image_id, "name", "new"),
        TRANSACT: partial(add_member, producer, image_id, "consumer"),
    }[operation]
    before = truth()

    with fault(operation):
        response = act()

    message = "The database is unavailable; retry."
    wanted = error(503, "Service Unavailable", message)
    assert wanted == (response.status, response.document)
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-openstack-request-id"] in caplog.text
    assert before == truth()


def test_members_left_over_do_not_bring_a_deleted_image_back(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Until they are removed, nobody sees them."""
    producer.share(image_id, "consumer")
    accept(consumer, image_id)

    deleted = producer.delete(f"/v2/images/{image_id}")

    assert deleted.status == 204
    assert [item["sk"]["S"] for item in truth()] == ["IMAGE", "MEMBER#consumer"]
    assert consumer.listed() == []
    assert consumer.get(f"/v2/images/{image_id}").status == 404
    assert consumer.get(f"/v2/images/{image_id}/members").status == 404


@pytest.mark.parametrize("operation", ["BatchWriteItem", "Query"])
@pytest.mark.parametrize("fault", [timing_out, overloaded])
def test_a_removal_that_fails_is_tried_again(  # noqa: PLR0913 - a row
    *,
    fault: Callable[[str], AbstractContextManager[None]],
    operation: str,
    producer: Actor,
    image_id: str,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The stream's record stays until all that follows from it is done."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 1)
    producer.share(image_id, "consumer")
    producer.delete(f"/v2/images/{image_id}")

    with fault(operation):
        pump.step()
    assert len(truth()) == 2
    assert "will be retried" in caplog.text

    pump.drain()
    assert [item["sk"]["S"] for item in truth()] == ["IMAGE"]


def test_deletions_left_undone_are_done(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """DynamoDB may take a batch in parts; no membership stays for it."""
    producer.share(image_id, *(f"p{number}" for number in range(60)))
    producer.delete(f"/v2/images/{image_id}")

    with leaving_deletions_undone(times=4) as sizes:
        pump.drain()

    assert [item["sk"]["S"] for item in truth()] == ["IMAGE"]
    assert sorted(sizes) == [1, 3, 10, 25, 25]


def test_a_throttled_deletion_of_members_is_tried_again(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """A batch of which DynamoDB takes nothing is refused as a whole."""
    producer.share(image_id, "a", "b")
    producer.delete(f"/v2/images/{image_id}")

    with in_conflict("BatchWriteItem", 2, Refusal(THROUGHPUT_EXCEEDED)):
        pump.drain()

    assert [item["sk"]["S"] for item in truth()] == ["IMAGE"]


def test_calls_made_together_end_together() -> None:
    """
    What failed first does not leave the other behind: Lambda would freeze its thread.
    """
    failed, ended = Event(), Event()

    def fail() -> None:
        failed.set()
        raise ConnectionError

    def take_longer() -> None:
        failed.wait(5)
        sleep(0.1)
        ended.set()

    with pytest.raises(ConnectionError):
        dynamodb.in_parallel(fail, take_longer)

    assert ended.is_set()


def test_an_identity_that_breaks_lets_nobody_by() -> None:
    """503, in the API's own form, and the log tells of it."""
    broken = App(app_name="broken")
    broken.route("/v2/images", content_types=ANY_TYPE)(no_content)

    def identify(_: object) -> NoReturn:
        raise OverflowError

    install(broken, identify)
    response = Actor(in_process(broken), "producer").get("/v2/images")

    message = "The identity service is unavailable; retry."
    wanted = error(503, "Service Unavailable", message)
    assert wanted == (response.status, response.document)
