"""The queues: imports for the importer; direct uploads and copies for the worker.

Each message names a group, the project that its work is for: a standard queue serves
groups fairly, however many messages one of them has (fair queues of SQS).
"""

import hashlib
import json
from datetime import timedelta
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client
from chalicelib.domain.uploads import WEB_DOWNLOAD, Upload
from chalicelib.errors import Unavailable

KEPT: Final = timedelta(days=4)
"""Time after which a queue discards a message."""

_UNAVAILABLE: Final = "The queue is unavailable; retry."


class UploadMessage(NamedTuple):
    """An upload to process."""

    image_id: str
    upload_id: str
    waits: int = 0
    """How often it was sent again because its project had too many in progress."""


class CopyMessage(NamedTuple):
    """An image whose copies in the memberships after a project's id may be outdated.

    `owner` is the project that the job is for; old messages lack it.
    """

    image_id: str
    after: str
    owner: str = ""


def send_upload(upload: Upload, delay: int = 0, waits: int = 0) -> None:
    """Send an upload to its function, after a delay of 0 to 900 seconds.

    A `web-download` goes to the queue of imports, so that nothing else waits for it.
    """
    message: dict[str, Any] = {"image_id": upload.image_id, "upload_id": upload.id}
    if waits:
        message["waits"] = waits
    _send(_url_of(upload.method), message, upload.project_id, delay)


def has_backlog(method: str) -> bool:
    """Return whether messages wait to be received where uploads of a method do.

    SQS counts approximately. Those that are delayed or in flight do not count.
    """
    name = "ApproximateNumberOfMessages"
    try:
        response = client("sqs").get_queue_attributes(
            QueueUrl=_url_of(method), AttributeNames=[name]
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable(_UNAVAILABLE) from exc
    return int(response["Attributes"][name]) > 0


def send_copies(message: CopyMessage) -> None:
    """Have the worker update the copies in an image's next memberships."""
    body = {
        "image_id": message.image_id,
        "copy_after": message.after,
        "owner": message.owner,
    }
    _send(settings.current.queue_url, body, message.owner)


def parse_message(body: str) -> UploadMessage | CopyMessage:
    """Parse a message."""
    message = json.loads(body)
    if "copy_after" in message:
        owner = message.get("owner", "")
        return CopyMessage(message["image_id"], message["copy_after"], owner)
    return UploadMessage(
        message["image_id"], message["upload_id"], message.get("waits", 0)
    )


def _url_of(method: str) -> str:
    current = settings.current
    imports = current.import_queue_url or current.queue_url
    return imports if method == WEB_DOWNLOAD else current.queue_url


def _send(url: str, message: dict[str, Any], project_id: str, delay: int = 0) -> None:
    try:
        client("sqs").send_message(
            QueueUrl=url,
            MessageBody=json.dumps(message),
            # A project's id may have characters that SQS refuses.
            MessageGroupId=hashlib.sha256(project_id.encode()).hexdigest(),
            DelaySeconds=delay,
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable(_UNAVAILABLE) from exc
