"""
The examples of a local run: a producer's images, and what it shares with a consumer.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from chalice.app import Chalice

from infra.local import gateway

PRODUCER: Final = "alice:producer:member"
CONSUMER: Final = "bob:consumer:member"
ADMIN: Final = "carol:operators:admin"

Json = dict[str, Any]

_DISK: Final = {"disk_format": "qcow2", "container_format": "bare"}


class RefusedError(Exception):
    """
    The service refused an example, under the settings that it has.
    """


def load(app: Chalice) -> str:
    """
    Make the examples by the service's own calls; give the id of the image on offer.

    Raises:
        RefusedError: A setting does not allow one of them.
    """
    offered = _create(app, PRODUCER, "ubuntu-24.04", tags=["lts"], os_distro="ubuntu")
    accepted = _create(app, PRODUCER, "debian-13", tags=["stable"], os_distro="debian")
    _create(app, PRODUCER, "nightly-build", visibility="private")
    _create(app, ADMIN, "rocky-10", visibility="public", os_distro="rocky")
    if _share(app, offered) and _share(app, accepted):
        path = f"/v2/images/{accepted}/members/consumer"
        _call(app, CONSUMER, "PUT", path, {"status": "accepted"})
    return offered


def _create(app: Chalice, token: str, name: str, **fields: Any) -> str:  # noqa: ANN401
    image = {"name": name, **_DISK, "min_disk": 10, "min_ram": 512, **fields}
    image_id: str = _call(app, token, "POST", "/v2/images", image)["id"]
    return image_id


def _share(app: Chalice, image_id: str) -> bool:
    path = f"/v2/images/{image_id}/members"
    try:
        _call(app, PRODUCER, "POST", path, {"member": "consumer"})
    except RefusedError:
        return False  # MEMBER_QUOTA=0
    return True


def _call(app: Chalice, token: str, method: str, path: str, document: Json) -> Json:
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    body = json.dumps(document).encode()
    event = gateway.event(app.routes, method, path, headers, body)
    status, _, content = gateway.response(app(event, None))
    if status >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(" ".join([method, path, *content.decode().split()]))
    answer: Json = json.loads(content)
    return answer
