"""Settings of the service in this process, which a test changes while it runs."""

from typing import Any

import pytest

from chalicelib import settings


def configure(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Set settings to other values, until the test ends."""
    changed = settings.current._replace(**values)
    monkeypatch.setattr(settings, "current", changed)
