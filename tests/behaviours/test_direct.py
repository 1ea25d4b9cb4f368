"""Direct uploads: a client sends an image's data to S3 itself, in parts."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from chalicelib import clock
from chalicelib.api import uploads
from chalicelib.background import transfers
from chalicelib.domain.uploads import DIRECT_UPLOAD, WEB_DOWNLOAD
from chalicelib.errors import Unavailable
from chalicelib.store import claims, dynamodb, objects, queue
from chalicelib.store import uploads as upload_store
from infra.local.worker import Pump
from tests.actors import Actor
from tests.bucket_faults import multiparts, small_parts, stored_objects
from tests.configuring import configure
from tests.interleaving import act_before

CONTENT = bytes(range(256)) * 10
PART = 1000
SHA512 = hashlib.sha512(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 1,000 bytes: the content has three."""
    small_parts(monkeypatch)
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    monkeypatch.setattr(uploads, "_MEBIBYTE", 1)


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that waits for its data."""
    return producer.make_image(disk_format="raw", container_format="bare")


def uploads_of(image_id: str) -> str:
    """Return the path of an image's direct uploads."""
    return f"/ext/v1/images/{image_id}/uploads"


def begin(producer: Actor, image_id: str, **document: Any) -> Any:
    """Begin an upload of the content; return its document."""
    body = {"size": len(CONTENT), **document}
    response = producer.post(uploads_of(image_id), body)
    assert response.status == 201, response.body
    return response.document


def send_part(part: Any, content: bytes = CONTENT) -> str:
    """Send a part to S3, as clients do; return the ETag that S3 answers."""
    start = (part["part_number"] - 1) * PART
    piece = content[start : start + part["size"]]
    digest = hashlib.md5(piece, usedforsecurity=False).digest()
    headers = {"Content-MD5": base64.b64encode(digest).decode()}
    response = requests.put(part["url"], piece, headers=headers, timeout=10)
    assert response.status_code == 200, response.text
    return response.headers["ETag"].strip('"')


def begin_and_send(producer: Actor, image_id: str, **document: Any) -> Any:
    """Begin an upload and send each of its parts; return its document."""
    upload = begin(producer, image_id, **document)
    for part in upload["parts"]:
        send_part(part)
    return upload


def problem(status: int, title: str, reason: str, detail: str) -> tuple[int, Any]:
    """Return the whole response that tells an error of these calls."""
    return status, {
        "title": title,
        "status": status,
        "detail": detail,
        "reason": reason,
    }


def test_an_upload_in_parts_becomes_the_data(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Sent to S3, completed, hashed by a worker, and then downloaded."""
    upload = begin(producer, image_id, sha512=SHA512)
    etags = [send_part(part) for part in upload["parts"]]
    saving = producer.get(f"/v2/images/{image_id}").document
    completed = producer.post(upload["self"] + "/complete", {"etags": etags})
    waiting = producer.get(f"/v2/images/{image_id}").document
    pump.drain()

    image = producer.get(f"/v2/images/{image_id}").document
    ended = producer.get(upload["self"]).document
    assert [part["size"] for part in upload["parts"]] == [1000, 1000, 560]
    assert (upload["state"], upload["part_count"]) == ("open", 3)
    assert (completed.status, completed.document["state"]) == (202, "pending")
    assert {saving["status"], waiting["status"]} == {"saving"}
    assert (image["status"], image["size"]) == ("active", 2560)
    assert image["os_hash_value"] == SHA512
    assert producer.download(image_id).body == CONTENT
    assert (ended["state"], ended["message"]) == ("success", "")
    assert ended["hashed"] == len(CONTENT)
    assert multiparts(image_id) == []


def test_an_upload_beyond_its_projects_bound_waits(
    producer: Actor, image_id: str, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of direct uploads alone: an import has another slot; it loses no try."""
    configure(monkeypatch, project_imports_max=1)
    begun = begin_and_send(producer, image_id)
    producer.post(begun["self"] + "/complete", {})
    upload = upload_store.load_upload(image_id, begun["id"])
    assert upload
    others = [
        upload._replace(id="other", method=m) for m in (DIRECT_UPLOAD, WEB_DOWNLOAD)
    ]
    pump.read_stream()
    sent: list[Any] = []
    with monkeypatch.context() as waiting:
        waiting.setattr(queue, "send_upload", lambda *message: sent.append(message[1:]))
        claimed = [claims.claim_slot(other) for other in others]
        transfers.transfer(image_id, begun["id"], lambda: False)
    waits = upload_store.load_upload(image_id, begun["id"])
    claims.release_slot(others[0])
    pump.drain()

    assert claimed == [True, True]
    assert sent == [(30, 1)]
    assert waits == upload
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "active"


def test_a_url_is_for_one_part_and_some_minutes(producer: Actor, image_id: str) -> None:
    """Of this upload's object."""
    upload = begin(producer, image_id)

    url = urlsplit(upload["parts"][1]["url"])
    query = parse_qs(url.query)
    assert url.path == f"/{image_id}/{upload['id']}"
    assert query["partNumber"] == ["2"]
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert upload["expires_in"] == 900


def test_an_upload_is_found_again_and_resumed(producer: Actor, image_id: str) -> None:
    """S3 lists what has arrived; URLs can be requested again."""
    upload = begin(producer, image_id)
    etag = send_part(upload["parts"][1])

    (listed,) = producer.get(uploads_of(image_id)).document["uploads"]
    shown = producer.get(listed["self"]).document
    more = producer.post(listed["self"] + "/urls", {"part_numbers": [3, 1]}).document

    assert listed["id"] == upload["id"]
    assert shown["arrived"] == [{"part_number": 2, "size": 1000, "etag": etag}]
    assert [part["part_number"] for part in more["parts"]] == [3, 1]
    assert [part["size"] for part in more["parts"]] == [560, 1000]
    send_part(more["parts"][0])


def test_what_has_not_arrived_is_told(producer: Actor, image_id: str) -> None:
    """A part that is missing, one of another size, one with another tag."""
    upload = begin(producer, image_id)
    one, two, three = upload["parts"]
    complete = upload["self"] + "/complete"
    etag = send_part(one)
    missing = producer.post(complete)
    short = two | {"size": 10}
    send_part(short)
    send_part(three)
    wrong_size = producer.post(complete)
    send_part(two)
    wrong_tag = producer.post(complete, {"etags": [etag, etag, etag]})
    wrong_count = producer.post(complete, {"etags": [etag]})

    outcome = [
        (response.status, response.document["detail"])
        for response in (missing, wrong_size, wrong_tag, wrong_count)
    ]
    two_tag = hashlib.md5(CONTENT[1000:2000], usedforsecurity=False).hexdigest()
    assert outcome == [
        (409, "Part 2 of 3 has not arrived."),
        (409, "Part 2 has 10 bytes, not 1000."),
        (409, f"Part 2 has another ETag: {two_tag}."),
        (409, "The upload has 3 parts, not 1."),
    ]
    assert producer.post(complete).status == 202


@pytest.mark.parametrize("when", ["begun", "completed"])
def test_another_hash_than_was_announced_is_a_failure(
    producer: Actor, image_id: str, pump: Pump, when: str
) -> None:
    """The image waits for data again, and nothing is kept."""
    wrong = {"sha512": "0" * 128}
    upload = begin_and_send(producer, image_id, **(wrong if when == "begun" else {}))
    outcome = wrong if when == "completed" else {}
    assert producer.post(upload["self"] + "/complete", outcome).status == 202
    pump.drain()

    image = producer.get(f"/v2/images/{image_id}").document
    message = f"The SHA-512 of the sent data is {SHA512}."
    assert producer.get(upload["self"]).document["message"] == message
    assert (image["status"], image["os_glance_failed_import"]) == ("queued", message)
    assert stored_objects(image_id) == []
    again = producer.post(upload["self"] + "/complete")
    assert again.document["detail"] == f"The upload failed: {message}"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({"etags": "x"}, 400),
        ({"etags": [1]}, 400),
        ({"sha512": "short"}, 400),
        ({"sha512": SHA512.swapcase()}, 400),
        ({"sha512": "0" * 128}, 409),
    ],
)
def test_a_bad_completion_is_refused(
    producer: Actor, image_id: str, outcome: Any, status: int
) -> None:
    """And the upload stays open."""
    upload = begin_and_send(producer, image_id, sha512=SHA512)

    assert producer.post(upload["self"] + "/complete", outcome).status == status
    assert producer.get(upload["self"]).document["state"] == "open"


def test_an_upload_is_given_up(producer: Actor, image_id: str) -> None:
    """
    Its parts are gone, the image takes other data; to give it up twice does no harm.
    """
    upload = begin(producer, image_id)
    send_part(upload["parts"][0])

    ended = [producer.delete(upload["self"]).status for _ in range(2)]

    assert ended == [204, 204]
    assert multiparts(image_id) == []
    image = producer.get(f"/v2/images/{image_id}").document
    assert (image["status"], "os_glance_failed_import" in image) == ("queued", False)
    wanted = (409, "The upload accepts no more parts: its state is failure.")
    late = producer.post(upload["self"] + "/urls", {"part_numbers": [1]})
    assert (late.status, late.document["detail"]) == wanted
    assert producer.upload(image_id, CONTENT).status == 204


def test_an_upload_that_is_over_is_not_given_up(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Its object is the image's data."""
    upload = begin_and_send(producer, image_id)
    producer.post(upload["self"] + "/complete")
    again = producer.post(upload["self"] + "/complete")
    pump.drain()

    refused = producer.delete(upload["self"])

    assert again.status == 202
    assert (
        refused.document["detail"] == "The upload has succeeded and cannot be aborted."
    )
    assert producer.download(image_id).body == CONTENT


def test_an_upload_given_up_while_it_is_hashed_leaves_nothing(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """The worker finds that nobody waits for it."""
    upload = begin_and_send(producer, image_id)
    producer.post(upload["self"] + "/complete")
    producer.delete(upload["self"])
    pump.drain()

    image = producer.get(f"/v2/images/{image_id}").document
    assert image["status"] == "queued"
    assert stored_objects(image_id) == []
    assert multiparts(image_id) == []


def test_an_upload_given_up_as_it_ends_well_keeps_the_data(
    producer: Actor, image_id: str, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The worker ends between the abort's look and its deed: the data is the image's.
    """
    upload = begin_and_send(producer, image_id)
    producer.post(upload["self"] + "/complete")
    act_before(monkeypatch, upload_store, "end_upload", pump.drain)
    refused = producer.delete(upload["self"])

    assert (
        refused.document["detail"] == "The upload has succeeded and cannot be aborted."
    )
    assert producer.download(image_id).body == CONTENT


def test_a_part_sent_after_the_completion_is_never_part_of_the_data(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Its URL still holds, but what was complete is what counts."""
    upload = begin_and_send(producer, image_id)
    assert producer.post(upload["self"] + "/complete").status == 202
    send_part(upload["parts"][1], bytes(len(CONTENT)))
    pump.drain()

    image = producer.get(f"/v2/images/{image_id}").document
    assert (image["status"], image["os_glance_failed_import"]) == (
        "queued",
        "The object in S3 differs from the parts that were sent.",
    )
    assert stored_objects(image_id) == []


def test_an_upload_may_take_days(
    producer: Actor, image_id: str, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as its client is seen each week."""
    upload = begin_and_send(producer, image_id)
    later = clock.now() + timedelta(days=6)
    monkeypatch.setattr(clock, "now", lambda: later)
    producer.post(upload["self"] + "/complete")
    pump.drain()

    assert producer.download(image_id).body == CONTENT


def test_a_lost_answer_does_not_lose_the_upload(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though somebody changes the image before it is asked again."""
    call, turns = dynamodb.with_retries, count()

    def lose_the_response(write: Any) -> Any:
        if next(turns) == 0:
            call(write)
            rename = {"op": "replace", "path": "/name", "value": "new"}
            assert producer.patch(f"/v2/images/{image_id}", [rename]).status == 200
        return call(write)

    monkeypatch.setattr("chalicelib.store.uploads.with_retries", lose_the_response)
    upload = begin(producer, image_id)

    send_part(upload["parts"][0])
    assert producer.get(upload["self"]).document["state"] == "open"


def test_hashing_goes_on_where_it_was(
    producer: Actor, image_id: str, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often S3's response is cut."""
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    read = objects.read_data
    starts = []

    def be_cut(upload: Any, start: int, _size: int) -> Iterator[bytes]:
        starts.append(start)
        yield next(iter(read(upload, start, 300)))
        raise Unavailable("cut")

    monkeypatch.setattr(objects, "read_data", be_cut)
    upload = begin_and_send(producer, image_id, sha512=SHA512)
    producer.post(upload["self"] + "/complete")
    pump.drain()

    assert starts == list(range(0, 2560, 300))
    assert producer.get(f"/v2/images/{image_id}").document["status"] == "active"


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ({}, "size must be a number of bytes, 1 to 5497558138880."),
        ({"size": 0}, "size must be a number of bytes, 1 to 5497558138880."),
        ({"size": True}, "size must be a number of bytes, 1 to 5497558138880."),
        (
            {"size": 5 * 2**40 + 1},
            "size must be a number of bytes, 1 to 5497558138880.",
        ),
        (
            {"size": 1, "sha512": "A" * 128},
            "sha512, if given, must be 128 hexadecimal digits, lower case.",
        ),
    ],
)
def test_a_bad_body_is_refused(
    producer: Actor, image_id: str, document: Any, detail: str
) -> None:
    """As a problem (RFC 9457), and nothing is begun."""
    response = producer.post(uploads_of(image_id), document)

    assert response.headers["content-type"] == "application/problem+json"
    wanted = problem(400, "Bad Request", "invalid", detail)
    assert (response.status, response.document) == wanted
    assert multiparts(image_id) == []


@pytest.mark.parametrize("numbers", [None, [], [0], [4], [1, 1], ["1"], [True], {}])
def test_bad_part_numbers_are_refused(
    producer: Actor, image_id: str, numbers: Any
) -> None:
    """Each must be that of a part, and stand once."""
    upload = begin(producer, image_id)

    response = producer.post(upload["self"] + "/urls", {"part_numbers": numbers})

    detail = "part_numbers must be a list of 1 to 100 different part numbers."
    if numbers == [4]:
        detail = "part_numbers must be from 1 to 3."
    wanted = problem(400, "Bad Request", "invalid", detail)
    assert (response.status, response.document) == wanted


def test_one_upload_at_a_time(producer: Actor, image_id: str) -> None:
    """While it goes on, the image takes no other data, by whatever way."""
    begin(producer, image_id)

    refused = [
        producer.post(uploads_of(image_id), {"size": 1}),
        producer.upload(image_id, CONTENT),
        producer.upload(image_id, CONTENT, "stage"),
        producer.post(
            f"/v2/images/{image_id}/import",
            {"method": {"name": "web-download", "uri": "https://example.org/"}},
        ),
    ]

    assert [response.status for response in refused] == [409] * 4
    assert stored_objects(image_id) == []
    assert len(multiparts(image_id)) == 1


def test_it_is_for_those_who_may_upload(
    producer: Actor, consumer: Actor, stranger: Actor, admin: Actor, image_id: str
) -> None:
    """
    A member gets 403, a stranger 404; nobody sees another upload.
    """
    producer.share(image_id, "consumer")
    upload = begin(producer, image_id)
    path = upload["self"]
    none = path.replace(upload["id"], image_id)

    calls = [
        ("POST", uploads_of(image_id), {"size": 1}),
        ("GET", uploads_of(image_id), None),
        ("GET", path, None),
        ("POST", path + "/urls", {"part_numbers": [1]}),
        ("POST", path + "/complete", {}),
        ("DELETE", path, None),
    ]
    for call in calls:
        assert consumer.ask(*call).status == 403
        assert producer.using("reader").ask(*call).status == 403
        hidden = stranger.ask(*call)
        detail = f"No image found with ID {image_id}"
        wanted = problem(404, "Not Found", "not-found", detail)
        assert (hidden.status, hidden.document) == wanted
    assert admin.get(path).status == 200
    assert producer.get(none).status == 404
    assert producer.get(f"{uploads_of(image_id)}/{'x' * 2000}").status == 404
    assert producer.delete(path).status == 204


def test_large_data_has_larger_parts(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 takes 10,000; the first response has the URLs of 100."""
    monkeypatch.undo()

    response = producer.post(uploads_of(image_id), {"size": 5 * 2**40}).document

    assert (response["part_size"], response["part_count"]) == (525 * 2**20, 9987)
    assert len(response["parts"]) == 100


def test_without_a_token_and_elsewhere_it_is_a_problem_too(producer: Actor) -> None:
    """All our own paths speak one form."""
    nobody = producer.send("GET", uploads_of("x"), {}, b"")
    elsewhere = producer.get("/ext/v1/nothing")
    wrong_method = producer.put(uploads_of("x"))

    responses = (nobody, elsewhere, wrong_method)
    assert [response.status for response in responses] == [401, 404, 405]
    assert {response.headers["content-type"] for response in responses} == {
        "application/problem+json"
    }
