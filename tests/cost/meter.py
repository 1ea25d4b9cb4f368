"""
Counts what a request costs: its calls of DynamoDB and S3, its round trips, its units.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from chalicelib.store import dynamodb, objects


@dataclass
class Bill:
    """What was called, grouped in round trips, and the units that it consumed."""

    trips: list[list[str]] = field(default_factory=list)
    read_units: float = 0
    write_units: float = 0
    unit_of_key: float = 1
    """What a key of the latest BatchGetItem consumes at least."""

    @property
    def calls(self) -> str:
        """The calls as in docs/costs.md: `BatchGetItem, UpdateItem ‖ PutItem`."""
        return ", ".join(_group(trip) for trip in self.trips)

    @property
    def round_trips(self) -> int:
        """How often the request waits for DynamoDB or S3."""
        return len(self.trips)

    def note_call(self, model: Any, **_: Any) -> None:
        """Note that an operation is called."""
        self.trips.append([model.name])

    def note_units(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        """Note the units that the response names."""
        if model.name == "TransactWriteItems":
            return  # DynamoDB Local reports a constant: see `note_transaction`.
        consumed = parsed.get("ConsumedCapacity") or []
        units = sum(
            one["CapacityUnits"]
            for one in (consumed if isinstance(consumed, list) else [consumed])
        )
        if model.name == "BatchGetItem":
            count = sum(map(len, parsed["Responses"].values()))
            self.read_units -= count * self.unit_of_key
        if model.name in ("BatchGetItem", "Query"):
            self.read_units += units
        else:
            self.write_units += units

    def note_keys(self, params: dict[str, Any], **_: Any) -> None:
        """Note a unit for each key, or half of it if eventually consistent.

        DynamoDB charges it for one that is not there as well; DynamoDB Local does not.
        """
        (wanted,) = params["RequestItems"].values()
        self.unit_of_key = 1 if wanted.get("ConsistentRead") else 0.5
        self.read_units += len(wanted["Keys"]) * self.unit_of_key

    def note_transaction(self, params: dict[str, Any], **_: Any) -> None:
        """Note what the parts of a transaction consume."""
        self.write_units += sum(map(_written, params["TransactItems"]))


def _ask_for_units(params: dict[str, Any], **_: Any) -> None:
    params["ReturnConsumedCapacity"] = "TOTAL"


def _group(trip: list[str]) -> str:
    return " ‖ ".join(
        name if count == 1 else f"{count} {name}"
        for name, count in Counter(trip).items()
    )


def _one_by_one(bill: Bill, *calls: Callable[[], Any]) -> list[Any]:
    """Make parallel calls one after another, and count them as one round trip."""
    before, results, deepest = bill.trips, [], list[list[str]]()
    for call in calls:
        bill.trips = []
        results.append(call())
        for depth, trip in enumerate(bill.trips):
            if depth == len(deepest):
                deepest.append([])
            deepest[depth] += trip
    bill.trips = before + deepest
    return results


@contextmanager
def counting() -> Iterator[Bill]:
    """Count what is called while the context lasts; for one request at a time."""
    bill = Bill()
    events = dynamodb.connection.connection.client.meta.events
    hooks: list[tuple[str, Callable[..., None]]] = [
        ("provide-client-params.dynamodb.*", _ask_for_units),
        ("before-call.dynamodb.*", bill.note_call),
        ("provide-client-params.dynamodb.BatchGetItem", bill.note_keys),
        ("provide-client-params.dynamodb.TransactWriteItems", bill.note_transaction),
        ("after-call.dynamodb.*", bill.note_units),
    ]
    for name, hook in hooks:
        events.register(name, hook)
    of_s3 = objects._client().meta.events  # noqa: SLF001 - the meter alone
    of_s3.register("before-call.s3.*", bill.note_call)
    try:
        with patch.object(dynamodb, "in_parallel", partial(_one_by_one, bill)):
            yield bill
    finally:
        for name, hook in hooks:
            events.unregister(name, hook)
        of_s3.unregister("before-call.s3.*", bill.note_call)


def _written(part: dict[str, Any]) -> int:
    """Return what one part of a transaction consumes.

    Twice its KB on the table, and again on each index that it writes a row of. Items
    here are below 1 KB; memberships stand in two indexes, uploads that are not over in
    one.
    """
    ((operation, parameters),) = part.items()
    names = {
        *parameters.get("ExpressionAttributeNames", {}).values(),
        *parameters.get("Item", {}),
    }
    indexes = 2 if operation == "Delete" else len({"project_pk", "group_pk"} & names)
    return 2 + 2 * indexes
