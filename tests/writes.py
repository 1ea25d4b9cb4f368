"""
Every write of the API, by name, and the calls that tests of races and faults make.
"""

from collections.abc import Callable
from typing import Any

from tests.actors import Actor, Response
from tests.aws_faults import truth


def members() -> list[str]:
    """
    Return the members in the table, and see that the one image has counted them right.
    """
    image, *memberships = truth()
    assert image["member_count"]["N"] == str(len(memberships))
    return [item["member_id"]["S"] for item in memberships]


def add_member(actor: Actor, image_id: str, project: str) -> Response:
    """Make a project a member."""
    return actor.post(f"/v2/images/{image_id}/members", {"member": project})


def remove_member(actor: Actor, image_id: str, project: str) -> Response:
    """End a membership."""
    return actor.delete(f"/v2/images/{image_id}/members/{project}")


def accept(actor: Actor, image_id: str) -> Response:
    """Accept as a member."""
    path = f"/v2/images/{image_id}/members/{actor.project}"
    return actor.put(path, {"status": "accepted"})


def set_attribute(actor: Actor, image_id: str, name: str, value: Any) -> Response:
    """Set one attribute of an image."""
    operation = {"op": "add", "path": f"/{name}", "value": value}
    return actor.patch(f"/v2/images/{image_id}", [operation])


Act = Callable[[Actor, Actor, str], Response]

PUT, UPDATE, TRANSACT = "PutItem", "UpdateItem", "TransactWriteItems"
WRITES: dict[str, tuple[str, Act]] = {
    "create image": (PUT, lambda p, _, __: p.post("/v2/images", {"name": "ubuntu"})),
    "rename image": (UPDATE, lambda p, _, i: set_attribute(p, i, "name", "new")),
    "protect image": (
        UPDATE,
        lambda p, _, i: set_attribute(p, i, "protected", value=True),
    ),
    "unshare image": (
        UPDATE,
        lambda p, _, i: set_attribute(p, i, "visibility", "private"),
    ),
    "transfer image": (
        UPDATE,
        lambda p, _, i: set_attribute(p.using("admin"), i, "owner", "heir"),
    ),
    "remove property": (
        UPDATE,
        lambda p, _, i: p.patch(f"/v2/images/{i}", [{"op": "remove", "path": "/x"}]),
    ),
    "remove tag": (UPDATE, lambda p, _, i: p.delete(f"/v2/images/{i}/tags/lts")),
    "delete image": (PUT, lambda p, _, i: p.delete(f"/v2/images/{i}")),
    "add member": (TRANSACT, lambda p, _, i: add_member(p, i, "new")),
    "remove member": (TRANSACT, lambda p, _, i: remove_member(p, i, "consumer")),
    "set status": (UPDATE, lambda _, c, i: accept(c, i)),
}
"""Each write: the operation that does it, and how to ask for it."""

_BULK: Any = {"action": "share", "projects": ["new", "other"], "note": "hello"}
_OUTGOING = "/ext/v1/outgoing"
EXTENSION_WRITES: dict[str, tuple[str, Act]] = {
    "share with a note": (
        TRANSACT,
        lambda p, _, i: p.put(f"{_OUTGOING}/{i}/new", {"note": "hello"}),
    ),
    "change a note": (
        TRANSACT,
        lambda p, _, i: p.put(f"{_OUTGOING}/{i}/consumer", {"note": "hello"}),
    ),
    "share with many": (
        TRANSACT,
        lambda p, _, i: p.post(_OUTGOING, _BULK | {"images": [i]}),
    ),
    "share with exactly": (
        TRANSACT,
        lambda p, _, i: p.put(
            f"{_OUTGOING}/{i}", {"members": [{"project_id": "new", "note": "hello"}]}
        ),
    ),
    "revoke": (TRANSACT, lambda p, _, i: p.delete(f"{_OUTGOING}/{i}/consumer")),
    "leave": (TRANSACT, lambda _, c, i: c.delete(f"/ext/v1/incoming/{i}")),
    "answer": (
        UPDATE,
        lambda _, c, i: c.put(f"/ext/v1/incoming/{i}", {"status": "accepted"}),
    ),
    "answer many": (
        UPDATE,
        lambda _, c, i: c.post(
            "/ext/v1/incoming", {"answers": [{"image_id": i, "status": "accepted"}]}
        ),
    ),
    "set profile": (
        PUT,
        lambda p, _, i: p.put("/ext/v1/profile", {"display_name": i}),
    ),
    "set rule": (
        PUT,
        lambda _, c, i: c.put(f"/ext/v1/rules/{i}", {"effect": "accept"}),
    ),
}
"""Each write of the sharing extension."""


def shared_image(producer: Actor) -> str:
    """Make an image with a tag, a property and a member."""
    image_id = producer.make_image(name="ubuntu", tags=["lts"], x="y")
    producer.share(image_id, "consumer")
    return image_id
