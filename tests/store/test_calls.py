"""The calls of DynamoDB: in batches, page by page, and again where that may help."""

import random
import time
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, NoReturn

import pytest
from pynamodb.exceptions import (
    CancellationReason,
    DeleteError,
    GetError,
    PutError,
    PynamoDBException,
    TransactWriteError,
    VerboseClientError,
)

from chalicelib import deadline, telemetry
from chalicelib.errors import Unavailable
from chalicelib.store import dynamodb
from chalicelib.store.items import Item
from chalicelib.store.keys import Key, touched_sort
from tests.aws_faults import (
    CANCELLED,
    THROUGHPUT_EXCEEDED,
    Refusal,
    leaving_deletions_undone,
    leaving_keys_unread,
    on,
    recording,
    stored,
)
from tests.store.scene import PRODUCER, TIME

CONFLICT = "Too many concurrent requests change the image; retry."
NO_ANSWER = "The database is unavailable; retry."
CONDITION = "ConditionalCheckFailed"
ITEM = {"pk": {"S": "p"}}


def put(count: int) -> list[Key]:
    """Store items of one partition; return their keys."""
    keys = [("p", f"{number:03}") for number in range(count)]
    for key in keys:
        Item(*key).save()
    return keys


def refused(code: str) -> PutError:
    """Return what a write of one item fails with."""
    error = {"Error": {"Code": code, "Message": "no"}}
    return PutError(cause=VerboseClientError(error, "PutItem"))


def cancelled(*codes: str | None) -> TransactWriteError:
    """Return what a transaction fails with, with the code of each of its parts."""
    error = {"Error": {"Code": CANCELLED, "Message": "no"}}
    reasons = [
        CancellationReason(code, raw_item=ITEM) if code else None for code in codes
    ]
    cause = VerboseClientError(
        error, "TransactWriteItems", cancellation_reasons=reasons
    )
    return TransactWriteError("no", cause)


class Call:
    """A call that fails with one thing after another, the last one for good."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.times = 0

    def __call__(self) -> str:
        """Fail, or not."""
        failure = self.failures[min(self.times, len(self.failures) - 1)]
        self.times += 1
        if failure:
            raise failure
        return "done"


@pytest.mark.parametrize("strongly", [True, False])
@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (201, [100, 100, 1])],
)
def test_items_are_read_a_hundred_at_a_time(
    count: int,
    batches: list[int],
    strongly: bool,  # noqa: FBT001 - a row
) -> None:
    """Each call asks for the consistency that its caller does."""
    keys = [("p", f"{number:03}") for number in range(count)]
    there = put(min(count, 2))
    with recording() as calls:
        items = dynamodb.get_items(keys, strongly=strongly)

    asked = [body["RequestItems"][Item.Meta.table_name] for _, body in calls]
    assert there == sorted(items)
    assert all(raw["sk"]["S"] == sort for (_, sort), raw in items.items())
    assert sorted(batches) == sorted(len(one["Keys"]) for one in asked)
    assert {one["ConsistentRead"] for one in asked} <= {strongly}


def test_items_are_read_strongly_unless_it_is_said() -> None:
    """A promise is kept where a caller says nothing."""
    (key,) = put(1)
    with recording() as calls:
        assert set(dynamodb.get_items([key])) == {key}
        assert dynamodb.get_item(("p", "none")) is None

    requests = [body["RequestItems"][Item.Meta.table_name] for _, body in calls]
    assert [request["ConsistentRead"] for request in requests] == [True, True]


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (25, [25]), (201, [1, *[25] * 8])]
)
def test_items_are_deleted_25_at_a_time(count: int, batches: list[int]) -> None:
    """Those that are not there, too."""
    put(min(count, 2))
    keys = [("p", f"{number:03}") for number in range(count)]
    with recording() as calls:
        dynamodb.delete_items(keys)

    sizes = [len(requests) for _, b in calls for requests in b["RequestItems"].values()]
    assert batches == sorted(sizes)
    assert stored() == []


def test_what_a_batch_leaves_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For as long as attempts are made; nothing is taken for read or deleted."""
    monkeypatch.setattr(dynamodb, "_attempts", lambda: iter([None] * 2))
    keys = put(30)
    with leaving_keys_unread(times=1) as reads:
        assert set(keys) == set(dynamodb.get_items(keys))
    with leaving_keys_unread(times=2), pytest.raises(Unavailable) as unread:
        dynamodb.get_items(keys)
    with leaving_deletions_undone(times=1) as sizes:
        dynamodb.delete_items(keys)
    left = put(2)
    with leaving_deletions_undone(times=2), pytest.raises(Unavailable) as undone:
        dynamodb.delete_items(left)

    assert (len(reads), sorted(sizes)) == (2, [1, 5, 25])
    assert str(unread.value) == str(undone.value) == NO_ANSWER


def test_a_batch_of_which_nothing_is_read_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DynamoDB may then name the table under what it left alone."""
    monkeypatch.setattr(dynamodb, "_attempts", lambda: iter([None] * 2))
    keys, turns = put(1), count()

    def leave(parsed: Any, **_: Any) -> None:
        if next(turns) == 0:
            ((table, items),) = parsed["Responses"].items()
            wanted = [{"pk": item["pk"], "sk": item["sk"]} for item in items]
            parsed.update(Responses={}, UnprocessedKeys={table: {"Keys": wanted}})

    with on("after-call.dynamodb.BatchGetItem", leave):
        assert set(keys) == set(dynamodb.get_items(keys))


def test_a_read_that_is_refused_for_what_it_is_is_a_bug() -> None:
    """It is not told as a database that cannot answer."""
    refusal = Refusal("ValidationException").response
    with (
        on("before-call.dynamodb.BatchGetItem", lambda **_: refusal),
        pytest.raises(GetError) as raised,
    ):
        dynamodb.get_item(("p", "s"))

    assert raised.value.cause_response_code == "ValidationException"


def fail(error: Exception) -> NoReturn:
    """Raise an error."""
    raise error


@pytest.mark.parametrize(
    ("code", "expected"),
    [(THROUGHPUT_EXCEEDED, Unavailable), ("ValidationException", DeleteError)],
)
def test_a_deletion_that_is_never_taken_is_given_up(
    code: str, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DynamoDB refuses for what it is, is not tried again."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 0)
    error = DeleteError(cause=refused(code).cause)
    monkeypatch.setattr(
        dynamodb.connection, "batch_write_item", lambda **_: fail(error)
    )

    with pytest.raises(expected) as raised:
        dynamodb.delete_items([("p", "s")])
    assert str(raised.value) in (NO_ANSWER, str(error))


@pytest.mark.parametrize("backwards", [True, False])
def test_a_partition_is_read_page_by_page(backwards: bool) -> None:  # noqa: FBT001
    """Each item once, in order, strongly consistent."""
    keys = put(5)
    with recording() as calls:
        raws = dynamodb.query_partition("p", limit=2, scan_index_forward=not backwards)

    found = [(raw["pk"]["S"], raw["sk"]["S"]) for raw in raws]
    assert found == sorted(keys, reverse=backwards)
    assert [body["ConsistentRead"] for _, body in calls] == [True] * 3


def test_what_was_not_touched_is_read_on_from_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest first, before a time, and after the place where a run ended."""
    times = [TIME + timedelta(hours=hour) for hour in range(4)]
    places = [touched_sort(time, "x") for time in times]
    for number, place in enumerate(places):
        Item("p", str(number), project_pk="OPEN", project_sk=place).save()
    page = dynamodb.query_page
    one_at_a_time = partial(page, limit=1)
    monkeypatch.setattr(dynamodb, "query_page", one_at_a_time)

    found = list(dynamodb.query_untouched("OPEN", times[3], ""))
    later = list(dynamodb.query_untouched("OPEN", times[3], places[1]))

    expected = [(place, ("p", str(number))) for number, place in enumerate(places)]
    assert (found, later) == (expected[:3], expected[2:3])


def test_a_collection_ends_before_the_notes_of_old_versions() -> None:
    """An image, then its members by their ids; or backwards."""
    sorts = ["IMAGE", "MEMBER#a", "MEMBER#b"]
    for sort in [*sorts, "NOTE#", "NOTE#a"]:
        Item("IMAGE#6b1f", sort).save()

    found = [raw["sk"]["S"] for raw in dynamodb.query_collection("6b1f")]
    backwards = dynamodb.query_collection("6b1f", backwards=True)

    assert (found, [raw["sk"]["S"] for raw in backwards]) == (sorts, sorts[::-1])


@pytest.mark.parametrize(
    ("failure", "tries", "expected"),
    [
        (refused("TransactionConflictException"), 3, CONFLICT),
        (cancelled(None, "TransactionConflict"), 3, CONFLICT),
        (cancelled("ThrottlingError", "TransactionConflict"), 3, CONFLICT),
        (cancelled(CONDITION, "TransactionConflict"), 3, CONFLICT),
        (cancelled(None, "ThrottlingError"), 3, NO_ANSWER),
        (refused(THROUGHPUT_EXCEEDED), 1, NO_ANSWER),
        (PutError(cause=TimeoutError()), 1, NO_ANSWER),
        (PutError("no cause"), 1, NO_ANSWER),
        (refused("ConditionalCheckFailedException"), 1, None),
        (refused("ValidationException"), 1, None),
        (cancelled(None, CONDITION), 1, None),
        (cancelled(None, "ValidationError"), 1, None),
    ],
)
def test_a_call_is_made_again_where_that_may_help(
    failure: PynamoDBException,
    tries: int,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What outlasts the attempts is told as what it was; a refusal is told at once."""
    monkeypatch.setattr(dynamodb, "_attempts", lambda: iter([None] * 3))
    call = Call(failure)

    with pytest.raises((Unavailable, PynamoDBException)) as raised:
        dynamodb.with_retries(call)

    assert call.times == tries
    if expected:
        assert str(raised.value) == expected
        assert raised.value.__cause__ is failure
    else:
        assert raised.value is failure


def test_a_call_that_succeeds_in_the_end_is_made_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its result is returned."""
    monkeypatch.setattr(dynamodb, "_attempts", lambda: iter([None] * 3))
    call = Call(cancelled("TransactionConflict"), None)

    assert (dynamodb.with_retries(call), call.times) == ("done", 2)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bounds of each pause; each takes a second."""
    made: list[Any] = []
    monkeypatch.setattr(time, "monotonic", lambda: float(len(made)))
    monkeypatch.setattr(time, "sleep", made.append)
    monkeypatch.setattr(random, "uniform", lambda *bounds: bounds)
    return made


def test_pauses_double_up_to_half_a_second(pauses: list[Any]) -> None:
    """With attempts between them, for as long as conflicts are borne."""
    attempts = list(dynamodb._attempts())  # noqa: SLF001 - no call shows its pauses

    assert len(attempts) == dynamodb.CONFLICT_SECONDS + 1
    assert pauses == [(0, 0.02), (0, 0.04), (0, 0.08), (0, 0.16), (0, 0.32)]


def test_pauses_end_with_the_request(
    pauses: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are never longer than half a second."""
    monkeypatch.setattr(dynamodb, "CONFLICT_SECONDS", 9)
    with deadline.within(7):
        attempts = list(dynamodb._attempts())  # noqa: SLF001 - as above

    assert len(attempts) == 7 + 1
    assert pauses[5:] == [(0, 0.5), (0, 0.5)]


def test_a_lost_recent_change_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the request that lost it; the request goes on."""
    lost = telemetry.counted["LostRecentChanges"]
    for _ in range(2):
        dynamodb.with_retries_or_log(
            Call(PutError("no answer")), "A change was lost", PRODUCER
        )

    assert [one.getMessage() for one in caplog.records] == [
        "req-1: A change was lost"
    ] * 2
    assert telemetry.counted["LostRecentChanges"] == lost + 2


def test_each_part_of_a_transaction_says_what_stood_in_its_way() -> None:
    """Nothing for a part whose condition held."""
    exc = cancelled(CONDITION, None)

    assert dynamodb.reasons_of(exc, 2) == [ITEM, dynamodb.PASSED]


@pytest.mark.parametrize(
    ("exc", "parts"),
    [
        (cancelled(CONDITION, None), 3),
        (cancelled(CONDITION, "ValidationError"), 2),
        (cancelled(None, None), 2),
        (TransactWriteError("no", TimeoutError()), 2),
    ],
)
def test_a_transaction_that_failed_otherwise_has_no_reasons(
    exc: TransactWriteError, parts: int
) -> None:
    """It is raised as it came, and taken for no condition."""
    with pytest.raises(TransactWriteError) as raised:
        dynamodb.reasons_of(exc, parts)

    assert raised.value is exc


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, False),
        ({}, False),
        ({"changed": {"S": '{"request_id": "req-1"}'}}, True),
        ({"changed": {"S": '{"request_id": "req-2"}'}}, False),
    ],
)
def test_an_item_is_ours_where_this_request_wrote_it(
    raw: Any,
    expected: bool,  # noqa: FBT001 - a row
) -> None:
    """An item of an old version does not say who wrote it."""
    assert dynamodb.is_ours(raw, PRODUCER) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [("ConditionalCheckFailedException", True), ("ValidationException", False)],
)
def test_a_failed_condition_is_told_from_other_refusals(
    code: str,
    expected: bool,  # noqa: FBT001 - a row
) -> None:
    """Only a condition says that somebody else was first."""
    assert dynamodb.condition_failed(refused(code)) is expected
