"""
The queue of uploads that wait for a worker.
"""

import json
from functools import cache
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import environment
from chalicelib.dynamo import session
from chalicelib.errors import Unavailable

_making = Lock()


def send_job(image_id: str, upload_id: str, delay: int = 0) -> None:
    """
    Have a worker take up an upload, at once or some seconds later (900 at most).
    """
    body = json.dumps({"image_id": image_id, "upload_id": upload_id})
    try:
        _client().send_message(
            QueueUrl=environment.settings.queue_url,
            MessageBody=body,
            DelaySeconds=delay,
        )
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable("The queue of uploads cannot answer just now.") from exc


def read_job(body: str) -> tuple[str, str]:
    """
    Read a message: an image's id and an upload's.
    """
    job = json.loads(body)
    return job["image_id"], job["upload_id"]


def _client() -> Any:  # noqa: ANN401 - botocore's own
    with _making:
        return _made_client()


@cache
def _made_client() -> Any:  # noqa: ANN401 - botocore's own
    retries = {"mode": "standard", "total_max_attempts": 3}
    config = Config(connect_timeout=2, read_timeout=5, retries=retries)
    return session.create_client("sqs", config=config)
