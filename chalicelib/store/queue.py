"""The queue of uploads that wait for a worker."""

import json

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client
from chalicelib.errors import Unavailable


def send_job(image_id: str, upload_id: str, delay: int = 0) -> None:
    """Have a worker take up an upload, at once or some seconds later (900 at most)."""
    body = json.dumps({"image_id": image_id, "upload_id": upload_id})
    try:
        client("sqs").send_message(
            QueueUrl=settings.current.queue_url,
            MessageBody=body,
            DelaySeconds=delay,
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable("The queue of uploads cannot answer just now.") from exc


def read_job(body: str) -> tuple[str, str]:
    """Read a message: an image's id and an upload's."""
    job = json.loads(body)
    return job["image_id"], job["upload_id"]
