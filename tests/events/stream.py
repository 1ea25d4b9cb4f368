"""A model of Lambda's event source mapping for a stream, and of the event bus."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from chalicelib.aws import client
from chalicelib.background import functions
from chalicelib.background.events import BATCH_MAX
from chalicelib.store import dynamodb, objects
from infra.package.template import merged

Records = list[dict[str, Any]]


class Stopped(BaseException):
    """The process is killed: nothing in the service catches this."""


@dataclass
class Mapping:
    """A trigger of the stream's function, configured as in the template.

    A batch that raises is bisected until one record is left, which is set aside when
    its retries are exhausted; a batch that reports a failed record continues there.
    """

    tries: int = 3
    batch_size: int = 100
    aside: list[str] = field(default_factory=list)
    runs: int = 0

    def follow(self, records: Records) -> None:
        """Deliver all records to the function, in batches."""
        for start in range(0, len(records), self.batch_size):
            self._batch(records[start : start + self.batch_size])

    def _batch(self, records: Records) -> None:
        failures = 0
        while records:
            self.runs += 1
            try:
                response = functions.stream({"Records": records}, None)
            except (Exception, Stopped):  # noqa: BLE001 - as Lambda does
                if len(records) > 1:
                    half = len(records) // 2
                    self._batch(records[:half])
                    records = records[half:]
                    continue
                failures += 1
                if failures == self.tries:
                    self.aside += [number(one) for one in records]
                    return
                continue
            failed = [one["itemIdentifier"] for one in response["batchItemFailures"]]
            numbers = [number(one) for one in records]
            first = min(map(numbers.index, failed), default=len(records))
            records = records[first:]


def filters() -> list[Any]:
    """Return the patterns by which Lambda chooses records for the function."""
    properties = merged("prod")["Resources"]["Stream"]["Properties"]
    (source,) = properties["Events"].values()
    chosen = source["Properties"]["FilterCriteria"]["Filters"]
    return [json.loads(one["Pattern"]) for one in chosen]


def matches(pattern: Any, value: Any) -> bool:
    """Return whether a pattern of Lambda's event filters matches a value."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and matches(one, value[key]) for key, one in pattern.items()
        )
    return any(
        str(value).startswith(one["prefix"]) if isinstance(one, dict) else value == one
        for one in pattern
    )


def number(record: dict[str, Any]) -> str:
    """Return the sequence number of a record."""
    return str(record["dynamodb"]["SequenceNumber"])


def _clients() -> list[Any]:
    of_s3 = objects._client()  # noqa: SLF001 - for tests alone
    return [
        dynamodb.connection.connection.client,
        of_s3,
        client("sqs"),
        client("events"),
    ]


@contextmanager
def hooked(event: str, react: Callable[..., Any]) -> Iterator[None]:
    """Register a handler of an event with every client of the service."""
    clients = _clients()
    for one in clients:
        one.meta.events.register(event, react)
    try:
        yield
    finally:
        for one in clients:
            one.meta.events.unregister(event, react)


@contextmanager
def sending() -> Iterator[list[Any]]:
    """Collect each event that the bus accepts, in order."""
    sent: list[Any] = []
    details: list[Any] = []

    def ask(params: Any, **_: Any) -> None:
        entries = json.loads(params["body"])["Entries"]
        assert len(entries) <= BATCH_MAX
        details[:] = [json.loads(entry["Detail"]) for entry in entries]

    def keep_accepted(parsed: Any, **_: Any) -> None:
        accepted = ["ErrorCode" not in entry for entry in parsed["Entries"]]
        sent.extend(compress(details, accepted))

    with (
        hooked("before-call.events.PutEvents", ask),
        hooked("after-call.events.PutEvents", keep_accepted),
    ):
        yield sent


@contextmanager
def stopping_at(step: int) -> Iterator[list[str]]:
    """Kill the process before or after the AWS call that is step number *step*.

    Yields the names of the steps that were reached.
    """
    steps: list[str] = []

    def count(model: Any, **_: Any) -> None:
        steps.append(model.name)
        if len(steps) == step:
            raise Stopped

    with hooked("before-call.*.*", count), hooked("after-call.*.*", count):
        yield steps
