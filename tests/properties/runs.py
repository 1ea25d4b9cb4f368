"""Runs of Hypothesis in which each example is drawn again."""

from collections.abc import Callable
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")
# Of later examples, most repeat parts of the first ten.
RUN: Final = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

NUMBERS: Final = [
    pytest.param(number, marks=[pytest.mark.thorough] if number >= 4 else [])
    for number in range(8)
]
"""The runs of a test, of which half are enough each day."""


def check_each(
    number: int, strategy: st.SearchStrategy[T], check: Callable[[T], None]
) -> None:
    """Check ten examples, which are always the same for the same number."""

    @seed(number)
    @RUN
    @given(drawn=strategy)
    def run(drawn: T) -> None:
        check(drawn)

    run()
