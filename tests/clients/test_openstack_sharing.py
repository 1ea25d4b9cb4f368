"""The `openstack` command: an image is shared, answered to, and taken back."""

from pathlib import Path
from unittest.mock import ANY

import pytest

from infra.local.examples import CONSUMER, PRODUCER
from tests.clients.conftest import Terminals
from tests.clients.terminal import Terminal
from tests.local.service import Run

LIST = "image list -f json"
PENDING = "image list --shared --member-status pending -f json"

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("openstack-sharing")]


def test_a_consumer_answers_to_a_share(openstack: Terminals) -> None:
    """
    The answer decides what stands in its list; the producer sees it, and ends it all.
    """
    producer, consumer = openstack(PRODUCER), openstack(CONSUMER)
    image_id = producer.json("image create --disk-format qcow2 ubuntu")["id"]
    ubuntu = [{"ID": image_id, "Name": "ubuntu", "Status": "queued"}]

    def set_status(word: str) -> str:
        return f"image set --{word} --project consumer {image_id}"

    def members() -> list[str]:
        listed = producer.json(f"image member list {image_id}")
        return [f"{member['Member ID']}: {member['Status']}" for member in listed]

    shared = producer.json(f"image add project {image_id} consumer")
    assert shared == {
        "image_id": image_id,
        "member_id": "consumer",
        "status": "pending",
        "created_at": ANY,
        "updated_at": shared["created_at"],
        "schema": "/v2/schemas/member",
    }
    assert consumer.prompt(PENDING, LIST) == [ubuntu, []]

    assert consumer.do(set_status("accept")) == ""
    assert consumer.json("image list") == ubuntu
    assert members() == ["consumer: accepted"]

    show = f"image show {image_id} -f json"
    listed, shown = consumer.prompt(set_status("reject"), LIST, show)
    assert (listed, shown["name"]) == ([], "ubuntu")
    assert members() == ["consumer: rejected"]

    assert consumer.prompt(set_status("pending"), PENDING, LIST) == [ubuntu, []]
    assert members() == ["consumer: pending"]

    assert consumer.prompt(set_status("accept"), LIST) == [ubuntu]
    member = producer.json(f"image member get {image_id} consumer")
    assert member == {**shared, "status": "accepted", "updated_at": ANY}
    assert producer.refused(set_status("reject")).startswith("ForbiddenException: 403")

    assert producer.do(f"image remove project {image_id} consumer") == ""
    assert (
        consumer.refused(f"image show {image_id}") == f"No Image found for {image_id}"
    )
    assert members() == []


def test_a_share_is_refused_where_it_cannot_be(openstack: Terminals) -> None:
    """A second time, by the consumer, and where the image is private."""
    producer, consumer = openstack(PRODUCER), openstack(CONSUMER)
    image_id = producer.json("image create ubuntu")["id"]
    share, unshare = f"image add project {image_id}", f"image remove project {image_id}"

    producer.do(f"{share} consumer")
    again = producer.refused(f"{share} consumer")
    onward = consumer.refused(f"{share} other")
    producer.do(f"image set --private {image_id}")
    private = producer.refused(f"{share} other")
    kept = producer.refused(f"{unshare} consumer")
    members = producer.refused(f"image member list {image_id}")

    assert again.startswith("ConflictException: 409")
    assert onward.startswith("ForbiddenException: 403")
    assert private.startswith("ForbiddenException: 403")
    assert kept.startswith("ForbiddenException: 403")
    assert members.endswith("Only shared images have members.")


def test_to_unshare_twice_is_no_error(openstack: Terminals) -> None:
    """`remove project` says nothing where there is no such member."""
    producer = openstack(PRODUCER)
    producer.do("image create ubuntu")

    assert producer.do("image remove project ubuntu consumer") == ""


def test_a_refusal_tells_why(openstack: Terminals) -> None:
    """What the service says of a change that it refuses reaches the user."""
    producer = openstack(PRODUCER)
    producer.do("image create --protected ubuntu")

    published = producer.refused("image set --public ubuntu")
    deleted = producer.refused("image delete ubuntu")

    assert "The owner of an image may not publish it." in published
    assert "is protected and cannot be deleted." in deleted


def test_a_token_is_given_in_each_way(
    openstack: Terminals, service: Run, tmp_path: Path
) -> None:
    """
    By options, by variables, and by clouds.yaml, with or without the service's version.
    """
    image_id = service.actor("producer").make_image(name="ubuntu")
    listed = [{"ID": image_id, "Name": "ubuntu", "Status": "queued"}]
    program, url = openstack(PRODUCER).program, service.url
    (tmp_path / "clouds.yaml").write_text(
        f"""
        clouds:
          versioned:
            auth_type: admin_token
            auth: {{endpoint: {url}/v2, token: {PRODUCER}}}
          discovered:
            auth_type: admin_token
            auth: {{endpoint: {url}, token: {PRODUCER}}}
            image_endpoint_override: {url}
        """,
        encoding="utf-8",
    )

    token = {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": PRODUCER}
    ways: dict[str, dict[str, str]] = {
        f"--os-auth-type admin_token --os-token {PRODUCER} --os-endpoint {url}/v2": {},
        "": {**token, "OS_ENDPOINT": f"{url}/v2/"},
        f"--os-endpoint {url}": {**token, "OS_IMAGE_ENDPOINT_OVERRIDE": url},
        "--os-cloud versioned": {},
        "--os-cloud discovered": {},
    }
    for options, settings in ways.items():
        terminal = Terminal(program, tmp_path, settings)
        assert terminal.json(f"{options} image list") == listed


def test_a_reader_sees_and_changes_nothing(openstack: Terminals) -> None:
    """
    A token with the role `reader` lists and shows what its project may see, no more.
    """
    producer, reader = openstack(PRODUCER), openstack("eve:consumer:reader")
    image_id = producer.json("image create ubuntu")["id"]
    producer.do(f"image add project {image_id} consumer")

    pending, shown, members = reader.prompt(
        PENDING,
        f"image show {image_id} -f json",
        f"image member list {image_id} -f json",
    )
    refusal = reader.refused(f"image set --accept --project consumer {image_id}")

    assert [image["ID"] for image in pending] == [shown["id"]] == [image_id]
    assert members == [
        {"Image ID": image_id, "Member ID": "consumer", "Status": "pending"}
    ]
    assert refusal.startswith("ForbiddenException: 403")


def test_a_wrong_token_is_refused(openstack: Terminals) -> None:
    """A token that does not name a user, a project and a role gets nothing."""
    complaint = openstack("nobody").refused("image list")

    assert "401" in complaint
