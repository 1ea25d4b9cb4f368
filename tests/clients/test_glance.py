"""The `glance` command: each sub-command that moves no data."""

from pathlib import Path
from unittest.mock import ANY
from uuid import uuid4

import pytest

from infra.local.examples import ADMIN, CONSUMER, PRODUCER
from tests.clients.conftest import Terminals
from tests.clients.terminal import Terminal
from tests.local.service import Run

PENDING = "image-list --visibility shared --member-status pending"

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("glance")]


@pytest.fixture
def image_id() -> str:
    """The id of the image that a test creates: one that no image had before."""
    return str(uuid4())


def names(terminal: Terminal, line: str) -> list[str]:
    """Return the names that a list shows."""
    return [row["Name"] for row in terminal.rows(line)]


def test_a_consumer_answers_to_a_share(glance: Terminals, image_id: str) -> None:
    """
    The answer decides what stands in its list; the producer sees it, and ends it all.
    """
    producer, consumer = glance(PRODUCER), glance(CONSUMER)
    producer.do(f"image-create --name ubuntu --id {image_id}")

    def member(status: str) -> list[dict[str, str]]:
        return [{"Image ID": image_id, "Member ID": "consumer", "Status": status}]

    def set_status(status: str) -> None:
        line = f"member-update {image_id} consumer {status}"
        assert consumer.rows(line) == member(status)
        assert producer.rows(f"member-list --image-id {image_id}") == member(status)

    assert producer.rows(f"member-create {image_id} consumer") == member("pending")
    assert consumer.rows(PENDING) == [{"ID": image_id, "Name": "ubuntu"}]
    assert consumer.rows("image-list") == []

    set_status("accepted")
    assert names(consumer, "image-list --member-status accepted") == ["ubuntu"]

    set_status("rejected")
    assert consumer.rows("image-list") == []
    assert consumer.fields(f"image-show {image_id}")["name"] == "ubuntu"

    set_status("pending")
    assert names(consumer, PENDING) == ["ubuntu"]

    set_status("accepted")
    assert producer.fields(f"member-get {image_id} consumer") == {
        "image_id": image_id,
        "member_id": "consumer",
        "status": "accepted",
        "created_at": ANY,
        "updated_at": ANY,
        "schema": "/v2/schemas/member",
    }
    refusal = producer.refused(f"member-update {image_id} consumer rejected")
    assert "The owner of an image may not update a member." in refusal

    assert producer.do(f"member-delete {image_id} consumer") == ""
    gone = consumer.refused(f"image-show {image_id}")
    assert f"No image found with ID {image_id}" in gone
    assert producer.rows(f"member-list --image-id {image_id}") == []


def test_a_share_is_refused_where_it_cannot_be(
    glance: Terminals, image_id: str
) -> None:
    """
    A second time, by the consumer, and where the image is private; each tells why.
    """
    producer, consumer = glance(PRODUCER), glance(CONSUMER)
    producer.do(f"image-create --name ubuntu --id {image_id}")
    producer.do(f"member-create {image_id} consumer")

    again = producer.refused(f"member-create {image_id} consumer")
    onward = consumer.refused(f"member-create {image_id} other")
    producer.do(f"image-update {image_id} --visibility private")
    private = producer.refused(f"member-list --image-id {image_id}")

    assert "HTTP 409 Conflict" in again
    assert f"Member consumer is duplicated for image {image_id}" in again
    assert "A member of an image may not create a member." in onward
    assert "Only shared images have members." in private


def test_create_and_show_tell_the_whole_image(glance: Terminals, image_id: str) -> None:
    """What `image-create` prints is what `image-show` prints."""
    producer = glance(PRODUCER)

    created = producer.fields(
        f"image-create --id {image_id} --name ubuntu --disk-format qcow2"
        " --container-format bare --min-disk 3 --min-ram 512 --tags lts cloud"
        " --protected True --hidden True --visibility private"
        " --property os_distro=ubuntu --property a=b"
    )
    shown = producer.fields(f"image-show {image_id}")

    assert created == {
        "id": image_id,
        "name": "ubuntu",
        "owner": "producer",
        "status": "queued",
        "visibility": "private",
        "protected": "True",
        "os_hidden": "True",
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": "3",
        "min_ram": "512",
        "tags": '["lts", "cloud"]',
        "a": "b",
        "os_distro": "ubuntu",
        "checksum": "None",
        "os_hash_algo": "None",
        "os_hash_value": "None",
        "size": "None",
        "virtual_size": "Not available",
        "created_at": ANY,
        "updated_at": created["created_at"],
    }
    assert shown == created


def test_list_finds_what_was_asked_for(
    glance: Terminals, stock: dict[str, str]
) -> None:
    """Each filter of `image-list` counts, and each way to sort."""
    expected = {
        "": "debian fedora rocky ubuntu",
        "--visibility public": "fedora",
        "--visibility private": "debian",
        "--visibility community": "mint rocky",
        "--visibility all": "debian fedora mint rocky ubuntu",
        "--owner operators": "fedora",
        "--property-filter os_distro=ubuntu": "ubuntu",
        "--tag lts --tag cloud": "ubuntu",
        "--checksum 0 --hash 0": "",
        "--hidden True": "arch",
        "--sort-key disk_format --sort-key name --sort-dir asc": (
            "rocky fedora ubuntu debian"
        ),
        "--sort disk_format:desc,name": "debian ubuntu fedora rocky",
        "--page-size 1 --limit 3": "debian fedora rocky",
    }

    producer = glance(PRODUCER)
    lists = {options: producer.rows(f"image-list {options}") for options in expected}

    assert lists == {
        options: [{"ID": stock[name], "Name": name} for name in listed.split()]
        for options, listed in expected.items()
    }


def test_update_changes_what_it_says(glance: Terminals, image_id: str) -> None:
    """`image-update` changes fields, and adds and removes properties."""
    producer = glance(PRODUCER)
    created = producer.fields(
        f"image-create --id {image_id} --name before --property a=b --property c=d"
    )

    updated = producer.fields(
        f"image-update {image_id} --name after --min-disk 1 --min-ram 2"
        " --container-format ovf --disk-format vmdk --protected True --hidden True"
        " --visibility community --property a=changed --property e=f"
        " --remove-property c"
    )
    shown = producer.fields(f"image-show {image_id}")

    del created["c"]
    assert updated == {
        **created,
        "name": "after",
        "min_disk": "1",
        "min_ram": "2",
        "container_format": "ovf",
        "disk_format": "vmdk",
        "protected": "True",
        "os_hidden": "True",
        "visibility": "community",
        "a": "changed",
        "e": "f",
        "updated_at": ANY,
    }
    assert shown == updated


def test_only_an_administrator_publishes_and_gives_away(
    glance: Terminals, image_id: str
) -> None:
    """`image-update --visibility public` and `--owner` are refused to the owner."""
    producer, admin = glance(PRODUCER), glance(ADMIN)
    producer.do(f"image-create --name ubuntu --id {image_id}")
    publish = f"image-update {image_id} --visibility public"
    give = f"image-update {image_id} --owner consumer"

    refusals = [producer.refused(publish), producer.refused(give)]
    public = admin.fields(publish)
    given = admin.fields(give)

    assert "The owner of an image may not publish it." in refusals[0]
    assert "The owner of an image may not transfer it." in refusals[1]
    assert (public["visibility"], public["owner"]) == ("public", "producer")
    assert given == {**public, "owner": "consumer", "updated_at": ANY}


def test_tags_are_put_on_and_taken_off(glance: Terminals, image_id: str) -> None:
    """
    `image-tag-update` and `image-tag-delete`; to take off one that isn't there fails.
    """
    producer = glance(PRODUCER)
    producer.do(f"image-create --name ubuntu --id {image_id} --tags lts")

    tagged = producer.rows(f"image-tag-update {image_id} cloud")
    removed = producer.do(f"image-tag-delete {image_id} lts")
    refusal = producer.refused(f"image-tag-delete {image_id} lts")
    left = producer.fields(f"image-show {image_id}")["tags"]

    assert tagged == [{"ID": image_id, "Tags": "['lts', 'cloud']"}]
    assert removed == ""
    assert f"The image {image_id} has no tag 'lts'." in refusal
    assert left == '["cloud"]'


def test_an_image_without_data_is_not_deactivated(
    glance: Terminals, image_id: str
) -> None:
    """It is neither active nor deactivated, and so stays as it is."""
    producer = glance(PRODUCER)
    producer.do(f"image-create --name ubuntu --id {image_id}")

    for action in ("deactivate", "reactivate"):
        refusal = producer.refused(f"image-{action} {image_id}")
        assert "HTTP 403 Forbidden" in refusal
        assert "The image is queued" in refusal
    assert producer.fields(f"image-show {image_id}")["status"] == "queued"


def test_a_protected_image_is_not_deleted(glance: Terminals, image_id: str) -> None:
    """
    `image-delete` fails for it, and works once it is not protected; then it is gone.
    """
    producer = glance(PRODUCER)
    producer.do(f"image-create --name ubuntu --id {image_id} --protected True")
    delete = f"image-delete {image_id}"

    refusal = producer.refused(delete)
    producer.do(f"image-update {image_id} --protected False")
    deleted = producer.do(delete)
    again = producer.refused(delete)

    assert refusal == f"You are not permitted to delete the image '{image_id}'."
    assert deleted == ""
    assert again == f"No image with an ID of '{image_id}' exists."
    assert producer.rows("image-list") == []


def test_the_service_describes_itself(glance: Terminals) -> None:
    """`import-info`, `stores-info`, `usage` and `explain` tell what there is."""
    producer = glance(PRODUCER)

    assert "web-download" in producer.do("import-info")
    assert producer.fields("stores-info") == {
        "stores": '[{"id": "file1", "default": "true"}]'
    }
    assert producer.rows("usage") == []
    members = [row["Attribute"] for row in producer.rows("explain member")]
    assert sorted(members) == [
        "created_at",
        "image_id",
        "member_id",
        "schema",
        "status",
        "updated_at",
    ]


def test_schemas_are_read_once(glance: Terminals, service: Run, tmp_path: Path) -> None:
    """
    A first command keeps the schemas it reads, unless it is told the API's version.
    """
    service.actor("producer").make_image(name="ubuntu")
    user = glance(PRODUCER)
    newcomer = Terminal(user.program, tmp_path, user.settings)
    kept = tmp_path / ".glanceclient" / "image_schema.json"

    assert names(newcomer, "--os-image-api-version 2 image-list") == ["ubuntu"]
    assert not kept.exists()
    assert names(newcomer, "image-list") == ["ubuntu"]
    assert kept.exists()


@pytest.mark.parametrize("path", ["", "/", "/v2"])
def test_a_token_is_given_by_options(
    glance: Terminals, service: Run, home: Path, path: str
) -> None:
    """With the service's address, which may end in its version."""
    service.actor("producer").make_image(name="ubuntu")
    user = Terminal(glance(PRODUCER).program, home, {})
    place = f"--os-auth-token {PRODUCER} --os-image-url {service.url}{path}"

    assert names(user, f"{place} image-list") == ["ubuntu"]
