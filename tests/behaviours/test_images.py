"""One image's life: created, shown, deleted (I); its tags (T)."""

from typing import Any

import pytest

from infra.local.worker import Pump
from tests.actors import Actor
from tests.aws_faults import truth
from tests.scene import CONTENT, at, error, make_active

NOW = "2026-11-24T08:00:00Z"
ID = "6b1f7f54-7a4e-4b53-9f1c-3c1b8f2f6a01"
PATH = f"/v2/images/{ID}"

BASE: Any = {
    **dict.fromkeys(["name", "disk_format", "container_format"]),
    **dict.fromkeys(["size", "virtual_size", "checksum"]),
    **dict.fromkeys(["os_hash_algo", "os_hash_value"]),
    "id": ID,
    "status": "queued",
    "visibility": "shared",
    "owner": "producer",
    "protected": False,
    "os_hidden": False,
    "min_disk": 0,
    "min_ram": 0,
    "tags": [],
    "created_at": NOW,
    "updated_at": NOW,
    "self": PATH,
    "file": f"{PATH}/file",
    "schema": "/v2/schemas/image",
}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, NOW)


@pytest.mark.behaviour("I1", "I7")
def test_an_image_has_every_base_attribute(producer: Actor) -> None:
    """What is unset is null; it stands at the id that it was given."""
    created = producer.post("/v2/images", {"id": ID})
    shown = producer.get(PATH)

    assert (created.status, created.document) == (201, BASE)
    assert (shown.status, shown.document) == (200, BASE)
    assert created.headers["location"].endswith(f"://localhost{PATH}")


@pytest.mark.behaviour("I2", "I9")
def test_custom_properties_stand_beside_the_base_ones(producer: Actor) -> None:
    """Well-known ones and any others travel as they were given."""
    given = {
        "name": "ubuntu",
        "visibility": "private",
        "tags": ["lts"],
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 10,
        "min_ram": 512,
        "protected": True,
        "os_hidden": True,
    }
    properties = {
        "os_distro": "ubuntu",
        "os_version": "24.04",
        "com.rackspace__1__options": "0",
        "": "a name of no letters",
        "größe": "groß",
    }

    producer.post("/v2/images", {"id": ID, **given, **properties})

    assert {**BASE, **given, **properties} == producer.get(PATH).document


@pytest.mark.behaviour("I3")
@pytest.mark.parametrize("image_id", [ID, "ubuntu", "ubuntu%2024.04", ID.upper()])
def test_what_is_not_there_is_not_found(image_id: str, producer: Actor) -> None:
    """A name is no id: the CLI looks for it in the list then. An id has no case."""
    response = producer.get(f"/v2/images/{image_id}")

    read = ID if image_id == ID.upper() else image_id.replace("%20", " ")
    words = f"No image found with ID {read}"
    assert error(404, "Not Found", words) == (response.status, response.document)


@pytest.mark.behaviour("I4", "I7")
def test_a_deleted_image_is_gone_for_everybody_and_its_id_for_good(
    producer: Actor, consumer: Actor, admin: Actor, pump: Pump
) -> None:
    """From every list; its memberships with it."""
    producer.make_image(id=ID)
    producer.share(ID, "consumer", "another")
    consumer.set_status(ID, "accepted")

    deleted = producer.delete(PATH)
    again = producer.post("/v2/images", {"id": ID})
    pump.drain()

    assert (deleted.status, deleted.body) == (204, b"")
    everybody = (producer, consumer, admin)
    assert [one.get(PATH).status for one in everybody] == [404] * 3
    assert [one.listed() for one in everybody] == [[]] * 3
    assert producer.delete(PATH).status == 404
    wanted = error(409, "Conflict", f"Image ID {ID} already exists!")
    assert wanted == (again.status, again.document)
    assert [item["deleted"] for item in truth()] == [{"BOOL": True}]


@pytest.mark.behaviour("I5")
def test_a_protected_image_is_not_deleted(producer: Actor, admin: Actor) -> None:
    """Not even by an administrator, until it is protected no more."""
    producer.make_image(id=ID, protected=True)

    refused = [one.delete(PATH) for one in (producer, admin)]
    producer.patch(PATH, [{"op": "replace", "path": "/protected", "value": False}])
    deleted = producer.delete(PATH)

    words = f"Image {ID} is protected and cannot be deleted."
    wanted = error(403, "Forbidden", words)
    assert [wanted] * 2 == [(one.status, one.document) for one in refused]
    assert deleted.status == 204


@pytest.mark.behaviour("I6")
def test_only_the_owner_deletes(
    producer: Actor, consumer: Actor, stranger: Actor
) -> None:
    """A member gets 403; a stranger gets 404."""
    producer.make_image(id=ID)
    producer.share(ID, "consumer")

    statuses = [
        consumer.delete(PATH).status,
        stranger.delete(PATH).status,
        producer.using("reader").delete(PATH).status,
    ]

    assert statuses == [403, 404, 403]
    assert producer.get(PATH).status == 200


@pytest.mark.behaviour("I8")
@pytest.mark.parametrize("name", ["disk_format", "container_format"])
def test_the_format_of_data_that_is_there_does_not_change(
    name: str, producer: Actor
) -> None:
    """While nothing is there it may."""
    producer.make_image(id=ID, disk_format="raw", container_format="bare")
    change = [{"op": "replace", "path": f"/{name}", "value": "ami"}]
    queued = producer.patch(PATH, change)
    make_active(ID)
    active = producer.patch(PATH, change)

    assert (queued.status, queued.document[name]) == (200, "ami")
    words = f"Attribute '{name}' can be changed only while the image is queued."
    assert error(403, "Forbidden", words) == (active.status, active.document)
    assert producer.get(PATH).document["size"] == len(CONTENT)


@pytest.mark.behaviour("T1", "T2")
def test_a_tag_is_put_on_once(producer: Actor) -> None:
    """204 without a body, the second time as well; a body is refused."""
    producer.make_image(id=ID, tags=["lts"])

    first = producer.put(f"{PATH}/tags/a%20b%2Fc")
    again = producer.put(f"{PATH}/tags/a%20b%2Fc")
    body = producer.put(f"{PATH}/tags/other", {"tag": "other"})

    assert (204, b"") == (first.status, first.body) == (again.status, again.body)
    wanted = error(400, "Bad Request", "The request must not have a body.")
    assert wanted == (body.status, body.document)
    assert producer.get(PATH).document["tags"] == ["lts", "a b/c"]


@pytest.mark.behaviour("T3")
def test_a_tag_is_taken_off_once(producer: Actor) -> None:
    """The second time there is none."""
    producer.make_image(id=ID, tags=["lts", "cloud"])

    first = producer.delete(f"{PATH}/tags/lts")
    again = producer.delete(f"{PATH}/tags/lts")

    assert (first.status, first.body) == (204, b"")
    wanted = error(404, "Not Found", f"The image {ID} has no tag 'lts'.")
    assert wanted == (again.status, again.document)
    assert producer.get(PATH).document["tags"] == ["cloud"]


@pytest.mark.behaviour("T4")
@pytest.mark.parametrize(("length", "status"), [(255, 204), (256, 400)])
def test_a_tag_has_255_characters_at_most(
    length: int, status: int, producer: Actor
) -> None:
    """Characters, not bytes."""
    producer.make_image(id=ID)

    assert producer.put(f"{PATH}/tags/{'%C3%BC' * length}").status == status
