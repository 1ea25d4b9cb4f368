"""What the store sends to SQS, and how it reads what SQS delivers."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from chalicelib.domain.uploads import (
    DIRECT_UPLOAD,
    GLANCE_DIRECT,
    WEB_DOWNLOAD,
    Upload,
    UploadState,
)
from chalicelib.errors import Unavailable
from chalicelib.store import queue
from chalicelib.store.queue import CopyMessage, UploadMessage
from tests.configuring import configure

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UPLOADS, IMPORTS = "https://queue.invalid/uploads", "https://queue.invalid/imports"


@dataclass
class Queues:
    """A client of SQS that notes what it is asked, and fails as a test says."""

    number: str = "0"
    error: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def send_message(self, **parameters: Any) -> None:
        """Note a message, with its body parsed."""
        if self.error:
            raise self.error
        body = json.loads(parameters.pop("MessageBody"))
        self.asked.append({**parameters, "body": body})

    def get_queue_attributes(self, **parameters: Any) -> Any:
        """Return the number of messages."""
        if self.error:
            raise self.error
        self.asked.append(parameters)
        return {"Attributes": {"ApproximateNumberOfMessages": self.number}}


@pytest.fixture(autouse=True)
def queues(monkeypatch: pytest.MonkeyPatch) -> Queues:
    """Queues in the place of SQS's."""
    queues = Queues()
    clients = {"sqs": queues}
    monkeypatch.setattr(queue, "client", lambda name: clients[name])
    configure(monkeypatch, queue_url=UPLOADS, import_queue_url=IMPORTS)
    return queues


def upload(method: str) -> Upload:
    """Return an upload by a method."""
    state = UploadState.PENDING
    return Upload("9c27", "6b1f", method, state, "prø", "alice", "req-1", NOW, NOW)


def of_project(url: str, body: dict[str, Any], delay: int = 0) -> dict[str, Any]:
    """Return a message in the group of the project."""
    return {
        "QueueUrl": url,
        "MessageGroupId": hashlib.sha256("prø".encode()).hexdigest(),
        "DelaySeconds": delay,
        "body": body,
    }


BODY = {"image_id": "6b1f", "upload_id": "9c27"}


@pytest.mark.parametrize(
    ("method", "url"),
    [(DIRECT_UPLOAD, UPLOADS), (GLANCE_DIRECT, UPLOADS), (WEB_DOWNLOAD, IMPORTS)],
)
def test_an_upload_goes_to_the_queue_of_its_method(
    queues: Queues, method: str, url: str
) -> None:
    """In the group of its project; it says how often it has waited, if it has."""
    queue.send_upload(upload(method))
    queue.send_upload(upload(method), 30, 2)

    assert queues.asked == [
        of_project(url, BODY),
        of_project(url, {**BODY, "waits": 2}, 30),
    ]


def test_without_a_queue_of_imports_all_goes_to_one(
    monkeypatch: pytest.MonkeyPatch, queues: Queues
) -> None:
    """As where a stack of an earlier release is still in place."""
    configure(monkeypatch, import_queue_url="")

    queue.send_upload(upload(WEB_DOWNLOAD))

    assert queues.asked == [of_project(UPLOADS, BODY)]


@pytest.mark.parametrize(("number", "waits"), [("0", False), ("1", True), ("12", True)])
@pytest.mark.parametrize(
    ("method", "url"), [(DIRECT_UPLOAD, UPLOADS), (WEB_DOWNLOAD, IMPORTS)]
)
def test_a_backlog_is_what_waits_in_the_queue_of_a_method(
    queues: Queues, method: str, url: str, number: str, *, waits: bool
) -> None:
    """One message is one."""
    queues.number = number

    assert queue.has_backlog(method) is waits
    names = ["ApproximateNumberOfMessages"]
    assert queues.asked == [{"QueueUrl": url, "AttributeNames": names}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BODY, UploadMessage("6b1f", "9c27")),
        ({**BODY, "waits": 3}, UploadMessage("6b1f", "9c27", 3)),
        ({"image_id": "6b1f", "copy_after": "a"}, CopyMessage("6b1f", "a")),
        (
            {"image_id": "6b1f", "copy_after": "", "owner": "producer"},
            CopyMessage("6b1f", "", "producer"),
        ),
    ],
)
def test_a_message_is_read_as_it_was_sent(body: Any, message: Any) -> None:
    """Also one of an earlier release, which lacks what came later."""
    assert queue.parse_message(json.dumps(body)) == message


def test_copies_are_the_workers(queues: Queues) -> None:
    """Their messages say where to go on, and come back as they were sent."""
    message = CopyMessage("6b1f", "consumer", "prø")

    queue.send_copies(message)

    body = {"image_id": "6b1f", "copy_after": "consumer", "owner": "prø"}
    assert queues.asked == [of_project(UPLOADS, body)]
    assert queue.parse_message(json.dumps(body)) == message


@pytest.mark.parametrize(
    "error",
    [
        HTTPClientError(error="down"),
        ClientError({"Error": {"Code": "InternalError"}}, "operation"),
    ],
)
def test_a_queue_that_fails_is_503(queues: Queues, error: Exception) -> None:
    """Whatever it was asked."""
    queues.error = error

    for ask in (
        lambda: queue.send_upload(upload(DIRECT_UPLOAD)),
        lambda: queue.has_backlog(DIRECT_UPLOAD),
        lambda: queue.send_copies(CopyMessage("6b1f", "")),
    ):
        with pytest.raises(Unavailable, match="The queue is unavailable; retry"):
            ask()
