"""
The examples of a local run: a producer's images, and what it shares with a consumer.
"""

import json
from contextlib import suppress
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
    partner: str | None = None
    """The token of a second consumer, where there is one."""


PARTNER: Final = "erin:partner:member"
DEVELOPERS: Final = People(PRODUCER, CONSUMER, ADMIN, "consumer", PARTNER)
"""Whom the identity `development` believes to be them."""

CONTENT: Final = b"No disk: an example. "
"""The data of the examples that are shared."""

_DISK: Final = {"disk_format": "raw", "container_format": "bare"}


class RefusedError(Exception):
    """The service refused an example, under the settings that it has."""


def load(app: Chalice, people: People = DEVELOPERS) -> str:
    """Make the examples by the service's own calls; return the id of the offered one.

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
    nightly = _create(app, people.producer, "nightly-build")
    if people.partner:
        _share_with_partner(app, people, people.partner, [nightly, offered])
    private = [{"op": "replace", "path": "/visibility", "value": "private"}]
    _call(app, people.producer, "PATCH", f"/v2/images/{nightly}", private)
    _create(app, people.admin, "rocky-10", visibility="public", os_distro="rocky")
    if _share(app, people, offered) and _share(app, people, accepted):
        _add_note(app, people, offered)
        path = f"/v2/images/{accepted}/members/{people.consumer_project}"
        _call(app, people.consumer, "PUT", path, {"status": "accepted"})
    return offered


def _share_with_partner(
    app: Chalice, people: People, partner: str, images: list[str]
) -> None:
    """Show the sharing extension: a verified producer, notes, a rule, a dormant member.

    The rule accepts the partner's offer once the stream is read. Nothing of it is in
    the consumer's lists.
    """
    extension = "/ext/v1"
    producer_profile = {
        "display_name": "ACME Images",
        "contact": "https://acme.example/images",
        "published": True,
    }
    with suppress(RefusedError):  # EXTENSION=off, or MEMBER_QUOTA=0
        _call(app, people.producer, "PUT", f"{extension}/profile", producer_profile)
        verified = f"{extension}/profiles/producer/verified"
        named = {"display_name": producer_profile["display_name"]}
        _call(app, people.admin, "PUT", verified, {"verified": True, **named})
        rule = f"{extension}/rules/producer"
        _call(app, partner, "PUT", rule, {"effect": "accept"})
        for image_id in images:
            share = f"{extension}/outgoing/{image_id}/partner"
            _call(app, people.producer, "PUT", share, {"note": "For your tests."})


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


def _add_note(app: Chalice, people: People, image_id: str) -> None:
    share = f"/ext/v1/outgoing/{image_id}/{people.consumer_project}"
    note = {"note": "Hardened, CIS level 1."}
    with suppress(RefusedError):  # EXTENSION=off
        _call(app, people.producer, "PUT", share, note)


def _upload(app: Chalice, token: str, image_id: str) -> None:
    headers = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
    _ask(app, "PUT", f"/v2/images/{image_id}/file", headers, CONTENT)


def _call(
    app: Chalice,
    token: str,
    method: str,
    path: str,
    document: Json | list[Json],
) -> Json:
    kind = "application/json"
    if method == "PATCH":
        kind = "application/openstack-images-v2.1-json-patch"
    headers = {"X-Auth-Token": token, "Content-Type": kind}
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
