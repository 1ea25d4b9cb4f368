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


def shared_image(producer: Actor) -> str:
    """Make an image with a tag, a property and a member."""
    image_id = producer.make_image(name="ubuntu", tags=["lts"], x="y")
    producer.share(image_id, "consumer")
    return image_id
