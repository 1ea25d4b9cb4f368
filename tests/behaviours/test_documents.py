"""What the API says of itself (J), and its forms of answer (Q)."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

import app as service
from infra.local import gateway
from tests.actors import Actor, Response, Send
from tests.error_page import ERROR_PAGE
from tests.scene import error

NO_ID = "00000000-0000-4000-8000-000000000000"
NAMES = ("image", "images", "member", "members")


def schema(actor: Actor, name: str) -> Any:
    """Read a schema as a client does."""
    return actor.get(f"/v2/schemas/{name}").document


@pytest.mark.behaviour("J1", "J5")
@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_served(name: str, producer: Actor, consumer: Actor) -> None:
    """A valid one, the same for everyone."""
    document = schema(producer, name)

    jsonschema.Draft4Validator.check_schema(document)
    assert document["name"] == name
    assert document == schema(consumer, name)


@pytest.mark.behaviour("J2", "J3")
def test_a_member_has_six_properties(producer: Actor) -> None:
    """
    Its status is one of three words, its image a UUID; members are a list of those.
    """
    member, members = schema(producer, "member"), schema(producer, "members")

    assert set(member["properties"]) == {
        *("member_id", "image_id", "status", "created_at", "updated_at", "schema")
    }
    words = member["properties"]["status"]["enum"]
    assert words == ["pending", "accepted", "rejected"]
    assert re.fullmatch(member["properties"]["image_id"]["pattern"], NO_ID)
    assert members["properties"]["members"]["items"] == member
    assert members["links"] == [{"href": "{schema}", "rel": "describedby"}]


@pytest.mark.behaviour("J4")
@pytest.mark.parametrize(
    "body", [{"name": 5}, {"visibility": "secret"}, {"tags": "lts"}, {"x": 5}]
)
def test_what_a_schema_refuses_the_call_refuses(body: Any, producer: Actor) -> None:
    """That every response fits its schema is checked on each response of all tests."""
    refused = jsonschema.Draft4Validator(schema(producer, "image"))

    assert not refused.is_valid(body)
    assert producer.post("/v2/images", body).status == 400


@pytest.mark.behaviour("Q1")
def test_an_error_has_two_forms(producer: Actor) -> None:
    """
    JSON where `Accept` names it, else HTML: glanceclient breaks on flat JSON.
    """

    def ask(accept: str | None) -> Response:
        headers = {} if accept is None else {"Accept": accept}
        return replace(producer, headers=headers).get(f"/v2/images/{NO_ID}")

    words = f"No image found with ID {NO_ID}"
    for accept in ("application/json", "text/html, application/json;q=0.9"):
        response = ask(accept)
        assert error(404, "Not Found", words) == (response.status, response.document)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-reason"] == "not-found"
    for other in ("*/*", "text/html", "application/xml", "", None):
        response = ask(other)
        page = ERROR_PAGE.format(code="404 Not Found", message=words)
        assert page == response.body.decode()
        assert response.headers["content-type"] == "text/html; charset=UTF-8"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-reason"] == "not-found"


def test_an_error_page_holds_nothing_that_a_browser_would_run(
    producer: Actor,
) -> None:
    """What an error repeats of the request is escaped."""
    path = f"/v2/images/%3Cscript%3Ealert(1)%3C%2Fscript%3E/tags/{quote('<b>&')}"

    response = replace(producer, headers={}).delete(path)

    assert response.status == 404
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in response.body
    assert b"<script" not in response.body


@pytest.mark.behaviour("Q1")
def test_every_answer_has_an_id_of_its_own(producer: Actor) -> None:
    """`x-openstack-request-id`, on success and on failure."""
    responses = [
        producer.get("/"),
        producer.get("/v2/images"),
        producer.get(f"/v2/images/{NO_ID}"),
        producer.get("/nothing"),
        producer.ask("HEAD", "/v2/images"),
        producer.post("/v2/images", b"{"),
    ]

    ids = {response.headers["x-openstack-request-id"] for response in responses}
    assert len(ids) == len(responses)
    assert all(re.fullmatch(r"req-[0-9a-f-]{36}", one) for one in ids)


@pytest.mark.behaviour("Q1")
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "FOO"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v2/images/x", "GET, PATCH, DELETE"), ("/v2/info/import", "GET")],
)
def test_other_methods_are_told_which_there_are(
    method: str, path: str, allowed: str, producer: Actor
) -> None:
    """405 with `Allow`."""
    response = producer.ask(method, path)

    words = "The method is not allowed for this resource."
    assert error(405, "Method Not Allowed", words) == (
        response.status,
        response.document,
    )
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/versions", "/v2", "/healthcheck", "/v2/schemas/image", "/v1"]
)
def test_what_monitors_read_they_may_ask_for_by_head(
    path: str, producer: Actor
) -> None:
    """The answer is that of GET, without a body where HTTP is spoken."""
    got, head = producer.get(path), producer.ask("HEAD", path)

    kept = ("content-type", "location", "allow")
    assert head.status == got.status
    assert [head.headers.get(name) for name in kept] == [
        got.headers.get(name) for name in kept
    ]
    if path != "/v1":
        refused = producer.ask("FOO", path)
        assert (refused.status, refused.headers["allow"]) == (405, "GET")


@pytest.mark.behaviour("Q2")
def test_a_suffix_is_no_way_to_ask_for_a_format(producer: Actor) -> None:
    """`.json` is a part of a name: the reference does not know it either."""
    image_id = producer.make_image()

    assert producer.get(f"/v2/images/{image_id}.json").status == 404
    assert producer.get("/v2/images.json").status == 404


@pytest.mark.behaviour("Q3")
def test_an_offset_is_no_paging(producer: Actor) -> None:
    """It is a filter on a custom property, as in the reference."""
    producer.make_image()
    odd = producer.make_image(offset="1")

    assert producer.listed("?offset=1") == [odd]


@pytest.mark.parametrize(
    ("host", "prefix", "headers", "root"),
    [
        ("127.0.0.1:8000", "", {}, "http://127.0.0.1:8000"),
        (
            "x1.execute-api.us-east-1.amazonaws.com",
            "/api",
            {"X-Forwarded-Proto": "https"},
            "https://x1.execute-api.us-east-1.amazonaws.com/api",
        ),
        (
            "images.example",
            "",
            {"X-Forwarded-Proto": "https"},
            "https://images.example",
        ),
        (
            "cloud.example",
            "/image",
            {"X-Forwarded-Proto": "https"},
            "https://cloud.example/image",
        ),
    ],
    ids=["locally", "a stage", "a domain", "a domain with a base path"],
)
def test_absolute_links_are_those_that_the_client_can_follow(
    host: str, prefix: str, headers: dict[str, str], root: str
) -> None:
    """In version documents and `Location`."""

    def ask(method: str, path: str, body: bytes = b"") -> Response:
        sent = {"Host": host, "X-Auth-Token": "a:b:member", **headers}
        event = gateway.event(
            service.app.routes, method, prefix + path, sent, body, prefix=prefix
        )
        status, pairs, content = gateway.response_of(service.app(event, None))
        names = {name.lower(): value for name, value in pairs}
        return Response(status, names, content)

    for path, status in [
        ("/", 300),
        ("/versions", 200),
        ("/versions/", 200),
        ("/v2", 200),
        ("/v2/", 200),
    ]:
        response = ask("GET", path)
        links = {
            link["href"]
            for version in response.document["versions"]
            for link in version["links"]
        }
        assert (status, {f"{root}/v2/"}) == (response.status, links)
    created = ask("POST", "/v2/images", b"{}")
    assert created.headers["location"] == f"{root}{created.document['self']}"
    assert created.document["self"].startswith("/v2/images/")
    assert created.headers["openstack-image-import-methods"] == (
        "glance-direct,web-download"
    )
    assert created.headers["openstack-image-store-ids"] == "file1"


def test_the_versions_are_those_of_what_is_there(send: Send) -> None:
    """One is current; nobody needs a token to read them.

    Not 2.10 and 2.11 (several stores), 2.14, 2.16 and 2.18 (a cache), 2.15 (the
    details of stores) and 2.17 (locations).
    """
    document = send("GET", "/versions", {}, b"").document

    versions = {one["id"]: one["status"] for one in document["versions"]}
    old = ("2.12", *(f"2.{minor}" for minor in range(9, -1, -1)))
    wanted = {"v2.13": "CURRENT", **{f"v{one}": "SUPPORTED" for one in old}}
    assert wanted == versions


@pytest.mark.parametrize(
    "path",
    [
        *("/v1", "/v1/", "/v1/images/", "/v3/images", "/v22"),
        *("/va.1/images", "/va.1/", "/v", "/v2.0/images"),
    ],
)
def test_a_version_that_is_not_there_is_told_those_that_are(
    path: str, send: Send
) -> None:
    """300, with or without a slash at its end."""
    response = send("GET", path, {}, b"")

    assert response.status == 300
    assert response.document == send("GET", "/", {}, b"").document


def test_a_service_that_answers_is_healthy(send: Send) -> None:
    """Without a token."""
    response = send("GET", "/healthcheck", {}, b"")

    assert (response.status, response.body) == (200, b"OK")
    assert response.headers["content-type"].startswith("text/plain")


def test_there_are_no_projects_to_look_up(producer: Actor) -> None:
    """403 lets the `openstack` command take a project's id as it was given."""
    assert producer.get("/v2/tenants/consumer").status == 403
    assert producer.get("/v2/tenants").status == 403


@pytest.mark.parametrize("resource", ["{proxy+}", "{proxy*}"])
@pytest.mark.parametrize("name", ["proxy", "proxy+", "proxy*"])
def test_the_rest_of_a_path_is_known_by_each_of_its_names(
    resource: str, name: str
) -> None:
    """API Gateway and `chalice local` spell the name of `{proxy+}` differently."""
    event = gateway.event(service.app.routes, "GET", "/nowhere/at/all", {}, b"")
    event["requestContext"]["resourcePath"] = f"/{resource}"
    event["pathParameters"] = {name: "nowhere/at/all"}

    assert service.app(event, None)["statusCode"] == 404
