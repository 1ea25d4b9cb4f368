"""What the bucket holds, and how S3 fails."""

from typing import Any

import pytest

from chalicelib import settings
from chalicelib.store import objects


def stored_objects(image_id: str = "") -> list[str]:
    """Return the keys of the bucket's objects, or of those of one image."""
    return [f"{one.image_id}/{one.upload_id}" for one in objects.list_objects(image_id)]


def multiparts(image_id: str = "") -> list[str | None]:
    """Return the multipart uploads that are not completed, or those of one image."""
    return [one.multipart_id for one in objects.list_multiparts(image_id)]


def client() -> Any:
    """Return S3's client, to do what no call of the service does."""
    return objects._client()  # noqa: SLF001 - for tests alone


def name() -> str:
    """Return the bucket's name."""
    return settings.current.bucket_name


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the parts of an object be smaller than S3's 5 MiB."""
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
