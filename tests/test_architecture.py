"""What docs/architecture.md says of requests: the modules that each passes."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from infra.local.worker import Pump
from tests.actors import Actor
from tests.readme import ROOT, table
from tests.scene import CONTENT
from tests.web_source import WebSource, allow, serving

PACKAGE = ROOT / "chalicelib"
ROWS = {
    row["request"].strip("`"): re.findall(r"`([^`]+)`", row["modules, in order"])
    for row in table("What a request passes", "docs/architecture.md")
}


@cache
def module_of(file: str) -> str:
    """Return the module in a file, as `store/images`; none outside of rooms."""
    path = Path(file)
    if PACKAGE not in path.parents[1:]:
        return ""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@contextmanager
def tracing() -> Iterator[list[str]]:
    """Note each module of a room, when a function of it is first called."""
    passed: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        name = module_of(frame.f_code.co_filename) if event == "call" else ""
        if name and name not in passed:
            passed.append(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield passed
    finally:
        sys.setprofile(before)


def rooms(modules: list[str]) -> set[str]:
    """Return the rooms of modules."""
    return {module.partition("/")[0] for module in modules}


def assert_passes(request: str, passed: list[str]) -> None:
    """Compare the modules that were passed with the row of a request."""
    row = ROWS[request]

    assert row == [module for module in passed if module in row]
    assert rooms(row) == rooms(passed)


def test_a_status_passes_the_rooms_of_its_row(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """A consumer accepts a share."""
    producer.share(image_id, "consumer")

    with tracing() as passed:
        consumer.set_status(image_id, "accepted")

    assert_passes("PUT /v2/images/{image_id}/members/{member_id}", passed)


def test_a_list_passes_the_rooms_of_its_row(producer: Actor, image_id: str) -> None:
    """A list of a project with one image."""
    with tracing() as passed:
        listed = producer.listed()

    assert listed == [image_id]
    assert_passes("GET /v2/images", passed)


def test_an_import_passes_the_rooms_of_its_rows(
    producer: Actor, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request, then the stream's record, then the queue's message."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    pump.drain()
    allow(monkeypatch, "127.0.0.1")
    source = WebSource(CONTENT)
    with serving(source):
        method = {"name": "web-download", "uri": source.uri}
        with tracing() as passed:
            producer.post(f"/v2/images/{image_id}/import", {"method": method})
        with tracing() as by_stream:
            pump.read_stream()
        with tracing() as by_worker:
            pump.receive()

    assert_passes("POST /v2/images/{image_id}/import", passed)
    assert_passes("then, the stream's record", by_stream)
    assert_passes("then, the queue's message", by_worker)
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "active"
