"""The time; tests set it here."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time, in UTC, to the microsecond."""
    return datetime.now(UTC)
