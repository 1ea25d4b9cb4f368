"""The worker's queue: uploads, and copies of images in their memberships."""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client
from chalicelib.errors import Unavailable


@dataclass(frozen=True, slots=True)
class UploadMessage:
    """An upload to process."""

    image_id: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class CopyMessage:
    """An image whose copies in the memberships after a project's id may be outdated."""

    image_id: str
    after: str


def send_upload(image_id: str, upload_id: str, delay: int = 0) -> None:
    """Send an upload to the worker, after a delay of 0 to 900 seconds."""
    _send({"image_id": image_id, "upload_id": upload_id}, delay)


def send_copies(image_id: str, after: str = "") -> None:
    """Have the worker update the copies in an image's next memberships."""
    _send({"image_id": image_id, "copy_after": after})


def parse_message(body: str) -> UploadMessage | CopyMessage:
    """Parse a message."""
    message = json.loads(body)
    if "copy_after" in message:
        return CopyMessage(message["image_id"], message["copy_after"])
    return UploadMessage(message["image_id"], message["upload_id"])


def _send(message: dict[str, Any], delay: int = 0) -> None:
    try:
        client("sqs").send_message(
            QueueUrl=settings.current.queue_url,
            MessageBody=json.dumps(message),
            DelaySeconds=delay,
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable("The worker's queue is unavailable; retry.") from exc
