"""The five calls on members, shape by shape (M)."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.store import members as member_store
from tests.actors import Actor, Send
from tests.aws_faults import stored
from tests.configuring import configure
from tests.error_page import ERROR_PAGE
from tests.scene import at, error

THEN, NOW = "2026-11-24T08:00:00Z", "2026-11-24T09:30:00Z"
NO_ID = "00000000-0000-4000-8000-000000000000"

UNAUTHENTICATED = "The request you have made requires authentication."
MALFORMED = (
    "A development token has the form user:project:role,role, such as"
    " alice:demo:member."
)


@pytest.fixture
def path(producer: Actor, monkeypatch: pytest.MonkeyPatch) -> str:
    """The members of an image of the producer's: THEN shared with the consumer."""
    at(monkeypatch, THEN)
    image_id = producer.make_image(name="ubuntu")
    producer.share(image_id, "consumer")
    at(monkeypatch, NOW)
    return f"/v2/images/{image_id}/members"


def member(path: str, project: str, **changed: Any) -> Any:
    """Return the document of a membership that began THEN."""
    return {
        "member_id": project,
        "image_id": path.split("/")[3],
        "status": "pending",
        "created_at": THEN,
        "updated_at": THEN,
        "schema": "/v2/schemas/member",
        **changed,
    }


def hidden(path: str, project: str) -> tuple[int, Any]:
    """Return the response about a membership that is not there."""
    image_id = path.split("/")[3]
    where = f"in the member list of the image {image_id}."
    return error(404, "Not Found", f"{project} not found {where}")


@pytest.mark.behaviour("M1")
def test_adding_a_member_answers_the_pending_membership(
    producer: Actor, path: str
) -> None:
    """200, not 201; both of its times are now."""
    response = producer.post(path, {"member": "554433"})

    wanted = member(path, "554433", created_at=NOW, updated_at=NOW)
    assert (200, wanted) == (response.status, response.document)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.behaviour("M2", "M9")
def test_only_who_sees_an_image_is_told_that_it_may_not_share_it(
    producer: Actor, consumer: Actor, stranger: Actor, path: str
) -> None:
    """To others, and for an id that never was or is none, there is no image."""
    body, image_id = {"member": "x"}, path.split("/")[3]

    results = {
        "member": consumer.post(path, body),
        "stranger": stranger.post(path, body),
        "unknown": producer.post(f"/v2/images/{NO_ID}/members", body),
        "no id": producer.post("/v2/images/ubuntu/members", body),
    }

    words = "A member of an image may not create a member."
    assert {
        "member": error(403, "Forbidden", words),
        "stranger": error(404, "Not Found", f"No image found with ID {image_id}"),
        "unknown": error(404, "Not Found", f"No image found with ID {NO_ID}"),
        "no id": error(404, "Not Found", "No image found with ID ubuntu"),
    } == {
        who: (response.status, response.document) for who, response in results.items()
    }


@pytest.mark.behaviour("M3")
def test_the_same_member_twice_is_a_conflict(producer: Actor, path: str) -> None:
    """The first membership stays as it is."""
    response = producer.post(path, {"member": "consumer"})

    words = f"Member consumer is duplicated for image {path.split('/')[3]}"
    assert error(409, "Conflict", words) == (response.status, response.document)
    kept = producer.get(f"{path}/consumer").document
    assert member(path, "consumer") == kept


@pytest.mark.behaviour("M4", "M16")
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{member: x}", b'{"member": ""}'])
def test_a_body_without_what_is_needed_is_refused(
    body: bytes, producer: Actor, consumer: Actor, path: str
) -> None:
    """All that is wrong with bodies is in `tests/test_bad_input.py`."""
    assert producer.post(path, body).status == 400
    assert consumer.put(f"{path}/consumer", body).status == 400
    assert producer.get(path).document["members"] == [member(path, "consumer")]


@pytest.mark.behaviour("M5", "M17")
def test_unknown_keys_are_ignored(producer: Actor, consumer: Actor, path: str) -> None:
    """Clients send more than is needed."""
    body = {"member": "consumer", "status": "accepted", "x": 1}

    added = producer.post(path, {**body, "member": "554433"})
    answered = consumer.put(f"{path}/consumer", body)

    assert (added.status, added.document["status"]) == (200, "pending")
    assert (answered.status, answered.document["status"]) == (200, "accepted")


@pytest.mark.behaviour("M6")
@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", ""])
def test_the_media_type_of_a_body_is_not_looked_at(
    kind: str, producer: Actor, path: str
) -> None:
    """As the reference takes it: the body is JSON, whatever its type says."""
    results = {"Content-Type": kind} if kind else {}
    typed = replace(producer, headers={**producer.headers, **results})

    assert typed.post(path, b'{"member": "554433"}').status == 200


@pytest.mark.behaviour("M7")
def test_one_member_more_than_the_quota_is_refused(
    producer: Actor, admin: Actor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It binds administrators, too; who is removed makes room."""
    configure(monkeypatch, member_quota=2)
    producer.share(path.split("/")[3], "second")

    refused = [one.post(path, {"member": "third"}) for one in (producer, admin)]
    producer.delete(f"{path}/second")
    added = producer.post(path, {"member": "third"})

    words = (
        f"Image member limit exceeded for image {path.split('/')[3]}: it has 2"
        " of the 2 members allowed."
    )
    wanted = error(413, "Request Entity Too Large", words)
    assert [wanted] * 2 == [(one.status, one.document) for one in refused]
    assert added.status == 200


@pytest.mark.behaviour("M8")
@pytest.mark.parametrize("visibility", ["private", "public", "community"])
def test_only_a_shared_image_has_members(
    visibility: str, producer: Actor, admin: Actor
) -> None:
    """Its owner must first make it `shared`."""
    image_id = admin.make_image(visibility=visibility, owner="producer")

    response = producer.post(f"/v2/images/{image_id}/members", {"member": "x"})

    wanted = error(403, "Forbidden", "Only shared images have members.")
    assert wanted == (response.status, response.document)


@pytest.mark.behaviour("M10", "M11")
def test_a_member_list_is_of_all_or_of_oneself(
    producer: Actor, consumer: Actor, stranger: Actor, path: str
) -> None:
    """By member id; an empty one is no error; there are no pages."""
    lonely = f"/v2/images/{producer.make_image()}/members"
    producer.share(path.split("/")[3], "another")

    everyone = producer.get(path)
    itself = consumer.get(path)
    nobody = producer.get(lonely)

    another = member(path, "another", created_at=NOW, updated_at=NOW)
    schema = "/v2/schemas/members"
    mine = member(path, "consumer")
    assert everyone.document == {"members": [another, mine], "schema": schema}
    assert itself.document == {"members": [mine], "schema": schema}
    assert (nobody.status, nobody.document) == (200, {"members": [], "schema": schema})
    assert stranger.get(path).status == 404


@pytest.mark.behaviour("M12")
def test_a_membership_is_shown_to_the_owner_and_its_member(
    producer: Actor, consumer: Actor, stranger: Actor, send: Send, path: str
) -> None:
    """For all others, and for a project that is no member, there is none."""
    producer.share(path.split("/")[3], "another")
    another = Actor(send, "another")

    shown = {
        "owner": producer.get(f"{path}/consumer"),
        "member": consumer.get(f"{path}/consumer"),
        "another": another.get(f"{path}/consumer"),
        "stranger": stranger.get(f"{path}/consumer"),
        "no member": producer.get(f"{path}/nobody"),
    }

    assert {
        "owner": (200, member(path, "consumer")),
        "member": (200, member(path, "consumer")),
        "another": hidden(path, "consumer"),
        "stranger": hidden(path, "consumer"),
        "no member": hidden(path, "nobody"),
    } == {who: (response.status, response.document) for who, response in shown.items()}


@pytest.mark.behaviour("M13")
def test_an_answer_moves_the_time_of_the_update_alone(
    consumer: Actor, path: str
) -> None:
    """200, with the membership as it is now."""
    response = consumer.put(f"{path}/consumer", {"status": "accepted"})

    wanted = member(path, "consumer", status="accepted", updated_at=NOW)
    assert (200, wanted) == (response.status, response.document)


@pytest.mark.behaviour("M14", "M15")
def test_nobody_answers_for_another(
    producer: Actor, stranger: Actor, send: Send, path: str
) -> None:
    """The owner gets 403; to others the membership is hidden."""
    producer.share(path.split("/")[3], "another")
    body, another = {"status": "accepted"}, Actor(send, "another")

    results = {
        "owner": producer.put(f"{path}/consumer", body),
        "another": another.put(f"{path}/consumer", body),
        "stranger": stranger.put(f"{path}/consumer", body),
        "no member": producer.put(f"{path}/nobody", body),
    }

    words = "The owner of an image may not update a member."
    assert {
        "owner": error(403, "Forbidden", words),
        "another": hidden(path, "consumer"),
        "stranger": hidden(path, "consumer"),
        "no member": hidden(path, "nobody"),
    } == {
        who: (response.status, response.document) for who, response in results.items()
    }


@pytest.mark.behaviour("M18", "M19", "M20")
def test_a_member_is_removed_once(producer: Actor, path: str) -> None:
    """204 without a body; again, or of a project that is none, 404."""
    first = producer.delete(f"{path}/consumer")
    again = producer.delete(f"{path}/consumer")
    other = producer.delete(f"{path}/nobody")

    assert (first.status, first.body) == (204, b"")
    assert hidden(path, "consumer") == (again.status, again.document)
    assert hidden(path, "nobody") == (other.status, other.document)
    assert producer.get(path).document["members"] == []


@pytest.mark.behaviour("M21")
def test_only_the_owner_removes_a_member(
    producer: Actor, consumer: Actor, stranger: Actor, admin: Actor, path: str
) -> None:
    """Or an administrator."""
    producer.share(path.split("/")[3], "another")

    statuses = [
        consumer.delete(f"{path}/consumer").status,
        consumer.delete(f"{path}/another").status,
        stranger.delete(f"{path}/consumer").status,
        producer.using("reader").delete(f"{path}/consumer").status,
        admin.delete(f"{path}/another").status,
    ]

    assert statuses == [403, 404, 404, 403, 204]
    assert [member(path, "consumer")] == producer.get(path).document["members"]


@pytest.mark.behaviour("M22")
@pytest.mark.parametrize(
    ("place", "allowed"), [("", "GET, POST"), ("/consumer", "GET, PUT, DELETE")]
)
def test_a_method_that_is_not_offered_is_told_those_that_are(
    place: str, allowed: str, producer: Actor, path: str
) -> None:
    """405 with `Allow`, HEAD and OPTIONS as well."""
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
    others = sorted(methods - set(allowed.split(", ")))

    results = [producer.ask(method, path + place) for method in others]

    assert {(405, allowed)} == {(one.status, one.headers["allow"]) for one in results}
    assert [member(path, "consumer")] == producer.get(path).document["members"]


@pytest.mark.behaviour("M23")
@pytest.mark.parametrize(
    "token", [None, "", "consumer", "a:b", "a:b:", ":b:member", "a::member", "a:b:c:d"]
)
def test_a_request_without_a_good_token_is_not_authenticated(
    token: str | None, send: Send, path: str
) -> None:
    """401 with a challenge, and with the form of a token that has another."""
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["X-Auth-Token"] = token

    for method, target in [("GET", path), ("POST", path), ("PUT", f"{path}/consumer")]:
        response = send(method, target, headers, b"")

        words = MALFORMED if token else UNAUTHENTICATED
        wanted = error(401, "Unauthorized", words)
        assert wanted == (response.status, response.document)
        for name in ("www-authenticate", "x-amzn-remapped-www-authenticate"):
            assert response.headers[name] == 'Development realm="cloud-images"'


def test_a_token_may_come_percent_encoded(send: Send) -> None:
    """As python-glanceclient sends it."""
    headers = {"X-Auth-Token": "bob%3Aconsumer%3Amember%2Creader"}

    assert send("GET", "/v2/images", headers, b"").status == 200


@pytest.mark.behaviour("M24")
def test_a_bug_is_told_in_the_same_form_and_says_nothing(
    producer: Actor,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    500 as JSON or HTML; what broke stands in the log alone, with the request.
    """
    monkeypatch.setattr(member_store, "add_member", None)
    as_json = producer.post(path, {"member": "secret"})
    as_html = replace(producer, headers={"Accept": "*/*"}).post(path, {"member": "x"})

    words = "Internal server error."
    wanted = error(500, "Internal Server Error", words)
    assert wanted == (as_json.status, as_json.document)
    page = ERROR_PAGE.format(code="500 Internal Server Error", message=words)
    assert page == as_html.body.decode()
    assert as_json.headers["x-openstack-request-id"] in caplog.text


@pytest.mark.behaviour("S7")
def test_the_same_status_again_writes_nothing(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 with the membership as it is: `updated_at` stays, too."""
    image_id = producer.make_image()
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    path = f"/v2/images/{image_id}/members/consumer"
    before, member = stored(), consumer.get(path).document
    at(monkeypatch, "2031-01-01T00:00:00+00:00")

    response = consumer.put(path, {"status": "accepted"})

    assert (response.status, response.document) == (200, member)
    assert stored() == before
