"""
The examples of a local run: a producer's images, and what it shares with a consumer.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from chalice.app import Chalice

from infra.local import gateway

PRODUCER: Final = "alice:producer:member"
CONSUMER: Final = "bob:consumer:member"
ADMIN: Final = "carol:operators:admin"

Json = dict[str, Any]


@dataclass(frozen=True)
class People:
    """The tokens of those who make the examples, and the consumer's project."""

    producer: str
    consumer: str
    admin: str
    consumer_project: str


DEVELOPERS: Final = People(PRODUCER, CONSUMER, ADMIN, "consumer")
"""Whom the identity `development` believes to be them."""

CONTENT: Final = b"No disk: an example. "
"""The data of the examples that are shared."""

_DISK: Final = {"disk_format": "raw", "container_format": "bare"}


class RefusedError(Exception):
    """The service refused an example, under the settings that it has."""


def load(app: Chalice, people: People = DEVELOPERS) -> str:
    """Make the examples by the service's own calls; give the id of the image on offer.

    Raises:
        RefusedError: A setting does not allow one of them.
    """
    offered = _create(
        app, people.producer, "ubuntu-24.04", tags=["lts"], os_distro="ubuntu"
    )
    accepted = _create(
        app, people.producer, "debian-13", tags=["stable"], os_distro="debian"
    )
    for image_id in (offered, accepted):
        _upload(app, people.producer, image_id)
    _create(app, people.producer, "nightly-build", visibility="private")
    _create(app, people.admin, "rocky-10", visibility="public", os_distro="rocky")
    if _share(app, people, offered) and _share(app, people, accepted):
        path = f"/v2/images/{accepted}/members/{people.consumer_project}"
        _call(app, people.consumer, "PUT", path, {"status": "accepted"})
    return offered


def _create(app: Chalice, token: str, name: str, **fields: Any) -> str:  # noqa: ANN401
    image = {"name": name, **_DISK, "min_disk": 10, "min_ram": 512, **fields}
    image_id: str = _call(app, token, "POST", "/v2/images", image)["id"]
    return image_id


def _share(app: Chalice, people: People, image_id: str) -> bool:
    path = f"/v2/images/{image_id}/members"
    try:
        member = {"member": people.consumer_project}
        _call(app, people.producer, "POST", path, member)
    except RefusedError:
        return False  # MEMBER_QUOTA=0
    return True


def _upload(app: Chalice, token: str, image_id: str) -> None:
    headers = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
    _ask(app, "PUT", f"/v2/images/{image_id}/file", headers, CONTENT)


def _call(app: Chalice, token: str, method: str, path: str, document: Json) -> Json:
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    content = _ask(app, method, path, headers, json.dumps(document).encode())
    response: Json = json.loads(content)
    return response


def _ask(
    app: Chalice, method: str, path: str, headers: dict[str, str], body: bytes
) -> bytes:
    event = gateway.event(app.routes, method, path, headers, body)
    status, _, content = gateway.response_of(app(event, None))
    if status >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(" ".join([method, path, *content.decode().split()]))
    return content
