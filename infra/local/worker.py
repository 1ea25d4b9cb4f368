"""Lambda's half of the functions beside the API: it reads stream and queues."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore, Event, Thread
from typing import Any, Final

import boto3

from infra.local.backend import IMPORT_QUEUE_URL, QUEUE_URL
from infra.local.streams import Stream

Handler = Callable[[Any, Any], Any]

PAUSE_SECONDS: Final = 0.2
SLOTS: Final = 10
"""How many messages of a queue are processed at once, as in Lambda."""

ENDING_SECONDS: Final = 3
"""How long the end waits for what the threads do; a source may be slow to answer."""

WORKER_SECONDS: Final = 900
"""How long a run on a message may take, as in Lambda."""

_logger = logging.getLogger(__name__)


class Pump:
    """Invokes the functions with the records of a stream and the messages of queues."""

    def __init__(
        self,
        stream: Stream,
        stream_function: Handler,
        worker: Handler,
        importer: Handler,
    ) -> None:
        self._stream = stream
        self._stream_function = stream_function
        self._handlers = {QUEUE_URL: worker, IMPORT_QUEUE_URL: importer}
        self._free = {url: BoundedSemaphore(SLOTS) for url in self._handlers}
        self._runs: list[Thread] = []
        self._records: list[dict[str, Any]] = []
        self._queue = boto3.client("sqs")
        self._context = _Context()

    def step(self) -> int:
        """Process what waits by now; return how many records and messages that were."""
        return self.read_stream() + self.receive()

    def drain(self) -> None:
        """Process records and messages until none is left."""
        while self.step():
            pass

    def loops(self) -> list[Callable[[], int]]:
        """Return what to call repeatedly, each in a thread of its own."""
        return [
            self.read_stream,
            *[partial(self._start, url) for url in self._handlers],
        ]

    def end(self) -> list[Thread]:
        """Have each run end soon, as before its time is over; return their threads."""
        self._context.is_over = True
        return self._runs

    def read_stream(self) -> int:
        """Process the records on the stream by now; return how many were processed."""
        self._records += map(_record, self._stream.take())
        records = self._records
        if not records:
            # The queue ends with the process; what is on it comes from the stream.
            if not self._waiting():
                self._stream.keep()
            return 0
        try:
            response = self._stream_function({"Records": records}, self._context)
        except Exception:
            _logger.exception("The stream function failed; its records are retried.")
            return 0
        failed = {
            failure["itemIdentifier"] for failure in response["batchItemFailures"]
        }
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        first = min(map(numbers.index, failed), default=len(records))
        self._records = records[first:]
        return first

    def receive(self) -> int:
        """Process a message of each queue; return how many that were."""
        received = [
            (url, message) for url in self._handlers for message in self._receive(url)
        ]
        for url, message in received:
            self._process(url, message)
        return len(received)

    def _start(self, url: str) -> int:
        """Process a message in a thread of its own, if there is one and a free slot."""
        if not self._free[url].acquire(timeout=PAUSE_SECONDS):
            return 0
        messages = self._receive(url)
        if not messages:
            self._free[url].release()
        for message in messages:
            run = Thread(target=self._run, args=[url, message], daemon=True)
            self._runs = [earlier for earlier in self._runs if earlier.is_alive()] + [
                run
            ]
            run.start()
        return len(messages)

    def _run(self, url: str, message: dict[str, Any]) -> None:
        try:
            self._process(url, message)
        finally:
            self._free[url].release()

    def _receive(self, url: str) -> list[dict[str, Any]]:
        """Return the next message of a queue, or none."""
        response = self._queue.receive_message(QueueUrl=url)
        messages: list[dict[str, Any]] = response.get("Messages", [])
        return messages

    def _process(self, url: str, message: dict[str, Any]) -> None:
        handle = message["ReceiptHandle"]
        record = {"body": message["Body"], "receiptHandle": handle}
        try:
            self._handlers[url]({"Records": [record]}, self._context)
        except Exception:
            _logger.exception("A function failed; the message will be retried.")
        else:
            self._queue.delete_message(QueueUrl=url, ReceiptHandle=handle)

    def _waiting(self) -> int:
        """Return how many messages are on the queues or being processed."""
        states = ["", "NotVisible", "Delayed"]
        names = [f"ApproximateNumberOfMessages{state}" for state in states]
        responses = [
            self._queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)
            for url in self._handlers
        ]
        return sum(
            int(response["Attributes"][name])
            for response in responses
            for name in names
        )


@contextmanager
def pumping(pump: Pump) -> Iterator[None]:
    """Process records and messages in threads while the context lasts.

    A slow source keeps one slot busy and delays no other.
    """
    ended = Event()

    def run(loop: Callable[[], int]) -> None:
        while not ended.is_set():
            try:
                processed = loop()
            except Exception:
                _logger.exception("What waits is handed on later.")
                processed = 0
            if not processed:
                ended.wait(PAUSE_SECONDS)

    threads = [Thread(target=run, args=[job], daemon=True) for job in pump.loops()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        deadline = time.monotonic() + ENDING_SECONDS
        for thread in [*threads, *pump.end()]:
            thread.join(max(0, deadline - time.monotonic()))


class _Context:
    """The context of a run, as Lambda passes it to a function."""

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
