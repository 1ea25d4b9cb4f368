"""What tests of transfers stand on: small parts, a source, an image without data."""

from collections.abc import Iterator

import pytest

from chalicelib.background import downloads, runs, transfers
from tests.actors import Actor
from tests.bucket_faults import small_parts
from tests.transfers.importing import CONTENT, PART
from tests.web_source import WebSource, allow, serving


@pytest.fixture(autouse=True)
def _small_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts; no pause before another try; sources on loopback."""
    small_parts(monkeypatch)
    monkeypatch.setattr(downloads, "PART_BYTES", PART)
    monkeypatch.setattr(downloads, "PART_BYTES_MIN", PART // 2)
    monkeypatch.setattr(downloads, "PIECE_BYTES", 100)
    monkeypatch.setattr(runs, "PIECE_BYTES", 100)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    allow(monkeypatch, "127.0.0.1")


@pytest.fixture
def source() -> Iterator[WebSource]:
    """A source that serves an image of three parts."""
    source = WebSource(CONTENT)
    with serving(source):
        yield source


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that waits for its data."""
    return producer.make_image(disk_format="raw", container_format="bare")
