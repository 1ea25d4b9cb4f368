"""What DynamoDB does to a busy service and an emulator never does; and what it holds.

All hooks stand at botocore's own events, so that the service's code runs as it is.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Barrier, Lock
from time import sleep
from typing import Any

from botocore.exceptions import ReadTimeoutError

from chalicelib.store import dynamodb
from tests.actors import Response

Call = tuple[str, Any]
"""An operation of DynamoDB and its parameters, as they go over the wire."""


@contextmanager
def on(event: str, react: Callable[..., Any]) -> Iterator[None]:
    """React to an event of botocore while the context lasts."""
    events = dynamodb.connection.connection.client.meta.events
    events.register_first(event, react)
    try:
        yield
    finally:
        events.unregister(event, react)


@contextmanager
def recording() -> Iterator[list[Call]]:
    """
    Note every call of DynamoDB; those made in parallel have no order of their own.
    """
    calls: list[Call] = []

    def note(model: Any, params: Any, **_: Any) -> None:
        calls.append((model.name, json.loads(params["body"])))

    events = dynamodb.connection.connection.client.meta.events
    events.register("before-call.dynamodb.*", note)
    try:
        yield calls
    finally:
        events.unregister("before-call.dynamodb.*", note)


@contextmanager
def second_writer(operation: str, act: Callable[[], Any]) -> Iterator[list[Any]]:
    """Let somebody else act when the first call of an operation is about to be sent.

    Yield the list that then holds the other request's response.
    """
    turns = count()
    responses: list[Any] = []

    def step_in(**_: Any) -> None:
        if next(turns) == 0:
            # A thread of its own, as the other's request is not this one's.
            with ThreadPoolExecutor(1) as other:
                responses.append(other.submit(act).result())

    with on(f"before-call.dynamodb.{operation}", step_in):
        yield responses
    assert len(responses) == 1, f"{operation} was never called"


@dataclass(frozen=True)
class _Http:
    status_code: int


@dataclass(frozen=True)
class Refusal:
    """A response of DynamoDB that refuses a write for a while."""

    code: str
    reasons: tuple[str, ...] = ()

    @property
    def response(self) -> tuple[_Http, dict[str, Any]]:
        """The response as botocore hands it on: status and parsed body."""
        message = f"Try again: [{', '.join(self.reasons)}]"
        return _Http(400), {
            "Error": {"Code": self.code, "Message": message},
            "CancellationReasons": [{"Code": code} for code in self.reasons],
        }


CANCELLED = "TransactionCanceledException"
THROUGHPUT_EXCEEDED = "ProvisionedThroughputExceededException"
CONFLICTS = {
    "TransactWriteItems": Refusal(CANCELLED, ("None", "TransactionConflict")),
    "PutItem": Refusal("TransactionConflictException"),
    "UpdateItem": Refusal("TransactionConflictException"),
}
"""What a write gets while another transaction holds its item, by its operation."""


@contextmanager
def in_conflict(
    operation: str, times: int | None = None, refusal: Refusal | None = None
) -> Iterator[None]:
    """Refuse the first calls of an operation, or all; what is refused is not done."""
    turns = count()

    def refuse(**_: Any) -> tuple[_Http, dict[str, Any]] | None:
        turn = next(turns)
        over = times is not None and turn >= times
        return None if over else (refusal or CONFLICTS[operation]).response

    with on(f"before-call.dynamodb.{operation}", refuse):
        yield
    assert next(turns) > (times or 1), f"{operation} was not tried again"


@contextmanager
def one_at_a_time(operation: str) -> Iterator[list[str]]:
    """Refuse a call of an operation while another one is done: both share an item.

    Yield the operation once for each refusal.
    """
    busy = Lock()
    refused: list[str] = []

    def enter(context: Any, **_: Any) -> tuple[_Http, dict[str, Any]] | None:
        if busy.acquire(blocking=False):
            context["in_flight"] = True
            sleep(0.005)
            return None
        refused.append(operation)
        return CONFLICTS[operation].response

    def leave(context: Any, **_: Any) -> None:
        if context.pop("in_flight", False):
            busy.release()

    with (
        on(f"before-call.dynamodb.{operation}", enter),
        on(f"after-call.dynamodb.{operation}", leave),
    ):
        yield refused


@contextmanager
def overloaded(operation: str) -> Iterator[None]:
    """Refuse each call of an operation for the table's throughput."""
    refusal = Refusal(THROUGHPUT_EXCEEDED)

    with on(f"before-call.dynamodb.{operation}", lambda **_: refusal.response):
        yield


@contextmanager
def timing_out(operation: str) -> Iterator[None]:
    """Let no call of an operation reach DynamoDB."""
    turns = count()

    def time_out(**_: Any) -> None:
        next(turns)
        raise ReadTimeoutError(endpoint_url="dynamodb")

    with on(f"before-send.dynamodb.{operation}", time_out):
        yield
    assert next(turns) > 1, f"{operation} was not tried again"


@contextmanager
def losing_responses(operation: str) -> Iterator[None]:
    """
    Do each call of an operation and lose its first response: botocore repeats the call.
    """
    turns = count()

    def repeat(attempts: int, **_: Any) -> int | None:
        next(turns)
        return 0 if attempts == 1 else None

    with on(f"needs-retry.dynamodb.{operation}", repeat):
        yield
    assert next(turns) > 1, f"{operation} was not repeated"


@contextmanager
def leaving_keys_unread(times: int | None = 1) -> Iterator[list[int]]:
    """Take an item out of the first answers of BatchGetItem, or all; its key is left.

    Yield the number of each call.
    """
    calls: list[int] = []

    def leave(parsed: Any, **_: Any) -> None:
        calls.append(len(calls))
        if times is None or len(calls) <= times:
            ((table, items),) = parsed["Responses"].items()
            item = items.pop()
            keys = [{"pk": item["pk"], "sk": item["sk"]}]
            parsed["UnprocessedKeys"] = {table: {"Keys": keys}}

    with on("after-call.dynamodb.BatchGetItem", leave):
        yield calls
    assert len(calls) > 1, "BatchGetItem was not called again"


@contextmanager
def leaving_deletions_undone(times: int) -> Iterator[list[int]]:
    """Take the last deletion out of the first calls of BatchWriteItem, and say so.

    Yield how many items each call asked for.
    """
    sizes: list[int] = []

    def hold_back(params: Any, context: Any, **_: Any) -> None:
        body = json.loads(params["body"])
        ((table, requests),) = body["RequestItems"].items()
        sizes.append(len(requests))
        if len(sizes) <= times:
            context["left"] = {table: [requests.pop()]}
            params["body"] = json.dumps(body).encode()

    def inform(parsed: Any, context: Any, **_: Any) -> None:
        parsed["UnprocessedItems"] = context.get("left", {})

    with (
        on("before-call.dynamodb.BatchWriteItem", hold_back),
        on("after-call.dynamodb.BatchWriteItem", inform),
    ):
        yield sizes


def at_once(*calls: Callable[[], Response]) -> list[Response]:
    """
    Make calls from a thread each, started together; return their responses in order.
    """
    barrier = Barrier(len(calls))

    def start(call: Callable[[], Response]) -> Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(start, calls))


def stored() -> list[dict[str, Any]]:
    """Return every item of the table, as DynamoDB has it."""
    client = dynamodb.connection.connection.client
    items = client.scan(TableName=dynamodb.connection.table_name)["Items"]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def truth() -> list[dict[str, Any]]:
    """Return every image, tombstone and membership; all but the hints of lists."""
    return [item for item in stored() if item["pk"]["S"].startswith("IMAGE#")]
