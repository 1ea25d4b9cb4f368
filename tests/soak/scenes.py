"""The scenes of storms and faults, and every write that can be made in them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import requests

from tests.actors import Actor, Response, Send
from tests.soak.stand import SOURCE, Stand
from tests.soak.tables import state_of
from tests.writes import accept, add_member, remove_member, set_attribute

CONTENT: Final = b"cloud images"
_number = count(1)


@dataclass(frozen=True)
class Scene:
    """An image in some state, and the projects that act on it; no other scene has them.

    `upload` is the path of the direct upload that the image waits for, if it does.
    """

    kind: str
    stand: Stand
    producer: Actor
    consumer: Actor
    admin: Actor
    heir: str
    image_id: str
    other_id: str
    upload: str = ""

    @property
    def image(self) -> str:
        """The image's path."""
        return f"/v2/images/{self.image_id}"

    @property
    def shares(self) -> str:
        """The path of the image's shares."""
        return f"/ext/v1/outgoing/{self.image_id}"

    @property
    def offer(self) -> str:
        """The path of the image as an offer."""
        return f"/ext/v1/incoming/{self.image_id}"

    @property
    def names(self) -> dict[str, str]:
        """What each name that is this scene's alone stands for."""
        return {
            self.image_id: "{image}",
            self.other_id: "{other}",
            self.producer.project: "{producer}",
            self.consumer.project: "{consumer}",
            self.heir: "{heir}",
        }

    def state(self) -> str:
        """Return what the table says of this scene."""
        projects = (self.producer.project, self.consumer.project, self.heir)
        ids = (self.image_id, self.other_id)
        return state_of(
            self.stand.items_of(
                *(f"IMAGE#{one}" for one in ids),
                *(f"UPLOAD#{one}" for one in ids),
                *(f"NOTES#{one}" for one in ids),
                *(f"PROJECT#{one}" for one in projects),
            ),
            self.names,
        )


def make_scene(kind: str, stand: Stand) -> Scene:
    """Make a scene of a kind: an image that is shared, or has a state of data."""
    number = next(_number)
    send: Send = stand.send
    producer = Actor(send, f"producer-{number:06}")
    consumer = Actor(send, f"consumer-{number:06}")
    image_id, other_id = (f"{number:08x}-0000-4000-8000-00000000000{n}" for n in "ab")
    upload = ""
    formats: Any = {"disk_format": "raw", "container_format": "bare"}
    producer.make_image(id=image_id, name="ubuntu", tags=["lts"], x="y", **formats)
    image = f"/v2/images/{image_id}"
    if kind in ("shared", "projects"):
        shares = f"/ext/v1/outgoing/{image_id}"
        producer.put(f"{shares}/{consumer.project}", {"note": "hello"})
        consumer.put("/ext/v1/profile", {"display_name": "A"})
    elif kind == "staged":
        producer.upload(image_id, CONTENT, "stage")
    elif kind == "active":
        producer.upload(image_id, CONTENT)
    elif kind == "open":
        begun = producer.post(
            f"/ext/v1{image.removeprefix('/v2')}/uploads", {"size": len(CONTENT)}
        )
        upload = begun.document["self"]
        (part,) = begun.document["parts"]
        assert requests.put(part["url"], CONTENT, timeout=10).ok
    return Scene(
        kind=kind,
        stand=stand,
        producer=producer,
        consumer=consumer,
        admin=Actor(send, "operators", "admin"),
        heir=f"heir-{number:06}",
        image_id=image_id,
        other_id=other_id,
        upload=upload,
    )


Act = Callable[[Scene], Response]


def _answer(s: Scene, status: str) -> Response:
    path = f"{s.image}/members/{s.consumer.project}"
    return s.consumer.put(path, {"status": status})


def _set(name: str, value: Any, *, admin: bool = False) -> Act:
    def act(s: Scene) -> Response:
        given = value.format(s) if isinstance(value, str) else value
        return set_attribute(s.admin if admin else s.producer, s.image_id, name, given)

    return act


def _share(s: Scene, project: str, *note: str) -> Response:
    body = {"note": note[0]} if note else None
    return s.producer.put(f"{s.shares}/{project}", body)


def _bulk(s: Scene, action: str, *projects: str, **more: Any) -> Response:
    body = {"action": action, "images": [s.image_id], "projects": projects, **more}
    return s.producer.post("/ext/v1/outgoing", body)


def _declare(s: Scene, *projects: str) -> Response:
    members = [{"project_id": one, "note": "declared"} for one in projects]
    return s.producer.put(s.shares, {"members": members})


def _import(s: Scene, name: str, **more: str) -> Response:
    method = {"name": name, **more}
    return s.producer.post(f"{s.image}/import", {"method": method})


def _begin(s: Scene) -> Response:
    path = f"/ext/v1/images/{s.image_id}/uploads"
    return s.producer.post(path, {"size": len(CONTENT)})


_OF_IMAGES: Final[dict[str, Act]] = {
    "delete image": lambda s: s.producer.delete(s.image),
    "rename": _set("name", "new"),
    "protect": _set("protected", value=True),
    "make private": _set("visibility", "private"),
    "transfer": _set("owner", "{0.heir}", admin=True),
}
_OF_SHARING: Final[dict[str, Act]] = {
    **_OF_IMAGES,
    "create image": lambda s: s.producer.post("/v2/images", {"id": s.other_id}),
    "create again": lambda s: s.producer.post("/v2/images", {"id": s.image_id}),
    "hide": _set("os_hidden", value=True),
    "unprotect": _set("protected", value=False),
    "make shared": _set("visibility", "shared"),
    "make community": _set("visibility", "community"),
    "make public": _set("visibility", "public", admin=True),
    "transfer back": _set("owner", "{0.producer.project}", admin=True),
    "remove property": lambda s: s.producer.patch(
        s.image, [{"op": "remove", "path": "/x"}]
    ),
    "add tag": lambda s: s.producer.put(f"{s.image}/tags/new"),
    "remove tag": lambda s: s.producer.delete(f"{s.image}/tags/lts"),
    "add member": lambda s: add_member(s.producer, s.image_id, s.consumer.project),
    "add another": lambda s: add_member(s.producer, s.image_id, "another"),
    "remove member": lambda s: remove_member(
        s.producer, s.image_id, s.consumer.project
    ),
    "accept": lambda s: accept(s.consumer, s.image_id),
    "reject": lambda s: _answer(s, "rejected"),
    "put off": lambda s: _answer(s, "pending"),
    "share": lambda s: _share(s, s.consumer.project),
    "share with a note": lambda s: _share(s, s.consumer.project, "again"),
    "remove the note": lambda s: _share(s, s.consumer.project, ""),
    "share with another": lambda s: _share(s, "another", "hello"),
    "revoke": lambda s: s.producer.delete(f"{s.shares}/{s.consumer.project}"),
    "revoke in bulk": lambda s: _bulk(s, "revoke", s.consumer.project),
    "leave": lambda s: s.consumer.delete(s.offer),
    "answer": lambda s: s.consumer.put(s.offer, {"status": "accepted"}),
    "answer in bulk": lambda s: s.consumer.post(
        "/ext/v1/incoming",
        {"answers": [{"image_id": s.image_id, "status": "rejected"}]},
    ),
    "leave in bulk": lambda s: s.consumer.post(
        "/ext/v1/incoming", {"answers": [{"image_id": s.image_id, "leave": True}]}
    ),
    "share with many": lambda s: _bulk(
        s, "share", s.consumer.project, "another", note="hello"
    ),
    "share with exactly": lambda s: _declare(s, "another"),
    "share with exactly one more": lambda s: _declare(s, s.consumer.project, "third"),
}
_OF_PROJECTS: Final[dict[str, Act]] = {
    **{name: _OF_SHARING[name] for name in ("add member", "remove member", "reject")},
    "set a rule": lambda s: s.consumer.put(
        f"/ext/v1/rules/{s.producer.project}", {"effect": "accept"}
    ),
    "set another rule": lambda s: s.consumer.put(
        f"/ext/v1/rules/{s.producer.project}", {"effect": "mute"}
    ),
    "remove the rule": lambda s: s.consumer.delete(
        f"/ext/v1/rules/{s.producer.project}"
    ),
    "set the profile": lambda s: s.consumer.put(
        "/ext/v1/profile", {"display_name": "A", "published": True}
    ),
    "set another profile": lambda s: s.consumer.put(
        "/ext/v1/profile", {"display_name": "B"}
    ),
    "remove the profile": lambda s: s.consumer.delete("/ext/v1/profile"),
    "verify the profile": lambda s: s.admin.put(
        f"/ext/v1/profiles/{s.consumer.project}/verified", {"verified": True}
    ),
}
_OF_DATA: Final[dict[str, Act]] = {
    **_OF_IMAGES,
    "upload": lambda s: s.producer.upload(s.image_id, CONTENT),
    "stage": lambda s: s.producer.upload(s.image_id, CONTENT, "stage"),
    "import": lambda s: _import(s, "glance-direct"),
    "import from a URL": lambda s: _import(
        s, "web-download", uri=f"http://{SOURCE}/image"
    ),
    "begin an upload": _begin,
}

_OF_UPLOADS: Final[dict[str, Act]] = {
    "sign parts": lambda s: s.producer.post(f"{s.upload}/urls", {"part_numbers": [1]}),
    "complete": lambda s: s.producer.post(f"{s.upload}/complete"),
    "abort": lambda s: s.producer.delete(s.upload),
}

WRITES: Final[dict[str, dict[str, Act]]] = {
    "shared": _OF_SHARING,
    "projects": _OF_PROJECTS,
    "queued": _OF_DATA,
    "staged": _OF_DATA,
    "open": {**_OF_DATA, **_OF_UPLOADS},
    "active": {
        **_OF_IMAGES,
        "upload": _OF_DATA["upload"],
        "deactivate": lambda s: s.producer.post(f"{s.image}/actions/deactivate"),
        "reactivate": lambda s: s.producer.post(f"{s.image}/actions/reactivate"),
    },
}
"""The writes that conflict with each other, by the scene in which they are made."""

PARTS: Final = {
    "share with many": ("share as the many", "share with another"),
    "share with exactly": ("revoke", "share with another as declared"),
    "share with exactly one more": (
        "share as declared",
        "share with third as declared",
    ),
}
"""The writes that one transaction does not do: any of their parts may be done alone."""

STEPS: Final[dict[str, dict[str, Act]]] = {
    kind: {
        **writes,
        "share as the many": lambda s: _share(s, s.consumer.project, "hello"),
        "share as declared": lambda s: _share(s, s.consumer.project, "declared"),
        "share with another as declared": lambda s: _share(s, "another", "declared"),
        "share with third as declared": lambda s: _share(s, "third", "declared"),
    }
    for kind, writes in WRITES.items()
}
"""The writes of each scene, and the parts of those that one transaction does not do."""

READS: Final[dict[str, Act]] = {
    "list images": lambda s: s.consumer.get("/v2/images"),
    "list offers": lambda s: s.consumer.get("/ext/v1/incoming"),
    "list offered images": lambda s: s.consumer.get(
        "/v2/images?visibility=shared&member_status=all"
    ),
    "show image": lambda s: s.consumer.get(s.image),
    "list members": lambda s: s.producer.get(f"{s.image}/members"),
    "show member": lambda s: s.producer.get(f"{s.image}/members/{s.consumer.project}"),
    "show usage": lambda s: s.producer.get("/v2/info/usage"),
    "list tasks": lambda s: s.producer.get(f"{s.image}/tasks"),
    "list shares": lambda s: s.producer.get("/ext/v1/outgoing"),
    "show shares": lambda s: s.producer.get(s.shares),
    "show offer": lambda s: s.consumer.get(s.offer),
    "show profile": lambda s: s.consumer.get("/ext/v1/profile"),
    "list rules": lambda s: s.consumer.get("/ext/v1/rules"),
    "show recipient": lambda s: s.producer.get(
        f"/ext/v1/recipients/{s.consumer.project}"
    ),
}
"""The reads of a shared image, for faults."""
