"""DynamoDB's calls as this service needs them: in parallel, complete, and retried."""

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

from pynamodb.connection.base import BOTOCORE_EXCEPTIONS
from pynamodb.exceptions import GetError, PynamoDBException, TransactWriteError

from chalicelib import aws, clock, deadline, telemetry
from chalicelib.domain.caller import Caller
from chalicelib.errors import Unavailable
from chalicelib.store.items import ByProject, Item
from chalicelib.store.keys import NOTE, Key, image_key, moment, touched_sort
from chalicelib.store.mapping import Raw

log = logging.getLogger("cloud-images")

CONFLICT_SECONDS: Final = 5.0
"""How long a write is retried while other writes hold its items, in seconds."""

_NO_ANSWER = "The database is unavailable; retry."
_BATCH_GET_MAX = 100
_BATCH_WRITE_MAX = 25
_DELETED_AT_ONCE = 8 * _BATCH_WRITE_MAX
_CONDITION_FAILED = "ConditionalCheckFailedException"
_CONDITION_REASON = "ConditionalCheckFailed"
_CANCELLED = "TransactionCanceledException"
_CONFLICTS = frozenset({"TransactionConflict", "TransactionConflictException"})
_OVERLOADS = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
_T = TypeVar("_T")

# The subclasses share the base's connection only if it was made first (PynamoDB), and
# a client is made once, while the function starts.
connection = Item._get_connection()  # noqa: SLF001 - PynamoDB has no public name for it
connection.connection._local.session = aws.session()  # noqa: SLF001 - as above
aws.speed_up(connection.connection.client)
telemetry.watch(connection.connection.client)
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="dynamodb")


def in_parallel(*calls: Callable[[], _T]) -> list[_T]:
    """
    Make independent calls in parallel: one round trip. All end before this does.

    Other modules call it as `dynamodb.in_parallel`, which the tests of cost replace.

    Raises:
        Exception: What the first of them, in their order, raised.
    """
    if not calls:
        return []
    first, *others = calls
    futures = [_pool.submit(deadline.keeping(call)) for call in others]
    try:
        # The thread that waits anyway makes a call: a thread fewer to start.
        result = first()
    finally:
        wait(futures)
    return [result, *(future.result() for future in futures)]


def get_items(keys: Sequence[Key], *, strongly: bool = True) -> dict[Key, Raw]:
    """Read items by their keys, strongly consistent if asked, in one round trip.

    Each caller says which promise its strong read keeps.
    """
    items: dict[Key, Raw] = {}
    batches = _in_batches(keys, _BATCH_GET_MAX)
    for some in in_parallel(*[partial(_get_batch, one, strongly) for one in batches]):
        items |= some
    return items


def _get_batch(keys: Sequence[Key], strongly: bool) -> dict[Key, Raw]:  # noqa: FBT001
    items: dict[Key, Raw] = {}
    table = connection.table_name
    wanted: list[Raw] = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in keys]
    for _ in _attempts():
        asked = {table: {"Keys": wanted, "ConsistentRead": strongly}}
        answer = with_retries(partial(_batch_get, asked))
        for raw in answer["Responses"].get(table, []):
            items[raw["pk"]["S"], raw["sk"]["S"]] = raw
        left = answer.get("UnprocessedKeys") or {}
        wanted = left.get(table, {}).get("Keys")
        if not wanted:
            return items
    raise Unavailable(_NO_ANSWER)


def _batch_get(asked: dict[str, Any]) -> Any:  # noqa: ANN401 - DynamoDB's own
    """Call BatchGetItem; PynamoDB's own looks up the type of each part of each key."""
    try:
        return connection.connection.dispatch("BatchGetItem", {"RequestItems": asked})
    except BOTOCORE_EXCEPTIONS as exc:
        raise GetError(f"Failed to batch get items: {exc}", exc) from exc


def delete_items(keys: Sequence[Key]) -> None:
    """Delete items by their keys, a few batches at the same time.

    Raises:
        Unavailable: Some are still there after a bound, or DynamoDB cannot answer.
    """
    left: list[Any] = [{"pk": pk, "sk": sk} for pk, sk in keys]
    for _ in _attempts():
        while left:
            some, later = left[:_DELETED_AT_ONCE], left[_DELETED_AT_ONCE:]
            batches = _in_batches(some, _BATCH_WRITE_MAX)
            untaken = in_parallel(*[partial(_delete_batch, batch) for batch in batches])
            left = [*chain(*untaken), *later]
            if any(untaken):
                break
        else:
            return
    raise Unavailable(_NO_ANSWER)


def _delete_batch(keys: Sequence[Any]) -> Sequence[Any]:
    """Delete a few items; return the keys of those that DynamoDB did not take."""
    try:
        answer = connection.batch_write_item(delete_items=keys)
    except PynamoDBException as exc:
        if _codes(exc) & _OVERLOADS:
            return keys
        raise
    untaken = (answer.get("UnprocessedItems") or {}).get(connection.table_name, [])
    return [request["DeleteRequest"]["Key"] for request in untaken]


def _in_batches(keys: Sequence[_T], most: int) -> list[Sequence[_T]]:
    return [keys[start : start + most] for start in range(0, len(keys), most)]


def query_page(partition: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - PynamoDB's own
    """Read one page of a query: at most 1 MB."""
    page: dict[str, Any] = with_retries(partial(connection.query, partition, **asked))
    return page


def query_untouched(
    partition: str, until: datetime, after: str
) -> Iterator[tuple[str, Key]]:
    """Yield what was not touched since a time, in a partition of `by-project`.

    The oldest first, after a place: its place, and its key in the table. The index may
    lag.
    """
    start: Raw | None = None
    first = f"{after} "  # Places begin with digits, and end in ids.
    while True:
        answer = query_page(
            partition,
            index_name=ByProject.Meta.index_name,
            range_key_condition=Item.project_sk.between(first, touched_sort(until)),
            exclusive_start_key=start,
        )
        for raw in answer["Items"]:
            yield raw["project_sk"]["S"], (raw["pk"]["S"], raw["sk"]["S"])
        start = answer.get("LastEvaluatedKey")
        if not start:
            return


def query_collection(image_id: str, *, backwards: bool = False) -> list[Raw]:
    """Read an image's item, then its members' by their ids, or all of it backwards.

    Versions before the first release had notes behind them.
    """
    partition, _ = image_key(image_id)
    return query_partition(
        partition,
        range_key_condition=Item.sk < NOTE,
        scan_index_forward=not backwards,
    )


def query_partition(partition: str, **asked: Any) -> list[Raw]:  # noqa: ANN401 - PynamoDB's own
    """Read all items of a partition.

    Strongly consistent, as it keeps read-your-writes and revocation at once.
    """
    raws: list[Raw] = []
    start: Raw | None = None
    while True:
        answer = query_page(
            partition, consistent_read=True, exclusive_start_key=start, **asked
        )
        raws += answer["Items"]
        start = answer.get("LastEvaluatedKey")
        if not start:
            return raws


def change_by(caller: Caller) -> dict[str, str]:
    """Return who changes an item, and when: its `changed`."""
    return {
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "request_id": caller.request_id,
        "at": moment(clock.now()),
    }


def with_retries(call: Callable[[], _T]) -> _T:
    """Call DynamoDB, with retries while a transaction of others holds the item.

    botocore retries throttling and lost answers, but nothing that cancels a
    transaction: neither a conflict with another one, nor throttling of an item.

    Raises:
        Unavailable: It outlasts a bound, or DynamoDB cannot answer.
    """
    last: PynamoDBException | None = None
    message = _NO_ANSWER
    for _ in _attempts():
        try:
            return call()
        except PynamoDBException as exc:
            codes = _codes(exc)
            if codes & _CONFLICTS:
                message = "Too many concurrent requests change the image; retry."
            elif not codes or (codes & _OVERLOADS and _CANCELLED not in codes):
                raise Unavailable(_NO_ANSWER) from exc
            elif not codes & _OVERLOADS:
                raise
            last = exc
    raise Unavailable(message) from last


def _attempts() -> Iterator[None]:
    """Yield for each attempt, with a growing backoff between them, until a deadline."""
    delay = 0.02
    give_up = time.monotonic() + min(CONFLICT_SECONDS, deadline.seconds_left())
    yield
    while time.monotonic() < give_up:
        time.sleep(random.uniform(0, delay))  # noqa: S311 - jitter, not a secret
        delay = min(2 * delay, 0.5)
        yield


def with_retries_or_log(write: Callable[[], Any], loss: str, caller: Caller) -> None:
    """Write what the response does not depend on; log a failure, which does no harm."""
    try:
        with_retries(write)
    except (PynamoDBException, Unavailable):
        log.exception("%s: %s", caller.request_id, loss)
        telemetry.counted["LostRecentChanges"] += 1


def _codes(exc: PynamoDBException) -> set[str]:
    """Return why DynamoDB refused a call; nothing where it did not respond."""
    # PynamoDB's own `cause_response_code` breaks where there was no answer.
    response = getattr(exc.cause, "response", None)
    codes = {response["Error"]["Code"]} if response else set()
    if isinstance(exc, TransactWriteError):
        codes |= {reason.code for reason in exc.cancellation_reasons if reason}
    return codes


def condition_failed(exc: PynamoDBException) -> bool:
    """Return whether a write was refused by its own condition."""
    return _CONDITION_FAILED in _codes(exc)


PASSED: Final[Raw] = {}
"""Stands for the item of a transaction's part whose condition held."""


def reasons_of(exc: TransactWriteError, parts: int) -> list[Raw | None]:
    """
    Return the item that failed its condition, for each part of a cancelled transaction.

    In the order that PynamoDB sends: deletes, puts, updates. None is an item that was
    not there.

    Raises:
        TransactWriteError: It was cancelled for something else than a condition.
    """
    reasons = exc.cancellation_reasons
    codes = {reason.code for reason in reasons if reason is not None}
    if codes != {_CONDITION_REASON} or len(reasons) != parts:
        raise exc
    return [PASSED if reason is None else reason.raw_item for reason in reasons]


def is_ours(raw: Raw | None, caller: Caller) -> bool:
    """Return whether this very request wrote the item: its first response was lost."""
    if raw is None or "changed" not in raw:
        return False
    changed = json.loads(raw["changed"]["S"])
    return bool(changed["request_id"] == caller.request_id)


def get_item(key: Key) -> Raw | None:
    """Read one item as it is now, or none."""
    return get_items([key]).get(key)
