"""The image that the tests of the store share, and when they do."""

import pytest

from chalicelib.store import images
from tests.scene import at
from tests.store.scene import IMAGE, NOW, PRODUCER


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store an image at a time at which the clock then stands."""
    at(monkeypatch, NOW)
    images.create_image(IMAGE, PRODUCER)
