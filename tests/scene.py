"""
What the tests of behaviours share: times, errors, and images that have data.
"""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from chalicelib import environment, store
from chalicelib.domain import Caller, ImageStatus, Role

CONTENT = b"cloud images"


def at(monkeypatch: pytest.MonkeyPatch, time: str) -> None:
    """
    Let it be a time from now on.
    """
    now = datetime.fromisoformat(time)
    monkeypatch.setattr(environment, "now", lambda: now)


def error(status: int, title: str, message: str) -> tuple[int, Any]:
    """
    Give the whole answer that tells an error.
    """
    return status, {"code": f"{status} {title}", "title": title, "message": message}


def make_active(image_id: str, content: bytes = CONTENT) -> None:
    """
    Keep of an upload, which the service does not take yet, what it leaves behind.
    """
    image = store.load_image(image_id, "").image
    assert image
    uploaded = replace(
        image,
        status=ImageStatus.ACTIVE,
        size=len(content),
        virtual_size=len(content) if image.disk_format == "raw" else None,
        checksum=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(content).hexdigest(),
    )
    store.update_image(image, uploaded, Caller("data", "data", Role.ADMIN, "req-data"))
