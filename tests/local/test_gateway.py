"""Events as API Gateway makes them, and answers as it sends them."""

import base64
import json
from typing import Any

import pytest

from infra.local import gateway

ROUTES = [
    "/",
    "/v2/images",
    "/v2/images/{image_id}",
    "/v2/images/{image_id}/members/{member_id}",
    "/v2/{name}/latest",
    "/{proxy+}",
]


def event(target: str, **given: Any) -> dict[str, Any]:
    """Make an event for a GET without headers and body, or with those given."""
    headers, body = given.pop("headers", {}), given.pop("body", b"")
    return gateway.event(ROUTES, "GET", target, headers, body, **given)


@pytest.mark.parametrize(
    ("path", "route", "parameters"),
    [
        ("/", "/", {}),
        ("/v2/images", "/v2/images", {}),
        ("/v2/images/", "/v2/images", {}),
        ("/v2/images/1", "/v2/images/{image_id}", {"image_id": "1"}),
        ("/v2/images/latest", "/v2/images/{image_id}", {"image_id": "latest"}),
        ("/v2/kernels/latest", "/v2/{name}/latest", {"name": "kernels"}),
        (
            "/v2/images/1/members/a%2Fb%20c",
            "/v2/images/{image_id}/members/{member_id}",
            {"image_id": "1", "member_id": "a%2Fb%20c"},
        ),
        ("/v2/images/1/members", "/{proxy+}", {"proxy": "v2/images/1/members"}),
        ("/v2/images//members/2", "/{proxy+}", {"proxy": "v2/images//members/2"}),
        ("/V2/images", "/{proxy+}", {"proxy": "V2/images"}),
        ("/a", "/{proxy+}", {"proxy": "a"}),
    ],
)
def test_a_path_belongs_to_its_most_specific_route(
    path: str, route: str, parameters: dict[str, str]
) -> None:
    """Static segments beat parameters, both beat `{proxy+}`; nothing is decoded."""
    assert gateway.match(ROUTES, path) == (route, parameters)


def test_a_path_of_no_route_has_no_event() -> None:
    """API Gateway answers such a request by itself."""
    with pytest.raises(gateway.NoResourceError):
        gateway.event(["/v2/images"], "GET", "/v3", {}, b"")


def test_a_path_is_handed_over_as_sent() -> None:
    """Neither `path` nor the parameters lose their percent-encoding or final slash."""
    made = event("/v2/images/a%2Fb/?limit=1")

    assert made["resource"] == "/v2/images/{image_id}"
    assert made["path"] == "/v2/images/a%2Fb/"
    assert made["pathParameters"] == {"image_id": "a%2Fb"}
    assert made["requestContext"]["resourcePath"] == "/v2/images/{image_id}"
    assert made["requestContext"]["path"] == "/v2/images/a%2Fb/"


def test_the_query_is_decoded() -> None:
    """Each key has all its values in one place, and the last one in another."""
    made = event("/v2/images?tag=a%20b&tag=c+d&name=%C3%A9&owner=&hidden")

    assert made["multiValueQueryStringParameters"] == {
        "tag": ["a b", "c d"],
        "name": ["é"],
        "owner": [""],
        "hidden": [""],
    }
    assert made["queryStringParameters"] == {
        "tag": "c d",
        "name": "é",
        "owner": "",
        "hidden": "",
    }


def test_what_is_empty_is_null() -> None:
    """No query, no parameters, no body: None, never an empty thing."""
    made = event("/v2/images?")

    assert made["queryStringParameters"] is None
    assert made["multiValueQueryStringParameters"] is None
    assert made["pathParameters"] is None
    assert made["stageVariables"] is None
    assert made["body"] is None


def test_a_repeated_header_keeps_every_value() -> None:
    """All values are in one place, the last one in another, names as sent."""
    made = event("/", headers=[("X-Tag", "a"), ("Accept", "*/*"), ("X-Tag", "b")])

    assert made["multiValueHeaders"] == {"X-Tag": ["a", "b"], "Accept": ["*/*"]}
    assert made["headers"] == {"X-Tag": "b", "Accept": "*/*"}


def test_some_headers_reach_no_function_and_some_no_client() -> None:
    """Those that API Gateway itself is in charge of, and the challenge of a 401."""
    made = event("/", headers=[("Content-MD5", "x"), ("Expect", "y"), ("Range", "z")])
    names = ["Content-Type", "WWW-Authenticate", "date"]
    response = {"statusCode": 401, "headers": dict.fromkeys(names, "v")}

    _, pairs, _ = gateway.response_of(response)

    assert made["headers"] == {"Range": "z"}
    assert [name for name, _ in pairs] == [
        *("Content-Type", "x-amzn-Remapped-WWW-Authenticate"),
        *("x-amzn-Remapped-date", "WWW-Authenticate"),
    ]


@pytest.mark.parametrize(
    ("media_type", "body", "text", "is_base64"),
    [
        ("application/json", '{"name": "é"}'.encode(), '{"name": "é"}', False),
        ("application/json", b"\xff", "/w==", True),
        ("application/octet-stream", b"text", "dGV4dA==", True),
        ("application/octet-stream", b"", None, False),
    ],
)
def test_only_text_is_handed_over_as_text(
    media_type: str, body: bytes, text: str | None, *, is_base64: bool
) -> None:
    """A body of a binary media type, or one that is no UTF-8, comes in base64."""
    made = event("/", headers={"content-type": media_type}, body=body)

    assert (made["body"], made["isBase64Encoded"]) == (text, is_base64)


def test_the_context_tells_where_a_request_comes_from() -> None:
    """Its source, stage, host and method are there, and an id of its own."""
    headers = {"Host": "images.example:8000", "User-Agent": "curl/8"}
    first = event("/", headers=headers, source_ip="192.0.2.1")["requestContext"]
    second = event("/", headers=headers)["requestContext"]

    assert first["identity"] == {"sourceIp": "192.0.2.1", "userAgent": "curl/8"}
    assert first["stage"] == "api"
    assert first["httpMethod"] == "GET"
    assert first["domainName"] == "images.example"
    assert first["requestId"] != second["requestId"]


@pytest.mark.parametrize(
    ("target", "path"), [("/api/v2/images", "/v2/images"), ("/api", "/")]
)
def test_a_prefix_stands_in_the_context_alone(target: str, path: str) -> None:
    """A stage or a domain may put something before the paths that the API knows."""
    made = event(target, prefix="/api")

    assert made["path"] == path
    assert made["requestContext"]["path"] == target


@pytest.mark.parametrize("target", ["/v2/images", "/apis/v2/images", "*"])
def test_a_path_outside_the_prefix_has_no_event(target: str) -> None:
    """Such a request never reaches the API."""
    with pytest.raises(gateway.NoResourceError):
        event(target, prefix="/api")


def test_an_event_is_json() -> None:
    """It goes over the wire to Lambda and comes out the same."""
    made = event("/v2/images/1?tag=a", headers={"Accept": "*/*"}, body=b"\xff")

    assert json.loads(json.dumps(made)) == made


def test_an_answer_has_every_header() -> None:
    """Headers of one value and of many stand side by side; where both, the many win."""
    result = {
        "statusCode": "200",
        "headers": {"X-One": 1, "Set-Cookie": "no"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": "é",
    }

    assert gateway.response_of(result) == (
        200,
        [("X-One", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        "é".encode(),
    )


def test_an_answer_in_base64_is_bytes() -> None:
    """A binary answer is sent as what it stands for."""
    body = base64.b64encode(b"\xff\x00").decode()
    result = {"statusCode": 200, "body": body, "isBase64Encoded": True}

    assert gateway.response_of(result) == (200, [], b"\xff\x00")


def test_an_answer_may_be_empty() -> None:
    """A status is all that a response needs."""
    assert gateway.response_of({"statusCode": 204, "body": None}) == (204, [], b"")
