"""A little of `make soak`: a few storms, faults, hostile inputs, on DynamoDB Local."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.soak import faults, fuzz, storms
from tests.soak.stand import Stand, on_emulator

pytestmark = [pytest.mark.java, pytest.mark.xdist_group("dynamodb-local-soak")]


@pytest.fixture
def stand(local_client: Any) -> Iterator[Stand]:
    """The service on DynamoDB Local, with all its functions."""
    with on_emulator(local_client) as stand:
        yield stand


def test_storms_leave_what_some_order_of_their_requests_would(stand: Stand) -> None:
    """Responses and table are those of one request after the other."""
    orders = storms.Orders(stand)
    numbers = {kind: number for number, (kind, *_) in enumerate(storms.PAIRS)}

    for kind in ("shared", "open", "active"):
        assert storms.storm(stand, orders, numbers[kind]).startswith(kind)


def test_a_storm_is_told_from_what_no_order_leaves(stand: Stand) -> None:
    """Two adds that both succeed, or an image that nobody renamed, are found out."""
    orders = storms.Orders(stand)
    start = orders.start("shared")
    _, added = orders.step("shared", start, "add another")
    right = {("add another", 200, ""): 1, ("add another", 409, ""): 15}

    assert orders.explain("shared", Counter(right), added)
    assert not orders.explain("shared", Counter(right), start)
    twice = {("add another", 200, ""): 2, ("add another", 409, ""): 14}
    assert not orders.explain("shared", Counter(twice), added)


def test_each_call_that_fails_ends_well(stand: Stand) -> None:
    """For a few requests and faults."""
    orders = storms.Orders(stand)

    assert sum(faults.fail_each_call(stand, orders, one)[1] for one in range(4)) > 4


def test_hostile_inputs_change_nothing(stand: Stand) -> None:
    """A batch of them."""
    sent, succeeded = fuzz.fuzz(stand, 0, 20)

    assert sent == 20
    assert succeeded
