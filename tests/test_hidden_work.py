"""A refusal is as much work for a hidden image as for an absent one.

A stranger could else find by time which images are there. The time of DynamoDB itself
is its own: `SECURITY.md` says how much more it may be.
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import app as service
from chalicelib import settings
from chalicelib.domain.images import DATA_TYPE
from tests.actors import Actor
from tests.aws_faults import recording
from tests.properties.worlds import NO_ID

MEBIBYTE = 2**20
DATA = bytes(MEBIBYTE)
BODIES: dict[str, Any] = {
    "PATCH /v2/images/{image_id}": [
        {"op": "add", "path": f"/property-{number}", "value": "x" * 1000}
        for number in range(1000)
    ],
    "PUT /v2/images/{image_id}/file": DATA,
    "PUT /v2/images/{image_id}/stage": DATA,
    "POST /v2/images/{image_id}/import": {
        "method": {"name": "web-download", "uri": "https://example.org/"}
    },
    "POST /v2/images/{image_id}/members": {"member": "new"},
    "PUT /v2/images/{image_id}/members/{member_id}": {"status": "accepted"},
    "POST /ext/v1/images/{image_id}/uploads": {"size": 1},
    "POST /ext/v1/images/{image_id}/uploads/{upload_id}/urls": {"part_numbers": [1]},
    "PUT /ext/v1/incoming/{image_id}": {"status": "accepted"},
    "PUT /ext/v1/outgoing/{image_id}": {"members": [{"project_id": "new"}]},
}
"""A body for each call that has one, where it may be large a large one."""

CALLS = sorted(
    f"{method} {path}"
    for path, methods in service.app.routes.items()
    for method, route in methods.items()
    if "{image_id}" in path and route.view_function.__name__ != "refuse"
)
NAMES = ("member_id", "upload_id", "tag", "project_id")
READERS_MAX = 60
"""Maximum number of functions that parse an image: two for each attribute."""


@contextmanager
def working() -> Iterator[list[str]]:
    """Note each call of a function of the service, by its name."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and "/chalicelib/" in code.co_filename:
            called.append(code.co_qualname)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


def observe(stranger: Actor, call: str, image_id: str) -> tuple[Any, list[str]]:
    """Return what a stranger is told, with what is read for it; and the work."""
    method, path = call.split()
    path = path.format(image_id=image_id, **dict.fromkeys(NAMES, NO_ID))
    body = BODIES.get(call)
    headers = {"Content-Type": DATA_TYPE} if isinstance(body, bytes) else {}
    caller = replace(stranger, headers={**stranger.headers, **headers})
    with recording() as reads, working() as called:
        response = caller.ask(method, path, body)
    assert response.status in (404, 204), (call, response.body)
    told = response.body.replace(image_id.encode(), b"{image_id}")
    made = sorted(str(read).replace(image_id, "{image_id}") for read in reads)
    return (response.status, told, made), called


def test_a_hidden_image_is_no_more_work_than_an_absent_one(
    producer: Actor, stranger: Actor
) -> None:
    """The same reads, one parse of the image, and nothing for its size or the body's.

    For each call on an image.
    """
    value = "x" * (settings.current.property_bytes_max // 128 - 20)
    large = {f"property-{number:03}": value for number in range(128)}
    ids = [str(uuid.uuid4()), producer.make_image(), producer.make_image(**large)]
    observed = {}
    for call in CALLS:
        observe(stranger, call, ids[0])  # What is made on first use.
        observed[call] = [observe(stranger, call, image_id) for image_id in ids]

    assert len(CALLS) == len({*CALLS} | BODIES.keys()) > 25
    for call, ((absent, little), (hidden, more), (big, most)) in observed.items():
        assert absent == hidden == big, call
        assert absent[-1], call
        assert more == most, call
        assert len(more) - len(little) <= READERS_MAX, call
