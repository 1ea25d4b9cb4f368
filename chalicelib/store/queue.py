"""The queue of the worker: uploads, and copies of images in their memberships."""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client
from chalicelib.errors import Unavailable


@dataclass(frozen=True, slots=True)
class UploadJob:
    """An upload that waits for a worker."""

    image_id: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class CopyJob:
    """An image whose copies, in the memberships after a project's id, may be old."""

    image_id: str
    after: str


def send_job(image_id: str, upload_id: str, delay: int = 0) -> None:
    """Have a worker take up an upload, at once or some seconds later (900 at most)."""
    _send({"image_id": image_id, "upload_id": upload_id}, delay)


def send_copy_job(image_id: str, after: str = "") -> None:
    """Have a worker update the copies in an image's next memberships."""
    _send({"image_id": image_id, "copy_after": after})


def read_job(body: str) -> UploadJob | CopyJob:
    """Parse a message."""
    job = json.loads(body)
    if "copy_after" in job:
        return CopyJob(job["image_id"], job["copy_after"])
    return UploadJob(job["image_id"], job["upload_id"])


def _send(job: dict[str, Any], delay: int = 0) -> None:
    try:
        client("sqs").send_message(
            QueueUrl=settings.current.queue_url,
            MessageBody=json.dumps(job),
            DelaySeconds=delay,
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable("The queue of the worker cannot answer just now.") from exc
