"""What the tests of behaviours share: times, errors, and images that have data."""

import hashlib
from datetime import datetime
from typing import Any

import pytest

from chalicelib import clock, ids
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Content
from chalicelib.store import images as image_store
from chalicelib.store import objects

CONTENT = b"cloud images"


def at(monkeypatch: pytest.MonkeyPatch, time: str) -> None:
    """Let it be a time from now on."""
    now = datetime.fromisoformat(time)
    monkeypatch.setattr(clock, "now", lambda: now)


def error(status: int, title: str, message: str) -> tuple[int, Any]:
    """Return the whole response that tells an error."""
    return status, {"code": f"{status} {title}", "title": title, "message": message}


def make_active(image_id: str, content: bytes = CONTENT) -> None:
    """Upload data to an image, whatever its formats are."""
    image = image_store.load_image(image_id, "").image
    assert image
    upload_id = ids.new_id()
    objects.put_data(image_id, upload_id, content)
    described = Content(
        size=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha512=hashlib.sha512(content).hexdigest(),
        virtual_size=len(content) if image.disk_format == "raw" else None,
    )
    by = Caller("data", "data", Role.ADMIN, "req-data")
    image_store.update_image(image, image.with_data(upload_id, described), by)
