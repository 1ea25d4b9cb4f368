"""
Lambda's half of the functions beside the API: it reads stream and queue for them.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final

from botocore.session import get_session
from chalice.local import LambdaContext

from infra.local.backend import QUEUE_URL
from infra.local.mended_moto import take_records

Handler = Callable[[Any, Any], Any]

PAUSE_SECONDS: Final = 0.2
WORKER_SECONDS: Final = 900
"""
How long a run of the worker may take, as in Lambda.
"""

_logger = logging.getLogger(__name__)


class Pump:
    """
    Hands what waits on a table's stream to one function, on the queue to another.
    """

    def __init__(self, table_name: str, consumer: Handler, worker: Handler) -> None:
        self._table_name = table_name
        self._consumer = consumer
        self._worker = worker
        self._left: list[dict[str, Any]] = []
        self._queue = get_session().create_client("sqs")

    def turn(self) -> int:
        """
        Hand on what waits by now; give how much that was.
        """
        return self._follow() + self._work()

    def settle(self) -> None:
        """
        Hand on what waits, and what comes of that, until nothing does.
        """
        while self.turn():
            pass

    def _follow(self) -> int:
        self._left += map(_record, take_records(self._table_name))
        records = self._left
        if not records:
            return 0
        try:
            answer = self._consumer({"Records": records}, _context())
        except Exception:
            _logger.exception("The consumer broke down; it gets the records again.")
            self._left = records
            return 0
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
        first = min(map(numbers.index, failed), default=len(records))
        self._left = records[first:]
        return first

    def _work(self) -> int:
        answer = self._queue.receive_message(QueueUrl=QUEUE_URL)
        messages = answer.get("Messages", [])
        for message in messages:
            handle = message["ReceiptHandle"]
            record = {"body": message["Body"], "receiptHandle": handle}
            try:
                self._worker({"Records": [record]}, _context())
            except Exception:
                _logger.exception("The worker broke down; it gets the message again.")
            else:
                self._queue.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=handle)
        return len(messages)


@contextmanager
def pumping(pump: Pump) -> Iterator[None]:
    """
    Hand on whatever comes, in a thread, while the context lasts.
    """
    ended = Event()

    def run() -> None:
        while not ended.is_set():
            if not pump.turn():
                ended.wait(PAUSE_SECONDS)

    thread = Thread(target=run, name="pump", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _record(record: dict[str, Any]) -> dict[str, Any]:
    """
    Give a record as Lambda's events have it: the time is a number.
    """
    change = record["dynamodb"]
    time = change["ApproximateCreationDateTime"].timestamp()
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/local/stream/local"
    return {
        **record,
        "eventSourceARN": arn,
        "dynamodb": {**change, "ApproximateCreationDateTime": time},
    }


def _context() -> LambdaContext:
    return LambdaContext("cloud-images", 1024, WORKER_SECONDS * 1000)
