"""Imports from a URL: how tests ask for one, and what must come of it."""

import hashlib
from typing import Any

from chalicelib.background import transfers
from chalicelib.store import uploads as upload_store
from tests.actors import Actor
from tests.bucket_faults import multiparts, stored_objects
from tests.web_source import WebSource

CONTENT = bytes(range(256)) * 10
PART = 1000
"""How large a part is in these tests: the content has three."""

NOT_PUBLIC = (
    "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
)
NO_PORT = "The source's port must be 80 or 443 (IMPORT_ALLOW permits others)."


def ask_import(producer: Actor, image_id: str, source: WebSource) -> str:
    """Ask for an import from a source; return the upload's id."""
    method = {"name": "web-download", "uri": source.uri}
    response = producer.post(f"/v2/images/{image_id}/import", {"method": method})
    assert (response.status, response.body) == (202, b"")
    (upload,) = [one for one in upload_store.list_uploads(image_id) if not one.is_over]
    return upload.id


def process(image_id: str, upload_id: str, waits: int = 0) -> None:
    """Process an upload as a run does that has all the time it needs."""
    transfers.transfer(image_id, upload_id, lambda: False, waits)


def show(producer: Actor, image_id: str) -> Any:
    """Return an image's document."""
    return producer.get(f"/v2/images/{image_id}").document


def tasks(producer: Actor, image_id: str) -> list[tuple[str, str]]:
    """
    Return what became of an image's imports, the newest first, and what is said of it.
    """
    tasks = producer.get(f"/v2/images/{image_id}/tasks").document["tasks"]
    return [(task["status"], task["message"]) for task in tasks]


def assert_imported(producer: Actor, image_id: str, content: bytes = CONTENT) -> None:
    """See that an image has just the right data, and that nothing else is kept."""
    image = show(producer, image_id)
    assert (image["status"], image["size"]) == ("active", len(content))
    assert image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert image["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert "os_glance_importing_to_stores" not in image
    assert "os_glance_failed_import" not in image
    assert producer.download(image_id).body == content
    assert len(stored_objects(image_id)) == 1
    assert multiparts(image_id) == []


def assert_failed(producer: Actor, image_id: str, message: str) -> None:
    """See that an image has no data and says why, and that nothing is kept."""
    image = show(producer, image_id)
    assert (image["status"], image["size"]) == ("queued", None)
    assert image["os_glance_failed_import"] == message
    assert tasks(producer, image_id)[0] == ("failure", message)
    assert stored_objects(image_id) == []
    assert multiparts(image_id) == []
