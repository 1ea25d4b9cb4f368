"""Images' data through the Images API: uploaded, staged, imported, downloaded."""

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infra.local.worker import Pump
from tests.actors import Actor
from tests.bucket_faults import stored_objects
from tests.configuring import configure
from tests.scene import CONTENT, error

FORMATS = {"disk_format": "raw", "container_format": "bare"}
WAYS = (
    "Import it from a URL (POST /v2/images/{image_id}/import, method web-download), or"
    " upload it in parts (tools/upload; POST /ext/v1/images/{image_id}/uploads)."
)


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that waits for its data."""
    return producer.make_image(**FORMATS)


def data_of(document: Any) -> Any:
    """Return what an image's document says of its data."""
    described = ("status", "size", "virtual_size", "checksum", "os_hash_algo")
    return [document[name] for name in (*described, "os_hash_value")]


def hashes(content: bytes) -> list[str]:
    """Return what an image's document says of some data's hashes."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return [md5, "sha512", hashlib.sha512(content).hexdigest()]


@pytest.mark.parametrize("size", [0, 1, 4_500_000])
def test_what_was_uploaded_is_downloaded(
    producer: Actor, image_id: str, size: int
) -> None:
    """Byte for byte, from nothing to the most that a request takes, with its hashes."""
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]

    uploaded = producer.upload(image_id, content)
    got = producer.download(image_id)

    assert (uploaded.status, uploaded.body) == (204, b"")
    assert (got.status, got.body) == (200, content)
    assert got.headers["content-type"] == "application/octet-stream"
    document = producer.get(f"/v2/images/{image_id}").document
    virtual = size or None
    assert data_of(document) == ["active", size, virtual, *hashes(content)]


def test_one_byte_more_than_fits_is_refused_with_the_other_ways(
    producer: Actor, image_id: str
) -> None:
    """And the image waits on."""
    response = producer.upload(image_id, bytes(4_500_001))

    message = (
        f"The data has more than the 4500000 bytes that one request may have. {WAYS}"
    )
    wanted = error(413, "Request Entity Too Large", message)
    assert (response.status, response.document) == wanted
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "queued"
    assert stored_objects(image_id) == []


def test_a_download_is_a_url_for_one_object_and_some_minutes(
    producer: Actor, image_id: str
) -> None:
    """
    It names the media type, as glanceclient takes no other, and holds for 5 minutes.
    """
    producer.upload(image_id, CONTENT)
    response = producer.get(f"/v2/images/{image_id}/file")

    url = urlsplit(response.headers["location"])
    query = parse_qs(url.query)
    assert (response.status, response.body) == (307, b"")
    assert url.hostname == "cloud-images-test.s3.us-east-1.amazonaws.com"
    assert [url.path] == [f"/{key}" for key in stored_objects(image_id)]
    assert query["response-content-type"] == ["application/octet-stream"]
    assert query["X-Amz-Expires"] == ["300"]


@pytest.mark.behaviour("I8")
def test_data_that_is_there_does_not_change(producer: Actor, image_id: str) -> None:
    """A second upload is refused, and leaves nothing behind."""
    producer.upload(image_id, CONTENT)
    kept = stored_objects(image_id)

    again = [producer.upload(image_id, b"other", to) for to in ("file", "stage")]

    message = "The image is active; data is accepted only while it is queued."
    wanted = error(409, "Conflict", message)
    assert [(response.status, response.document) for response in again] == [
        wanted,
        wanted,
    ]
    assert producer.download(image_id).body == CONTENT
    assert stored_objects(image_id) == kept


@pytest.mark.behaviour("S1")
@pytest.mark.parametrize("status", ["pending", "accepted", "rejected"])
def test_a_member_downloads_whatever_its_status(
    producer: Actor, consumer: Actor, stranger: Actor, image_id: str, status: str
) -> None:
    """To a stranger there is nothing."""
    producer.upload(image_id, CONTENT)
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, status)

    assert consumer.download(image_id).body == CONTENT
    assert stranger.download(image_id).status == 404


@pytest.mark.behaviour("S22")
def test_a_deactivated_image_is_downloaded_by_administrators_alone(
    producer: Actor, consumer: Actor, admin: Actor, image_id: str
) -> None:
    """Its owner neither."""
    producer.upload(image_id, CONTENT)
    producer.share(image_id, "consumer")
    producer.post(f"/v2/images/{image_id}/actions/deactivate")

    refused = [actor.download(image_id) for actor in (producer, consumer)]

    message = (
        "The requested image has been deactivated. Image data download is forbidden."
    )
    wanted = error(403, "Forbidden", message)
    assert [(response.status, response.document) for response in refused] == [
        wanted,
        wanted,
    ]
    assert admin.download(image_id).body == CONTENT


@pytest.mark.parametrize(
    ("byte_range", "status", "got"),
    [
        ("bytes=0-4", 206, b"cloud"),
        ("bytes=6-", 206, b"images"),
        ("bytes=-6", 206, b"images"),
        ("bytes=11-4000", 206, b"s"),
        ("bytes=-4000", 206, CONTENT),
        ("Bytes=0-4", 206, b"cloud"),
        (f"bytes=6-{'9' * 40}", 206, b"images"),
        (f"bytes=-{'9' * 40}", 206, CONTENT),
        (f"bytes={'0' * 40}-4", 206, b"cloud"),
        pytest.param(f"bytes=0-{'9' * 5000}", 200, CONTENT, id="5,000 digits"),
        ("bytes=12-", 416, None),
        ("bytes=4-2", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=-", 416, None),
        ("bytes=0-1,3-4", 416, None),
        ("bytes=a-b", 416, None),
        ("lines=0-1", 416, None),
    ],
)
def test_a_range_is_cut_out_or_refused_before_any_redirect(
    producer: Actor, image_id: str, byte_range: str, status: int, got: bytes | None
) -> None:
    """A refusal is in the API's own form."""
    producer.upload(image_id, CONTENT)

    response = producer.download(image_id, Range=byte_range)

    assert response.status == status
    if got is None:
        assert response.document["title"] == "Request Range Not Satisfiable"
    else:
        assert response.body == got


def test_a_range_of_the_old_form_is_refused(producer: Actor, image_id: str) -> None:
    """S3 would send all of the data; beside a `Range` it does not matter."""
    producer.upload(image_id, CONTENT)
    old = {"Content-Range": "bytes 0-4/12"}

    refused = producer.download(image_id, **old)
    got = producer.download(image_id, Range="bytes=6-", **old)

    message = "Use Range instead of Content-Range."
    wanted = error(416, "Request Range Not Satisfiable", message)
    assert (refused.status, refused.document) == wanted
    assert (got.status, got.body) == (206, b"images")


@pytest.mark.parametrize(
    "kind",
    [
        *("application/octet-stream; charset=UTF-8", "application/octet-stream;x=y"),
        "Application/Octet-Stream",
    ],
)
@pytest.mark.parametrize("to", ["file", "stage"])
def test_parameters_of_a_media_type_do_not_matter(
    to: str, kind: str, producer: Actor, image_id: str
) -> None:
    """Nor does its case."""
    headers = producer.signed() | {"Content-Type": kind}

    response = producer.send("PUT", f"/v2/images/{image_id}/{to}", headers, b"\xff\0")

    assert response.status == 204
    assert producer.get(f"/v2/images/{image_id}").document["size"] == 2


@pytest.mark.parametrize(
    ("store", "statuses"),
    [("file1", [204, 409]), ("other", [400] * 2), ("", [400] * 2)],
)
def test_a_store_that_is_not_there_is_refused(
    store: str, statuses: list[int], producer: Actor, image_id: str
) -> None:
    """By an upload, and by an import, before anything is looked up or changed."""
    headers = producer.signed() | {"X-Image-Meta-Store": store}
    path = f"/v2/images/{image_id}"
    data = {**headers, "Content-Type": "application/octet-stream"}
    method = b'{"method": {"name": "glance-direct"}}'

    responses = [
        producer.send("PUT", f"{path}/file", data, CONTENT),
        producer.send("POST", f"{path}/import", headers, method),
    ]

    assert [response.status for response in responses] == statuses
    if store != "file1":
        message = 'X-Image-Meta-Store, if given, must be "file1".'
        wanted = error(400, "Bad Request", message)
        assert {400: wanted} == {
            response.status: (response.status, response.document)
            for response in responses
        }
        assert producer.get(path).document["status"] == "queued"


@pytest.mark.parametrize(
    "sent", [{"X-OpenStack-Image-Size": "13"}, {"X-OpenStack-Image-Size": "many"}]
)
def test_an_upload_that_is_not_as_large_as_told_is_refused(
    producer: Actor, image_id: str, sent: dict[str, str]
) -> None:
    """Nothing is kept, and the image waits on."""
    headers = producer.signed() | {"Content-Type": "application/octet-stream"} | sent
    response = producer.send("PUT", f"/v2/images/{image_id}/file", headers, CONTENT)

    ((name, value),) = sent.items()
    message = f"{name.lower()} is {value}, but the body has 12 bytes."
    assert (response.status, response.document) == error(400, "Bad Request", message)
    assert stored_objects(image_id) == []
    assert producer.upload(image_id, CONTENT).status == 204


def test_the_limit_is_a_setting(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an upload, and for staging."""
    configure(monkeypatch, upload_bytes_max=12)

    too_large = [producer.upload(image_id, bytes(13), to) for to in ("file", "stage")]

    assert [response.status for response in too_large] == [413, 413]
    assert producer.upload(image_id, CONTENT).status == 204


def test_what_was_staged_becomes_the_data(producer: Actor, image_id: str) -> None:
    """Until the import it can't be downloaded; then it can, and a task lists it."""
    staged = producer.upload(image_id, CONTENT, "stage")
    waiting = producer.get(f"/v2/images/{image_id}").document
    early = producer.download(image_id)
    imported = producer.post(
        f"/v2/images/{image_id}/import", {"method": {"name": "glance-direct"}}
    )

    document = producer.get(f"/v2/images/{image_id}").document
    tasks = producer.get(f"/v2/images/{image_id}/tasks").document["tasks"]
    assert (staged.status, imported.status) == (204, 202)
    assert data_of(waiting) == ["uploading", 12, None, None, None, None]
    assert early.status == 204
    assert data_of(document) == ["active", 12, 12, *hashes(CONTENT)]
    assert producer.download(image_id).body == CONTENT
    assert [
        (task["status"], task["request_id"], task["input"]["import_req"])
        for task in tasks
    ] == [
        (
            "success",
            imported.headers["x-openstack-request-id"],
            {"method": {"name": "glance-direct"}},
        )
    ]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"method": "glance-direct"}, 400),
        ({"method": {"name": "copy-image"}}, 400),
        ({"method": {"name": "glance-direct"}, "stores": ["other"]}, 400),
        ({"method": {"name": "web-download"}}, 400),
        ({"method": {"name": "web-download", "uri": 1}}, 400),
        ({"method": {"name": "web-download", "uri": "ftp://example.org/"}}, 400),
        ({"method": {"name": "web-download", "uri": "http:///nobody"}}, 400),
        ({"method": {"name": "glance-direct"}}, 409),
    ],
)
def test_an_import_that_cannot_be_is_refused(
    producer: Actor, image_id: str, document: Any, status: int
) -> None:
    """Nothing is changed by it."""
    before = producer.get(f"/v2/images/{image_id}").document

    assert producer.post(f"/v2/images/{image_id}/import", document).status == status
    assert producer.get(f"/v2/images/{image_id}").document == before


def test_data_needs_formats(producer: Actor) -> None:
    """An upload without them is 400, an import 409, as the reference has it."""
    image_id = producer.make_image(disk_format="raw")
    uri = {"name": "web-download", "uri": "https://example.org/image"}

    uploaded = producer.upload(image_id, CONTENT)
    imported = producer.post(f"/v2/images/{image_id}/import", {"method": uri})

    message = "container_format must be set before data is uploaded or imported."
    assert (uploaded.status, uploaded.document) == error(400, "Bad Request", message)
    assert (imported.status, imported.document) == error(409, "Conflict", message)


def test_tasks_are_the_owners_to_see(
    producer: Actor, consumer: Actor, admin: Actor, image_id: str
) -> None:
    """A source's URL may hold a secret: members do not see it."""
    producer.share(image_id, "consumer")

    tasks = f"/v2/images/{image_id}/tasks"
    assert consumer.get(tasks).status == 403
    assert producer.using("reader").get(tasks).document == {"tasks": []}
    assert admin.get(tasks).document == {"tasks": []}


def test_a_deletion_takes_all_that_an_image_has_with_it(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Its data, its members and its uploads; another image keeps what it has."""
    other = producer.make_image(**FORMATS)
    for one in (image_id, other):
        producer.share(one, "consumer")
        producer.upload(one, CONTENT, "stage")
        method = {"method": {"name": "glance-direct"}}
        producer.post(f"/v2/images/{one}/import", method)
    producer.delete(f"/v2/images/{image_id}")

    pump.drain()

    assert stored_objects(image_id) == []
    assert producer.download(other).body == CONTENT
    assert len(producer.get(f"/v2/images/{other}/tasks").document["tasks"]) == 1
