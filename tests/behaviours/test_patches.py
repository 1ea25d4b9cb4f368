"""Changes of an image by JSON patch (P)."""

from dataclasses import replace
from typing import Any

import pytest

from tests.actors import Actor, Response
from tests.scene import at, error

ID = "6b1f7f54-7a4e-4b53-9f1c-3c1b8f2f6a01"
PATH = f"/v2/images/{ID}"
OLD_TYPE = "application/openstack-images-v2.0-json-patch"
NEW_TYPE = "application/openstack-images-v2.1-json-patch"


@pytest.fixture(autouse=True)
def _image(producer: Actor) -> None:
    producer.make_image(id=ID, name="ubuntu", color="red", tags=["lts"])


def patch_as(actor: Actor, kind: str | None, body: Any) -> Response:
    """Send a patch with a media type, or with none."""
    typed = {"Content-Type": kind} if kind else {}
    raw = body if isinstance(body, bytes) else str(body).replace("'", '"').encode()
    return replace(actor, headers={**actor.headers, **typed}).ask("PATCH", PATH, raw)


def of_image(actor: Actor, *names: str) -> list[Any]:
    """Return some attributes of the image; None for those that it has not."""
    document = actor.get(PATH).document
    return [document.get(name) for name in names]


@pytest.mark.behaviour("P1", "P14")
def test_operations_are_done_in_their_order(producer: Actor) -> None:
    """The response is the whole image as it is now."""
    response = producer.patch(
        PATH,
        [
            {"op": "replace", "path": "/name", "value": "debian"},
            {"op": "add", "path": "/size_class", "value": "big"},
            {"op": "replace", "path": "/size_class", "value": "small"},
            {"op": "remove", "path": "/color"},
        ],
    )

    assert (200, producer.get(PATH).document) == (response.status, response.document)
    wanted = ["debian", "small", None]
    assert wanted == of_image(producer, "name", "size_class", "color")


@pytest.mark.behaviour("P2")
def test_the_old_dialect_is_taken(producer: Actor) -> None:
    """By its own media type alone."""
    body = '[{"replace": "/name", "value": "old"}, {"remove": "/color"}]'
    done = patch_as(producer, OLD_TYPE, body)
    other = patch_as(producer, NEW_TYPE, body)
    new = '[{"op": "add", "path": "/x", "value": "y"}]'
    another = patch_as(producer, OLD_TYPE, new)

    assert [done.status, other.status, another.status] == [200, 400, 400]
    assert of_image(producer, "name", "color", "x") == ["old", None, None]


@pytest.mark.behaviour("P3")
@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/json-patch+json", "text/plain"]
)
def test_another_media_type_is_told_which_are_taken(
    kind: str | None, producer: Actor
) -> None:
    """415 with `Accept-Patch`."""
    response = patch_as(producer, kind, b"[]")

    types = f"{OLD_TYPE}, {NEW_TYPE}"
    wanted = error(
        415, "Unsupported Media Type", f"Content-Type must be one of {types}."
    )
    assert wanted == (response.status, response.document)
    assert response.headers["accept-patch"] == types


@pytest.mark.behaviour("P4", "P5", "P6")
@pytest.mark.parametrize(
    "operation",
    [
        '{"op": "move", "from": "/name", "path": "/title"}',
        '{"op": "test", "path": "/name", "value": "ubuntu"}',
        '{"op": ["add"], "path": "/x", "value": "y"}',
        '{"path": "/x", "value": "y"}',
        '{"op": "add", "value": "y"}',
        '{"op": "add", "path": 5, "value": "y"}',
        '{"op": "add", "path": "", "value": "y"}',
        '{"op": "add", "path": "x", "value": "y"}',
        '{"op": "add", "path": "/x/y", "value": "y"}',
        '{"op": "add", "path": "/x/", "value": "y"}',
        '{"op": "add", "path": "/x~2", "value": "y"}',
        '{"op": "add", "path": "/x"}',
        '{"op": "replace", "path": "/name"}',
        '"remove"',
    ],
)
def test_a_malformed_operation_is_refused(operation: str, producer: Actor) -> None:
    """And with it those beside it."""
    before = producer.get(PATH).document
    fine = '{"op": "add", "path": "/x", "value": "y"}'

    response = patch_as(producer, NEW_TYPE, f"[{fine}, {operation}]".encode())

    assert response.status == 400
    assert before == producer.get(PATH).document


@pytest.mark.behaviour("P4")
def test_the_old_dialect_has_one_operation_an_object(producer: Actor) -> None:
    """Two in one are none."""
    both = '[{"add": "/x", "remove": "/color", "value": "y"}]'

    assert patch_as(producer, OLD_TYPE, both).status == 400
    assert of_image(producer, "color", "x") == ["red", None]


@pytest.mark.behaviour("P2")
@pytest.mark.parametrize("name", ["color", "name"])
def test_the_old_dialect_adds_only_what_is_not_there(
    name: str, producer: Actor
) -> None:
    """Otherwise than the new one, as the reference has it."""
    response = patch_as(producer, OLD_TYPE, f'[{{"add": "/{name}", "value": "x"}}]')

    assert response.status == 409
    assert of_image(producer, "color", "name") == ["red", "ubuntu"]


@pytest.mark.behaviour("P7", "P8", "P14")
@pytest.mark.parametrize("op", ["remove", "replace"])
def test_what_is_not_there_cannot_be_removed_or_replaced(
    op: str, producer: Actor
) -> None:
    """409, and nothing of the patch is done."""
    before = producer.get(PATH).document

    response = producer.patch(
        PATH,
        [
            {"op": "replace", "path": "/name", "value": "half"},
            {"op": op, "path": "/nothing", "value": "x"},
        ],
    )

    wanted = error(
        409, "Conflict", f"Property 'nothing' does not exist and cannot be {op}d."
    )
    assert wanted == (response.status, response.document)
    assert before == producer.get(PATH).document


@pytest.mark.behaviour("P9", "P10")
def test_custom_properties_are_the_owners(producer: Actor) -> None:
    """Add sets one that is there as well; values are texts."""
    set_again = [{"op": "add", "path": "/color", "value": "blue"}]
    number = [{"op": "add", "path": "/color", "value": 5}]

    assert producer.patch(PATH, set_again).status == 200
    assert producer.patch(PATH, number).status == 400
    assert of_image(producer, "color") == ["blue"]


@pytest.mark.behaviour("P11")
def test_base_attributes_that_may_change(producer: Actor) -> None:
    """Each by add and by replace."""
    values = {
        "name": "debian",
        "tags": ["a", "b"],
        "protected": True,
        "os_hidden": True,
        "visibility": "private",
        "min_disk": 5,
        "min_ram": 64,
        "disk_format": "raw",
        "container_format": "bare",
        "os_distro": "debian",
        "os_version": "13",
        "kernel_id": "k",
        "ramdisk_id": "r",
    }
    done = []
    for name, value in values.items():
        change: dict[str, Any] = {"op": "add", "path": f"/{name}", "value": value}
        done.append(producer.patch(PATH, [change]).status)
        done.append(producer.patch(PATH, [{**change, "op": "replace"}]).status)

    assert {200} == set(done)
    assert list(values.values()) == of_image(producer, *values)


@pytest.mark.behaviour("P12", "P13")
@pytest.mark.parametrize(
    "name",
    ["id", "status", "size", "checksum", "self", "file", "location", "os_glance_x"],
)
def test_what_the_service_sets_is_not_the_clients(name: str, producer: Actor) -> None:
    """403, and nothing of the patch is done."""
    before = producer.get(PATH).document

    response = producer.patch(
        PATH,
        [
            {"op": "replace", "path": "/name", "value": "half"},
            {"op": "add", "path": f"/{name}", "value": "x"},
        ],
    )

    wanted = error(403, "Forbidden", f"Attribute '{name}' is read-only.")
    assert wanted == (response.status, response.document)
    assert before == producer.get(PATH).document


@pytest.mark.behaviour("P12")
def test_a_base_attribute_is_not_removed(producer: Actor) -> None:
    """It can be set to another value."""
    response = producer.patch(PATH, [{"op": "remove", "path": "/name"}])

    wanted = error(403, "Forbidden", "Attribute 'name' cannot be removed.")
    assert wanted == (response.status, response.document)


@pytest.mark.behaviour("P15")
def test_only_the_owner_changes_an_image(
    producer: Actor, consumer: Actor, stranger: Actor, admin: Actor
) -> None:
    """A member gets 403; a stranger gets 404."""
    producer.share(ID, "consumer")
    change = [{"op": "replace", "path": "/name", "value": "stolen"}]

    statuses = [
        consumer.patch(PATH, change).status,
        stranger.patch(PATH, change).status,
        producer.using("reader").patch(PATH, change).status,
        admin.patch(PATH, change).status,
    ]

    assert statuses == [403, 404, 403, 200]


@pytest.mark.behaviour("P16")
def test_a_pointer_writes_tilde_and_slash_escaped(producer: Actor) -> None:
    """`~0` and `~1`, in this order of undoing."""
    producer.patch(PATH, [{"op": "add", "path": "/~0~1.ssh~1", "value": "keys"}])
    producer.patch(PATH, [{"op": "add", "path": "/~01", "value": "no slash"}])

    assert of_image(producer, "~/.ssh/", "~1") == ["keys", "no slash"]


def test_a_flip_of_visibility_keeps_the_memberships(
    producer: Actor, consumer: Actor
) -> None:
    """While the image is private they do nothing; they work again once it is shared."""
    producer.share(ID, "consumer")
    consumer.set_status(ID, "accepted")

    def flip(visibility: str) -> tuple[int, list[str], int]:
        change = {"op": "replace", "path": "/visibility", "value": visibility}
        producer.patch(PATH, [change])
        members = producer.get(f"{PATH}/members").status
        return consumer.get(PATH).status, consumer.listed(), members

    assert flip("private") == (404, [], 403)
    assert flip("community") == (200, [], 403)
    assert flip("shared") == (200, [ID], 200)


def test_an_empty_patch_changes_nothing(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the image was updated."""
    before = producer.get(PATH).document
    at(monkeypatch, "2036-11-24T08:00:00Z")

    response = producer.patch(PATH, [])

    assert (200, before) == (response.status, response.document)
    assert before == producer.get(PATH).document


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", PATH, [{"op": "replace", "path": "/name", "value": "ubuntu"}]),
        ("PUT", f"{PATH}/tags/lts", None),
    ],
)
def test_a_change_to_what_is_there_already_is_an_update(
    method: str, path: str, body: Any, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the reference, which keeps the image whenever it is asked to."""
    before = producer.get(PATH).document
    at(monkeypatch, "2036-11-24T08:00:00Z")

    assert producer.ask(method, path, body).status in (200, 204)

    wanted = before | {"updated_at": "2036-11-24T08:00:00Z"}
    assert wanted == producer.get(PATH).document
