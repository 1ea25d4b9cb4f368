"""Lambda's half of the functions beside the API: it reads stream and queue for them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final

from botocore.session import get_session

from infra.local.backend import QUEUE_URL
from infra.local.streams import Stream

Handler = Callable[[Any, Any], Any]

PAUSE_SECONDS: Final = 0.2
WORKERS: Final = 3
ENDING_SECONDS: Final = 3
"""How long the end waits for what the threads do; a source may be slow to answer."""

WORKER_SECONDS: Final = 900
"""How long a run of the worker may take, as in Lambda."""

_logger = logging.getLogger(__name__)


class Pump:
    """Hands what waits on a table's stream to one function, on the queue to another."""

    def __init__(
        self,
        stream: Stream,
        consumer: Handler,
        worker: Handler,
    ) -> None:
        self._stream = stream
        self._consumer = consumer
        self._worker = worker
        self._left: list[dict[str, Any]] = []
        self._queue = get_session().create_client("sqs")
        self._context = _Context()

    def turn(self) -> int:
        """Hand on what waits by now; return how much that was."""
        return self.follow() + self.work()

    def settle(self) -> None:
        """Hand on what waits, and what comes of that, until nothing does."""
        while self.turn():
            pass

    def end(self) -> None:
        """Have each run of the worker end soon, as before its time is over."""
        self._context.is_over = True

    def follow(self) -> int:
        """Hand the consumer what is on the stream by now; return how much it took."""
        self._left += map(_record, self._stream.take())
        records = self._left
        if not records:
            # The queue ends with the process; what is on it comes from the stream.
            if not self._waiting():
                self._stream.keep()
            return 0
        try:
            answer = self._consumer({"Records": records}, self._context)
        except Exception:
            _logger.exception("The consumer broke down; it gets the records again.")
            return 0
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
        first = min(map(numbers.index, failed), default=len(records))
        self._left = records[first:]
        return first

    def work(self) -> int:
        """Hand the worker a message, if there is one; return how many that were."""
        answer = self._queue.receive_message(QueueUrl=QUEUE_URL)
        messages = answer.get("Messages", [])
        for message in messages:
            handle = message["ReceiptHandle"]
            record = {"body": message["Body"], "receiptHandle": handle}
            try:
                self._worker({"Records": [record]}, self._context)
            except Exception:
                _logger.exception("The worker broke down; it gets the message again.")
            else:
                self._queue.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=handle)
        return len(messages)

    def _waiting(self) -> int:
        """Return how many messages are on the queue, or in the worker's hands."""
        names = ["", "NotVisible", "Delayed"]
        asked = [f"ApproximateNumberOfMessages{name}" for name in names]
        answer = self._queue.get_queue_attributes(
            QueueUrl=QUEUE_URL, AttributeNames=asked
        )
        return sum(int(answer["Attributes"][name]) for name in asked)


@contextmanager
def pumping(pump: Pump) -> Iterator[None]:
    """Hand on whatever comes, in threads, while the context lasts.

    A slow source keeps one worker busy, and nobody else.
    """
    ended = Event()

    def run(hand_on: Callable[[], int]) -> None:
        while not ended.is_set():
            try:
                found = hand_on()
            except Exception:
                _logger.exception("What waits is handed on later.")
                found = 0
            if not found:
                ended.wait(PAUSE_SECONDS)

    jobs = [pump.follow, *[pump.work] * WORKERS]
    threads = [Thread(target=run, args=[job], daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        pump.end()
        for thread in threads:
            thread.join(ENDING_SECONDS)


class _Context:
    """What Lambda tells a function of its run."""

    is_over = False

    def get_remaining_time_in_millis(self) -> int:
        return 0 if self.is_over else WORKER_SECONDS * 1000


def _record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as Lambda's events have it: the time is a number."""
    change = record["dynamodb"]
    time = change["ApproximateCreationDateTime"].timestamp()
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/local/stream/local"
    return {
        **record,
        "eventSourceARN": arn,
        "dynamodb": {**change, "ApproximateCreationDateTime": time},
    }
