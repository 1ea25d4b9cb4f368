"""The time; tests set it here."""

from datetime import UTC, datetime


def now() -> datetime:
    """Give the time, in UTC, to the microsecond."""
    return datetime.now(UTC)
