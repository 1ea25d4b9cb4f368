"""The library openstacksdk, on images: each call that moves no data."""

from typing import Any
from unittest.mock import ANY

import pytest

from infra.local.examples import ADMIN, CONSUMER, PRODUCER
from tests.clients.conftest import Libraries
from tests.clients.library import Library

PENDING = {"visibility": "shared", "member_status": "pending"}

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("libraries")]


def names(library: Library, **query: Any) -> list[str]:
    """Return the names that a list shows, in order."""
    return [image["name"] for image in library.do("image.images", **query)]


def test_a_consumer_answers_to_a_share(sdk: Libraries) -> None:
    """
    The answer decides what stands in its list; the producer sees it, and ends it all.
    """
    producer, consumer = sdk(PRODUCER), sdk(CONSUMER)
    image_id = producer.do("image.create_image", "ubuntu")["id"]

    def set_status(status: str) -> None:
        consumer.do("image.update_member", "consumer", image_id, status=status)
        (member,) = producer.do("image.members", image_id)
        assert (member["member_id"], member["status"]) == ("consumer", status)

    shared = producer.do("image.add_member", image_id, member_id="consumer")
    assert shared == {
        "id": "consumer",
        "member_id": "consumer",
        "status": "pending",
        "created_at": ANY,
        "updated_at": shared["created_at"],
        "schema": "/v2/schemas/member",
    }
    assert names(consumer, **PENDING) == ["ubuntu"]
    assert names(consumer) == []

    set_status("accepted")
    assert names(consumer) == ["ubuntu"]

    set_status("rejected")
    assert names(consumer) == []
    assert consumer.do("image.get_image", image_id)["name"] == "ubuntu"

    set_status("pending")
    assert names(consumer, **PENDING) == ["ubuntu"]

    set_status("accepted")
    member = producer.do("image.find_member", "consumer", image_id)
    assert member == {**shared, "status": "accepted", "updated_at": ANY}
    assert consumer.do("image.get_member", "consumer", image_id) == member
    update = ("image.update_member", "consumer", image_id)
    assert producer.refused(*update, status="rejected") == "ForbiddenException"

    remove = ("image.remove_member", "consumer", image_id)
    producer.do(*remove)
    assert producer.refused(*remove, ignore_missing=False) == "NotFoundException"
    assert consumer.refused("image.get_image", image_id) == "NotFoundException"
    assert producer.do("image.members", image_id) == []


def test_a_share_is_refused_where_it_cannot_be(sdk: Libraries) -> None:
    """A second time, by the consumer, and where the image is private."""
    producer, consumer = sdk(PRODUCER), sdk(CONSUMER)
    image_id = producer.do("image.create_image", "ubuntu")["id"]
    share = ("image.add_member", image_id)

    producer.do(*share, member="consumer")
    again = producer.refused(*share, member="consumer")
    onward = consumer.refused(*share, member="other")
    producer.do("image.update_image", image_id, visibility="private")
    private = producer.refused(*share, member="other")
    listed = producer.refused("image.members", image_id)

    assert again == "ConflictException"
    assert [onward, private, listed] == ["ForbiddenException"] * 3


def test_create_get_and_find_give_the_whole_image(sdk: Libraries) -> None:
    """What `create_image` gives is what is found by the image's id, and by its name."""
    producer = sdk(PRODUCER)

    created = producer.do(
        "image.create_image",
        "ubuntu",
        disk_format="qcow2",
        container_format="bare",
        tags=["lts", "cloud"],
        min_disk=3,
        min_ram=512,
        os_distro="ubuntu",
        a="b",
        meta={"is_protected": True, "is_hidden": False, "visibility": "private"},
    )

    assert created == {
        "id": ANY,
        "name": "ubuntu",
        "owner": "producer",
        "owner_id": "producer",
        "status": "queued",
        "visibility": "private",
        "is_protected": True,
        "is_hidden": False,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 3,
        "min_ram": 512,
        "tags": ["lts", "cloud"],
        "os_distro": "ubuntu",
        "properties": {
            "a": "b",
            "owner_specified.openstack.md5": "",
            "owner_specified.openstack.object": "images/ubuntu",
            "owner_specified.openstack.sha256": "",
        },
        "created_at": ANY,
        "updated_at": created["created_at"],
        "file": f"/v2/images/{created['id']}/file",
        "schema": "/v2/schemas/image",
    }
    assert producer.do("image.get_image", created["id"]) == created
    assert producer.do("image.find_image", created["id"]) == created
    assert producer.do("image.find_image", "ubuntu") == created
    assert producer.do("image.find_image", "debian") is None


@pytest.mark.usefixtures("stock")
def test_images_finds_what_was_asked_for(sdk: Libraries) -> None:
    """Each filter of `images` counts, and each way to sort and to page."""
    expected: list[tuple[dict[str, Any], str]] = [
        ({}, "fedora rocky debian ubuntu"),
        ({"name": "debian"}, "debian"),
        ({"name": "in:debian,ubuntu"}, "debian ubuntu"),
        ({"visibility": "public"}, "fedora"),
        ({"visibility": "private"}, "debian"),
        ({"visibility": "community"}, "mint rocky"),
        ({"visibility": "all"}, "mint fedora rocky debian ubuntu"),
        (PENDING, "gift ubuntu"),
        ({**PENDING, "member_status": "rejected"}, "ubuntu"),
        ({**PENDING, "member_status": "all"}, "gift ubuntu"),
        ({"owner": "operators"}, "fedora"),
        ({"status": "active"}, ""),
        ({"status": "queued", "tag": "cloud"}, "ubuntu"),
        ({"size_min": 1}, ""),
        ({"size_max": 1}, ""),
        ({"protected": "true"}, ""),
        ({"is_hidden": True}, "arch"),
        ({"disk_format": "iso"}, "rocky"),
        ({"container_format": "bare"}, ""),
        ({"os_distro": "ubuntu"}, "ubuntu"),
        ({"created_at": "gte:2000-01-01T00:00:00Z"}, "fedora rocky debian ubuntu"),
        ({"updated_at": "lt:2000-01-01T00:00:00Z"}, ""),
        ({"sort": "disk_format:asc,name:desc"}, "rocky ubuntu fedora debian"),
        ({"sort": "created_at:asc"}, "ubuntu debian rocky fedora"),
        ({"sort_key": "name", "sort_dir": "asc"}, "debian fedora rocky ubuntu"),
        ({"limit": 1, "sort": "name:asc"}, "debian fedora rocky ubuntu"),
        ({"limit": 3, "paginated": False}, "fedora rocky debian"),
    ]

    producer = sdk(PRODUCER)
    listed = [(query, " ".join(names(producer, **query))) for query, _ in expected]

    assert listed == expected


def test_a_page_begins_after_the_marker(sdk: Libraries, stock: dict[str, str]) -> None:
    """Whatever sort it is in, and whatever size it has."""
    after = {"limit": 1, "marker": stock["fedora"], "sort": "name:asc"}

    assert names(sdk(PRODUCER), **after) == ["rocky", "ubuntu"]


def test_update_image_changes_what_it_says(sdk: Libraries) -> None:
    """By the image's id; all that isn't named stays as it was."""
    producer = sdk(PRODUCER)
    created = producer.do("image.create_image", "before", tags=["t"], a="b")

    changes = {
        "name": "after",
        "min_disk": 1,
        "min_ram": 2,
        "container_format": "ovf",
        "disk_format": "vmdk",
        "is_protected": True,
        "is_hidden": True,
        "visibility": "community",
        "tags": ["u", "v"],
        "os_version": "43",
    }
    updated = producer.do("image.update_image", created["id"], **changes, c="d")

    properties = {**created["properties"], "c": "d"}
    assert updated == {
        **created,
        **changes,
        "properties": properties,
        "updated_at": ANY,
    }
    assert producer.do("image.get_image", created["id"]) == updated


def test_an_image_that_was_found_can_be_updated(sdk: Libraries) -> None:
    """What a list or a look-up gave goes back to the library as it came."""
    producer = sdk(PRODUCER)
    producer.do("image.create_image", "before", a="b")

    (listed,) = producer.do("image.images")
    renamed = producer.do("image.update_image", listed, name="after")
    image = producer.do("image.find_image", "after")
    changed = producer.do("image.update_image_properties", image, a="c", d="e")
    same = producer.do("image.get_image", image["id"])

    assert renamed == {**listed, "name": "after", "updated_at": ANY}
    assert changed is True
    properties = {**listed["properties"], "a": "c", "d": "e"}
    assert same == {**renamed, "properties": properties, "updated_at": ANY}


def test_only_an_administrator_publishes_and_gives_away(sdk: Libraries) -> None:
    """To make an image public, and to change its owner, is refused to its owner."""
    producer, admin = sdk(PRODUCER), sdk(ADMIN)
    image_id = producer.do("image.create_image", "ubuntu")["id"]
    update = ("image.update_image", image_id)

    assert producer.refused(*update, visibility="public") == "ForbiddenException"
    assert producer.refused(*update, owner="consumer") == "ForbiddenException"
    assert admin.do(*update, visibility="public")["visibility"] == "public"
    assert admin.do(*update, owner="consumer")["owner"] == "consumer"


def test_the_page_of_an_error_is_read(sdk: Libraries) -> None:
    """A change is sent with an empty `Accept`, which is answered in HTML."""
    producer = sdk(PRODUCER)
    image_id = producer.do("image.create_image", "ubuntu")["id"]

    message = producer.complaint("image.update_image", image_id, visibility="public")

    assert message.startswith("ForbiddenException: 403: Client Error for url: ")
    assert message.endswith("403 Forbidden: The owner of an image may not publish it.")
    assert "<" not in message


def test_tags_are_put_on_and_taken_off(sdk: Libraries) -> None:
    """To take off one that isn't there is an error."""
    producer = sdk(PRODUCER)
    image_id = producer.do("image.create_image", "ubuntu", tags=["lts"])["id"]

    producer.do("image.add_tag", image_id, "cloud")
    producer.do("image.remove_tag", image_id, "lts")
    again = producer.refused("image.remove_tag", image_id, "lts")

    assert again == "NotFoundException"
    assert producer.do("image.get_image", image_id)["tags"] == ["cloud"]


def test_an_image_without_data_is_not_deactivated(sdk: Libraries) -> None:
    """It stays `queued`; the library doesn't look at the refusal."""
    producer = sdk(PRODUCER)
    image_id = producer.do("image.create_image", "ubuntu")["id"]

    for action in ("deactivate", "reactivate"):
        producer.do(f"image.{action}_image", image_id)
        assert producer.do("image.get_image", image_id)["status"] == "queued"


def test_a_protected_image_is_not_deleted(sdk: Libraries) -> None:
    """It can be once it isn't protected any more; then it is gone."""
    producer = sdk(PRODUCER)
    image_id = producer.do("image.create_image", "ubuntu")["id"]
    delete = ("image.delete_image", image_id)
    producer.do("image.update_image", image_id, is_protected=True)

    assert producer.refused(*delete) == "ForbiddenException"
    producer.do("image.update_image", image_id, is_protected=False)
    producer.do(*delete)
    assert producer.refused(*delete, ignore_missing=False) == "NotFoundException"
    assert names(producer) == []


def test_the_cloud_layer_finds_and_deletes(
    sdk: Libraries, stock: dict[str, str]
) -> None:
    """
    The connection's own calls: lists, searches, look-ups, and a deletion waited for.
    """
    producer = sdk(PRODUCER)

    def names_of(call: str, *words: Any, **options: Any) -> list[str]:
        return [image["name"] for image in producer.do(call, *words, **options)]

    every = ["fedora", "rocky", "debian", "ubuntu"]
    assert names_of("list_images") == every
    assert names_of("list_images", show_all=True) == ["gift", *every]
    assert names_of("search_images", "debian") == ["debian"]
    assert producer.do("get_image", "debian")["id"] == stock["debian"]
    assert producer.do("get_image_by_id", stock["debian"])["name"] == "debian"
    assert producer.do("get_image_id", "debian") == stock["debian"]
    assert producer.do("get_image_name", stock["debian"]) == "debian"
    assert producer.do("delete_image", "debian", wait=True) is True
    assert producer.do("delete_image", "debian", wait=True) is False


def test_the_service_describes_itself(sdk: Libraries) -> None:
    """Ways of import, stores, and the schemas of images and members."""
    producer = sdk(PRODUCER)

    info = producer.do("image.get_import_info")
    assert info["import_methods"]["value"] == ["glance-direct", "web-download"]
    assert producer.do("image.stores") == [{"id": "file1", "is_default": True}]
    for name in ("image", "images", "member", "members"):
        assert producer.do(f"image.get_{name}_schema")["name"] == name
