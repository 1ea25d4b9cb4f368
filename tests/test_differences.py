"""Where the service answers otherwise than the reference, on purpose.

`docs/differences.md` names the test of each; those that are not here stand with what
they are about.
"""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.actors import Actor, Send
from tests.aws_faults import stored
from tests.readme import table
from tests.scene import error

DIFFERENCES = "docs/differences.md"
NO_ID = "00000000-0000-4000-8000-000000000000"


def test_a_marker_that_is_hidden_is_told_as_one_that_never_was(
    producer: Actor, consumer: Actor
) -> None:
    """403, as the reference has it, would tell that the image exists."""
    image_id = producer.make_image()

    hidden = consumer.get(f"/v2/images?marker={image_id}")
    absent = consumer.get(f"/v2/images?marker={NO_ID}")

    words = "marker must be the ID of an image, not '{}'."
    wanted = [error(400, "Bad Request", words.format(one)) for one in (image_id, NO_ID)]
    assert wanted == [(one.status, one.document) for one in (hidden, absent)]


def test_a_path_that_begins_with_two_slashes_is_not_there(producer: Actor) -> None:
    """The reference takes it for one that begins with one."""
    assert producer.get("/v2/images").status == 200
    assert producer.get("//v2/images").status == 404


def test_links_keep_a_repeated_tag(producer: Actor) -> None:
    """The reference keeps the last one, so that its next page shows other images."""
    for number in range(3):
        producer.make_image(name=str(number), tags=["lts", "ü & co"])
    producer.make_image(name="other", tags=["ü & co"])
    parameters = [("tag", "lts"), ("tag", "ü & co"), ("limit", "2")]

    page = producer.get("/v2/images?tag=lts&tag=%C3%BC+%26%20co&limit=2").document
    rest = producer.get(page["next"]).document

    kept = [parse_qsl(urlsplit(page[link]).query) for link in ("first", "next")]
    assert kept == [parameters, [*parameters, ("marker", page["images"][-1]["id"])]]
    assert [image["name"] for image in rest["images"]] == ["0"]


@pytest.mark.parametrize(
    "call", [row["call"].strip("`") for row in table("Not served", DIFFERENCES)]
)
def test_what_is_not_served_is_not_there(producer: Actor, call: str) -> None:
    """For the owner of an image, too."""
    method, path = call.split()
    path = path.format(image_id=producer.make_image(), store="file1")

    missing = error(404, "Not Found", "The resource could not be found.")
    response = producer.ask(method, path)
    assert missing == (response.status, response.document)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_address_in_a_catalog_answers_the_versions(path: str, send: Send) -> None:
    """Without a token, as `/` does."""
    response = send("GET", path, {}, b"")

    assert response.status == 200
    assert response.document == send("GET", "/versions", {}, b"").document


@pytest.mark.parametrize("body", [b"[]", b'[{"name": "ubuntu"}]'])
def test_what_breaks_the_reference_is_refused(body: bytes, producer: Actor) -> None:
    """400 where it answers 500, or takes what nobody could use."""
    image_id = producer.make_image()
    before = stored()
    responses = [
        producer.post("/v2/images", body),
        producer.post(f"/v2/images/{image_id}/members", {"member": ["consumer"]}),
        producer.post(f"/v2/images/{image_id}/members", {"member": {"id": "x"}}),
    ]

    assert [response.status for response in responses] == [400] * 3
    assert before == stored()


def test_a_name_with_a_colon_is_found(producer: Actor) -> None:
    """The reference takes what is before the colon for an operator, and refuses it."""
    image_id = producer.make_image(name="ubuntu:24.04")
    producer.make_image(name="ubuntu")

    assert producer.listed("?name=ubuntu:24.04") == [image_id]
    assert producer.listed("?name=eq:ubuntu:24.04") == [image_id]


def test_a_patch_is_judged_by_what_it_makes_of_an_image(
    producer: Actor, admin: Actor
) -> None:
    """Setting a value that is already set needs no right of its own."""
    image_id = admin.make_image(owner="producer", visibility="public")
    path = f"/v2/images/{image_id}"

    def set_to(*values: tuple[str, str]) -> int:
        return producer.patch(
            path,
            [
                {"op": "replace", "path": f"/{name}", "value": value}
                for name, value in values
            ],
        ).status

    assert set_to(("owner", "producer"), ("visibility", "public")) == 200
    assert set_to(("owner", "heir"), ("owner", "producer")) == 200
    assert set_to(("visibility", "public"), ("visibility", "shared")) == 200
    assert set_to(("visibility", "public")) == 403


@pytest.mark.parametrize("owner", ["", "a/b", "m" * 256, "two\nlines"])
def test_an_owner_is_a_project_id(owner: str, producer: Actor, admin: Actor) -> None:
    """Another could not be anybody's, and nobody would ever see the image."""
    image_id = producer.make_image()
    before = stored()

    created = admin.post("/v2/images", {"owner": owner})
    given = admin.patch(
        f"/v2/images/{image_id}", [{"op": "replace", "path": "/owner", "value": owner}]
    )

    assert (created.status, given.status) == (400, 400)
    assert "owner" in created.document["message"]
    assert "owner" in given.document["message"]
    assert before == stored()


def test_one_uuid_is_one_image_however_it_is_spelt(
    producer: Actor, stranger: Actor
) -> None:
    """Else two images would differ in nothing that a person sees."""
    image_id = "6B1F2C3D-0000-4000-8000-ABCDEFABCDEF"
    created = producer.post("/v2/images", {"id": image_id, "name": "one"})
    again = producer.post("/v2/images", {"id": image_id.lower()})

    shown_id = created.document["id"]
    assert (created.status, shown_id) == (201, image_id.lower())
    assert again.status == 409
    for spelt in (image_id, shown_id):
        assert producer.get(f"/v2/images/{spelt}").document["id"] == shown_id
        assert producer.listed(f"?id={spelt}") == [shown_id]
        assert producer.listed(f"?id=in:{spelt}") == [shown_id]
        assert producer.get(f"/v2/images?marker={spelt}").status == 200
    hidden, absent = (
        stranger.get(f"/v2/images/{one}") for one in (image_id, NO_ID.upper())
    )
    assert hidden.status == absent.status == 404
    assert hidden.body.replace(shown_id.encode(), NO_ID.encode()) == absent.body


def test_a_create_that_is_sent_again_makes_one_image_if_it_names_the_id(
    producer: Actor,
) -> None:
    """A client may have sent it again because the response got lost."""
    for _ in range(2):
        producer.post("/v2/images", {"name": "without an id"})
    statuses = [
        producer.post("/v2/images", {"id": NO_ID, "name": "with an id"}).status
        for _ in range(2)
    ]

    assert statuses == [201, 409]
    assert len(producer.listed("?name=without%20an%20id")) == 2
    assert producer.listed("?name=with%20an%20id") == [NO_ID]
