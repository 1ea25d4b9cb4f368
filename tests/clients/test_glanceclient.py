"""The library python-glanceclient, on images: each call that moves no data."""

from typing import Any
from unittest.mock import ANY

import pytest

from infra.local.examples import ADMIN, CONSUMER, PRODUCER
from tests.clients.conftest import Libraries
from tests.clients.library import Library

PENDING = {"visibility": "shared", "member_status": "pending"}

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("libraries")]


def names(library: Library, **filters: Any) -> list[str]:
    """Return the names that a list shows, in order."""
    return [image["name"] for image in library.do("images.list", filters=filters)]


def test_a_consumer_answers_to_a_share(glanceclient: Libraries) -> None:
    """
    The answer decides what stands in its list; the producer sees it, and ends it all.
    """
    producer, consumer = glanceclient(PRODUCER), glanceclient(CONSUMER)
    image_id = producer.do("images.create", name="ubuntu")["id"]

    def set_status(status: str) -> None:
        member = consumer.do("image_members.update", image_id, "consumer", status)
        assert member["status"] == status
        assert producer.do("image_members.list", image_id) == [member]

    shared = producer.do("image_members.create", image_id, "consumer")
    assert shared == {
        "image_id": image_id,
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
    assert consumer.do("images.get", image_id)["name"] == "ubuntu"

    set_status("pending")
    assert names(consumer, **PENDING) == ["ubuntu"]

    set_status("accepted")
    member = producer.do("image_members.get", image_id, "consumer")
    assert member == {**shared, "status": "accepted", "updated_at": ANY}
    update = ("image_members.update", image_id, "consumer")
    assert producer.refused(*update, "rejected") == "HTTPForbidden"

    producer.do("image_members.delete", image_id, "consumer")
    assert consumer.refused("images.get", image_id) == "HTTPNotFound"
    assert producer.do("image_members.list", image_id) == []


def test_create_and_get_give_the_whole_image(glanceclient: Libraries) -> None:
    """What `create` gives is what `get` gives."""
    producer = glanceclient(PRODUCER)
    fields = {
        "name": "ubuntu",
        "visibility": "private",
        "protected": True,
        "os_hidden": True,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 3,
        "min_ram": 512,
        "tags": ["lts", "cloud"],
        "a": "b",
    }

    created = producer.do("images.create", **fields)

    assert created == {
        **fields,
        "id": ANY,
        "owner": "producer",
        "status": "queued",
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "size": None,
        "virtual_size": None,
        "created_at": ANY,
        "updated_at": created["created_at"],
        "file": f"/v2/images/{created['id']}/file",
        "schema": "/v2/schemas/image",
    }
    assert producer.do("images.get", created["id"]) == created


@pytest.mark.usefixtures("stock")
def test_list_finds_what_was_asked_for(glanceclient: Libraries) -> None:
    """Each filter of `list` counts."""
    expected: list[tuple[dict[str, Any], str]] = [
        ({}, "fedora rocky debian ubuntu"),
        ({"visibility": "community"}, "mint rocky"),
        ({"visibility": "all"}, "mint fedora rocky debian ubuntu"),
        (PENDING, "gift ubuntu"),
        ({"owner": "operators"}, "fedora"),
        ({"tag": ["lts", "cloud"]}, "ubuntu"),
        ({"os_hidden": True}, "arch"),
        ({"os_distro": "ubuntu"}, "ubuntu"),
        ({"name": "in:debian,ubuntu"}, "debian ubuntu"),
        ({"status": "active"}, ""),
    ]

    producer = glanceclient(PRODUCER)
    listed = [(query, " ".join(names(producer, **query))) for query, _ in expected]

    assert listed == expected


@pytest.mark.usefixtures("stock")
def test_list_sorts_and_pages(glanceclient: Libraries) -> None:
    """Each way to sort counts; pages of any size follow one another."""
    expected: list[tuple[dict[str, Any], str]] = [
        ({"sort": "disk_format:asc,name:desc"}, "rocky ubuntu fedora debian"),
        ({"sort_key": "name", "sort_dir": "asc"}, "debian fedora rocky ubuntu"),
        (
            {"sort_key": ["disk_format", "name"], "sort_dir": ["desc", "asc"]},
            "debian fedora ubuntu rocky",
        ),
        ({"page_size": 1}, "fedora rocky debian ubuntu"),
        ({"page_size": 2, "limit": 3}, "fedora rocky debian"),
        ({"limit": 1}, "fedora"),
    ]

    producer = glanceclient(PRODUCER)
    listed = []
    for options, _ in expected:
        images = producer.do("images.list", **options)
        listed.append((options, " ".join(image["name"] for image in images)))

    assert listed == expected


def test_update_changes_what_it_says(glanceclient: Libraries) -> None:
    """It changes fields, and adds and removes properties; all else stays as it was."""
    producer = glanceclient(PRODUCER)
    created = producer.do("images.create", name="before", tags=["t"], a="b", c="d")
    changes = {
        "name": "after",
        "min_disk": 1,
        "min_ram": 2,
        "container_format": "ovf",
        "disk_format": "vmdk",
        "protected": True,
        "os_hidden": True,
        "visibility": "community",
        "tags": ["u", "v"],
        "a": "changed",
        "e": "f",
    }

    update = ("images.update", created["id"])
    updated = producer.do(*update, remove_props=["c", "not-there"], **changes)

    del created["c"]
    assert updated == {**created, **changes, "updated_at": ANY}
    assert producer.do("images.get", created["id"]) == updated


def test_what_is_refused_is_an_error(glanceclient: Libraries) -> None:
    """Each refusal of the service is an error of its own kind."""
    producer, consumer = glanceclient(PRODUCER), glanceclient(CONSUMER)
    image_id = producer.do("images.create", name="ubuntu", protected=True)["id"]
    producer.do("image_members.create", image_id, "consumer")

    assert producer.refused("images.delete", image_id) == "HTTPForbidden"
    assert producer.refused("images.deactivate", image_id) == "HTTPForbidden"
    assert producer.refused("images.reactivate", image_id) == "HTTPForbidden"
    publish = ("images.update", image_id)
    assert producer.refused(*publish, visibility="public") == "HTTPForbidden"
    assert producer.refused("image_tags.delete", image_id, "x") == "HTTPNotFound"
    share = ("image_members.create", image_id)
    assert producer.refused(*share, "consumer") == "HTTPConflict"
    assert consumer.refused(*share, "other") == "HTTPForbidden"
    assert consumer.refused("images.delete", image_id) == "HTTPForbidden"
    assert producer.refused("images.get", "no-such-image") == "HTTPNotFound"


def test_an_administrator_publishes_and_gives_away(glanceclient: Libraries) -> None:
    """It makes an image public, and changes its owner."""
    image_id = glanceclient(PRODUCER).do("images.create", name="ubuntu")["id"]
    admin = glanceclient(ADMIN)

    public = admin.do("images.update", image_id, visibility="public")
    given = admin.do("images.update", image_id, owner="consumer")

    assert (public["visibility"], public["owner"]) == ("public", "producer")
    assert given == {**public, "owner": "consumer", "updated_at": ANY}


def test_tags_and_deletion(glanceclient: Libraries) -> None:
    """Tags are put on and taken off; what is deleted is gone."""
    producer = glanceclient(PRODUCER)
    image_id = producer.do("images.create", name="ubuntu", tags=["lts"])["id"]

    producer.do("image_tags.update", image_id, "cloud")
    producer.do("image_tags.delete", image_id, "lts")
    tags = producer.do("images.get", image_id)["tags"]
    producer.do("images.delete", image_id)

    assert tags == ["cloud"]
    assert producer.refused("images.delete", image_id) == "HTTPNotFound"
    assert names(producer) == []


def test_the_service_describes_itself(glanceclient: Libraries) -> None:
    """Versions, ways of import, stores and usage."""
    producer = glanceclient(PRODUCER)

    current = [
        version["id"]
        for version in producer.do("versions.list")
        if version["status"] == "CURRENT"
    ]
    assert len(current) == 1
    methods = producer.do("images.get_import_info")["import-methods"]["value"]
    assert methods == ["glance-direct", "web-download"]
    stores = producer.do("images.get_stores_info")
    assert stores == {"stores": [{"id": "file1", "default": "true"}]}
    assert producer.do("info.get_usage") == {}
