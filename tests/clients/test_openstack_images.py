"""The `openstack` command, on images: each sub-command that moves no data."""

from unittest.mock import ANY

import pytest

from infra.local.examples import ADMIN, CONSUMER, PRODUCER
from tests.clients.conftest import Terminals

IMAGE_ID = "6b1f1f2e-6f5c-4a3e-9f57-6d0c2b8a7e11"
KERNEL_ID = "0d5c5d1a-51a0-4f8e-8f5e-0f7c1f3f9b22"
OWNED = ["debian", "fedora", "rocky", "ubuntu"]

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("openstack-images")]


def test_create_and_show_tell_the_whole_image(openstack: Terminals) -> None:
    """What `create` prints is what `show` prints, by the image's id and by its name."""
    producer = openstack(PRODUCER)

    created = producer.json(
        f"image create --id {IMAGE_ID} --disk-format qcow2 --min-disk 3 --min-ram 512"
        " --tag lts --tag cloud --property os_distro=ubuntu --property a=b"
        " --protected --private ubuntu"
    )
    shown, found = producer.prompt(
        f"image show {IMAGE_ID} -f json", "image show ubuntu -f json"
    )

    assert created == {
        "id": IMAGE_ID,
        "name": "ubuntu",
        "owner": "producer",
        "status": "queued",
        "visibility": "private",
        "protected": True,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": 3,
        "min_ram": 512,
        "tags": ["lts", "cloud"],
        "properties": {
            "a": "b",
            "os_distro": "ubuntu",
            "os_hidden": False,
            "owner_specified.openstack.md5": "",
            "owner_specified.openstack.object": "images/ubuntu",
            "owner_specified.openstack.sha256": "",
        },
        "created_at": ANY,
        "updated_at": created["created_at"],
        "file": f"/v2/images/{IMAGE_ID}/file",
        "schema": "/v2/schemas/image",
    }
    assert shown == found == created


def test_an_unknown_image_is_a_clear_line(openstack: Terminals) -> None:
    """
    Neither an id nor a name of an image: `show` says that there is none, and fails.
    """
    complaint = openstack(PRODUCER).refused("image show no-such-image")

    assert complaint == "No Image found for no-such-image"


def test_list_finds_what_was_asked_for(
    openstack: Terminals, stock: dict[str, str]
) -> None:
    """Each filter of `list` counts, and each way to sort."""
    expected = {
        "": OWNED,
        "--public": ["fedora"],
        "--private": ["debian"],
        "--community": ["mint", "rocky"],
        "--shared": ["ubuntu"],
        "--all": ["debian", "fedora", "mint", "rocky", "ubuntu"],
        "--shared --member-status pending": ["gift", "ubuntu"],
        "--shared --member-status rejected": ["ubuntu"],
        "--shared --member-status all": ["gift", "ubuntu"],
        "--hidden": ["arch"],
        "--name debian": ["debian"],
        "--status queued": OWNED,
        "--status active": [],
        "--tag lts": ["debian", "ubuntu"],
        "--tag lts --tag cloud": ["ubuntu"],
        "--property os_distro=ubuntu": ["ubuntu"],
        "--sort name:desc": OWNED[::-1],
        "--sort disk_format:asc,name:desc": ["rocky", "ubuntu", "fedora", "debian"],
        # The newest first; the command sorts a page by itself.
        "--limit 2": ["fedora", "rocky"],
        f"--limit 2 --marker {stock['fedora']}": ["debian", "rocky"],
        "--max-items 3": ["debian", "fedora", "rocky"],
    }

    lists = openstack(PRODUCER).prompt(
        *(f"image list {options} -f json" for options in expected)
    )

    assert dict(zip(expected, lists, strict=True)) == {
        options: [
            {"ID": stock[name], "Name": name, "Status": "queued"} for name in names
        ]
        for options, names in expected.items()
    }


def test_an_administrator_lists_a_projects_images(
    openstack: Terminals, stock: dict[str, str]
) -> None:
    """`list --project` finds what the project owns, but for what is community."""
    listed = openstack(ADMIN).json("image list --project producer --long")

    assert [(image["Name"], image["Project"]) for image in listed] == [
        ("debian", "producer"),
        ("ubuntu", "producer"),
    ]
    assert listed[0] == {
        "ID": stock["debian"],
        "Name": "debian",
        "Disk Format": "raw",
        "Container Format": None,
        "Size": None,
        "Checksum": None,
        "Status": "queued",
        "Visibility": "private",
        "Protected": False,
        "Project": "producer",
        "Hash Algorithm": None,
        "Hash Value": None,
        "Tags": ["lts"],
    }


def test_set_and_unset_change_what_they_say(openstack: Terminals) -> None:
    """
    `set` changes fields, adds properties and tags; `unset` takes some of them off.
    """
    producer = openstack(PRODUCER)
    created = producer.json("image create --property a=b --tag t before")
    image_id, properties = created["id"], created["properties"]

    full, less = producer.prompt(
        "image set --name after --min-disk 1 --min-ram 2 --container-format ovf"
        " --disk-format vmdk --protected --hidden --tag u --tag v --property a=changed"
        " --property c=d --architecture x86_64 --os-distro fedora --os-version 43"
        f" --kernel-id {KERNEL_ID} --ramdisk-id {KERNEL_ID} --instance-id {KERNEL_ID}"
        f" {image_id}",
        f"image show {image_id} -f json",
        "image unset --property c --property a --property kernel_id --tag t --tag u"
        f" {image_id}",
        f"image set --unprotected --unhidden {image_id}",
        f"image show {image_id} -f json",
    )

    full["tags"].sort()  # The command sends them in any order.
    assert full == {
        **created,
        "name": "after",
        "min_disk": 1,
        "min_ram": 2,
        "container_format": "ovf",
        "disk_format": "vmdk",
        "protected": True,
        "tags": ["t", "u", "v"],
        "properties": {
            **properties,
            "os_hidden": True,
            "a": "changed",
            "c": "d",
            "architecture": "x86_64",
            "os_distro": "fedora",
            "os_version": "43",
            "kernel_id": KERNEL_ID,
            "ramdisk_id": KERNEL_ID,
            "instance_id": KERNEL_ID,
        },
        "updated_at": ANY,
    }
    removed = ("a", "c", "kernel_id")
    kept = {k: v for k, v in full["properties"].items() if k not in removed}
    assert less == {
        **full,
        "protected": False,
        "tags": ["v"],
        "properties": {**kept, "os_hidden": False},
        "updated_at": ANY,
    }


def test_unset_tells_what_is_not_there(openstack: Terminals) -> None:
    """A tag and a property that the image doesn't have: each is named, and it fails."""
    producer = openstack(PRODUCER)
    producer.do("image create ubuntu")

    complaint = producer.refused("image unset --tag x --property y ubuntu")

    assert complaint.splitlines() == [
        "tag unset failed, 'x' is a nonexistent tag ",
        "property unset failed, 'y' is a nonexistent property ",
        "Failed to unset 1 of 1 tags,Failed to unset 1 of 1 properties.",
    ]


def test_visibility_decides_who_finds_an_image(openstack: Terminals) -> None:
    """
    `set` makes an image private, shared and community; public it is made by an admin.
    """
    producer, consumer = openstack(PRODUCER), openstack(CONSUMER)
    image_id = producer.json("image create ubuntu")["id"]
    nobody = f"No Image found for {image_id}"

    producer.do(f"image set --private {image_id}")
    assert consumer.refused(f"image show {image_id}") == nobody
    producer.do(f"image set --community {image_id}")
    show = f"image show {image_id} -f json"
    community, listed = consumer.prompt(show, "image list -f json")
    assert (community["visibility"], listed) == ("community", [])
    assert "ForbiddenException: 403" in producer.refused("image set --public ubuntu")
    openstack(ADMIN).do(f"image set --public {image_id}")
    public, listed = consumer.prompt(show, "image list --public -f json")
    assert public["visibility"] == "public"
    assert [image["ID"] for image in listed] == [image_id]
    producer.do(f"image set --shared {image_id}")
    assert consumer.refused(f"image show {image_id}") == nobody


def test_an_administrator_gives_an_image_away(openstack: Terminals) -> None:
    """
    `create --project` and `set --project` name the owner, for an administrator alone.
    """
    admin, producer = openstack(ADMIN), openstack(PRODUCER)

    created = admin.json("image create --project producer ubuntu")
    denied = producer.refused(f"image set --project consumer {created['id']}")
    admin.do(f"image set --project consumer {created['id']}")
    shown = openstack(CONSUMER).json(f"image show {created['id']}")

    assert created["owner"] == "producer"
    assert "ForbiddenException: 403" in denied
    assert shown == {**created, "owner": "consumer", "updated_at": ANY}


def test_an_image_without_data_is_not_deactivated(openstack: Terminals) -> None:
    """It stays `queued`: `set` is refused, although the command doesn't tell so."""
    producer = openstack(PRODUCER)
    image_id = producer.json("image create ubuntu")["id"]

    shown = producer.prompt(
        f"image set --deactivate {image_id}",
        f"image show {image_id} -f json",
        f"image set --activate {image_id}",
        f"image show {image_id} -f json",
    )

    assert [image["status"] for image in shown] == ["queued", "queued"]


def test_a_protected_image_is_not_deleted(openstack: Terminals) -> None:
    """`delete` fails for it, deletes the others, and works once it is not protected."""
    producer = openstack(PRODUCER)
    producer.do("image create --protected kept")
    producer.do("image create other")

    complaint = producer.refused("image delete kept other")
    left, gone = producer.prompt(
        "image list -f json",
        "image set --unprotected kept",
        "image delete kept",
        "image list -f json",
    )

    assert "Failed to delete image with name or ID 'kept': Forbidden" in complaint
    assert complaint.endswith("Failed to delete 1 of 2 images.")
    assert [image["Name"] for image in left] == ["kept"]
    assert gone == []


def test_the_service_describes_itself(openstack: Terminals) -> None:
    """`import info` and `stores list` tell what there is."""
    methods, stores = openstack(PRODUCER).prompt(
        "image import info -f json", "image stores list -f json"
    )

    assert methods == {"import-methods": ["glance-direct", "web-download"]}
    assert stores == [{"ID": "file1", "Description": None, "Default": True}]
