"""These tests need no table: what DynamoDB answers, they play."""

import pytest


@pytest.fixture(autouse=True)
def table() -> str:
    """No table, but its name."""
    return "t"
