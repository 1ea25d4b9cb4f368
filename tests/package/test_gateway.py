"""
API Gateway's own events, through the packaged artifact; and what it answers by itself.
"""

import base64
import json
import re
from typing import Any

import pytest

import app as service
from chalicelib.api.app import METHODS
from infra.local import gateway
from tests.actors import Actor
from tests.package.packaged import Lambda, Package, running, through_gateway

TOKEN = {"X-Auth-Token": "someone:producer:member", "Accept": "application/json"}


def call(
    package: Package, function: Lambda, method: str, target: str, **changes: Any
) -> dict[str, Any]:
    """
    Send one event, with some fields replaced; return the function's own result.
    """
    headers = changes.pop("headers", TOKEN)
    prefix = changes.pop("prefix", "")
    event = gateway.event(
        package.paths, method, prefix + target, headers, b"", prefix=prefix
    )
    result: dict[str, Any] = function.call("app.app", event | changes)
    return result


def test_api_gateway_has_every_route_and_method(dev: Package) -> None:
    """
    Those of the API, the others to be refused by us, and all paths that are not there.
    """
    paths = {path: {one.upper() for one in ways} for path, ways in dev.paths.items()}

    assert set(paths) == set(service.app.routes)
    assert {frozenset(ways) for ways in paths.values()} == {frozenset(METHODS)}
    assert "/{proxy+}" in paths


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/nothing/at/all", 404),
        ("PUT", "/v2/images", 405),
        ("OPTIONS", "/v2/images", 405),
        ("HEAD", "/v2/images", 405),
    ],
)
def test_other_paths_and_methods_are_refused_by_us(
    method: str, target: str, status: int, dev: Package, function: Lambda
) -> None:
    """In the forms of our errors, with a request id, and no CORS header."""
    result = call(dev, function, method, target)

    assert result["statusCode"] == status
    names = {name.lower() for name in result["headers"]}
    assert "x-openstack-request-id" in names
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.parametrize("target", ["/", "/versions", "/healthcheck"])
def test_monitors_may_ask_by_head(target: str, dev: Package, function: Lambda) -> None:
    """API Gateway has the method, and the function answers it as GET."""
    asked, got = (call(dev, function, method, target) for method in ("HEAD", "GET"))

    assert asked["statusCode"] == got["statusCode"] in (200, 300)


@pytest.mark.parametrize(("target", "status"), [("/v2/images", 200), ("/no", 404)])
def test_a_page_of_an_allowed_origin_uses_the_api(
    target: str, status: int, dev: Package, aws: str
) -> None:
    """Its browser asks first, on any path; then the page reads the response."""
    page = "https://app.example.org"
    with running(dev.unzipped, aws, CORS_ORIGINS=page) as process:
        send = through_gateway(dev, process)
        question = {"Origin": page, "Access-Control-Request-Method": "GET"}
        asked = send("OPTIONS", target, question, b"")
        response = send("GET", target, TOKEN | {"Origin": page}, b"")

    assert (asked.status, response.status) == (204, status)
    assert asked.headers["access-control-allow-origin"] == page
    assert response.headers["access-control-allow-origin"] == page
    assert "GET" in asked.headers["access-control-allow-methods"]


def test_a_wrong_origin_ends_the_start(dev: Package, aws: str) -> None:
    """And is named."""
    with (
        running(dev.unzipped, aws, CORS_ORIGINS="app.example.org") as process,
        pytest.raises(AssertionError, match="The setting CORS_ORIGINS must be"),
    ):
        process.call("app.app", {})


def test_a_path_comes_as_it_was_sent(dev: Package, function: Lambda) -> None:
    """A tag with a slash, a space and letters beyond ASCII."""
    producer = Actor(through_gateway(dev, function), "producer")
    image_id = producer.make_image(name="ubuntu")

    response = producer.put(f"/v2/images/{image_id}/tags/a%2Fb%20%C3%A9")

    assert response.status == 204
    assert producer.get(f"/v2/images/{image_id}").document["tags"] == ["a/b é"]


def test_a_repeated_key_of_a_query_counts_each_time(
    dev: Package, function: Lambda
) -> None:
    """Although the event also has a form of the query that keeps the last one."""
    producer = Actor(through_gateway(dev, function), "producer-of-tags")
    producer.make_image(name="one", tags=["a"])
    both = producer.make_image(name="both", tags=["a", "b"])

    assert producer.listed("?tag=a&tag=b") == [both]


def test_a_body_may_come_in_base64(dev: Package, function: Lambda) -> None:
    """Data does, byte by byte."""
    content = bytes(range(256))
    producer = Actor(through_gateway(dev, function), "producer")
    image_id = producer.make_image(disk_format="raw", container_format="bare")

    result = call(
        dev,
        function,
        "PUT",
        f"/v2/images/{image_id}/file",
        headers=TOKEN | {"Content-Type": "application/octet-stream"},
        body=base64.b64encode(content).decode(),
        isBase64Encoded=True,
    )

    assert result["statusCode"] == 204
    assert producer.download(image_id).body == content


@pytest.mark.parametrize(
    ("prefix", "host"),
    [
        ("/api", "abc123.execute-api.eu-west-1.amazonaws.com"),
        ("", "images.example.org"),
        ("/images", "cloud.example.org"),
    ],
    ids=["stage", "domain", "base path of a domain"],
)
def test_links_lead_back_to_where_the_client_came_from(
    prefix: str, host: str, dev: Package, function: Lambda
) -> None:
    """Behind a stage, a domain, and a path of a domain."""
    headers = TOKEN | {"Host": host, "X-Forwarded-Proto": "https"}

    result = call(dev, function, "GET", "/versions", prefix=prefix, headers=headers)

    links = re.findall(r'"href": "([^"]+)"', result["body"])
    assert links
    assert {link.partition("/v2")[0] for link in links} == {f"https://{host}{prefix}"}


def test_what_api_gateway_refuses_looks_like_our_refusals(dev: Package) -> None:
    """In both forms, with a request id; a path that is not there is 404."""
    body = dev.resources["RestAPI"]["Properties"]["DefinitionBody"]
    responses: dict[str, Any] = body["x-amazon-apigateway-gateway-responses"]

    sniffing = "gatewayresponse.header.X-Content-Type-Options"
    for kind, response in responses.items():
        header = "gatewayresponse.header.x-openstack-request-id"
        assert response["responseParameters"][header] == "context.requestId"
        assert response["responseParameters"][sniffing] == "'nosniff'"
        forms = response["responseTemplates"]
        assert "error.message" not in forms["text/html"]  # It may repeat the request.
        assert set(forms) == {"application/json", "text/html"}
        filled = forms["application/json"].replace("$context.error.messageString", '""')
        error = json.loads(filled)
        assert set(error) == {"code", "title", "message"}
        if not kind.startswith("DEFAULT"):
            assert error["code"] == f"{response['statusCode']} {error['title']}"
            assert forms["text/html"].startswith(f"<h1>{error['code']}</h1>\n")
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == 404
    assert responses["THROTTLED"]["statusCode"] == 503
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(responses)
    for text in responses["REQUEST_TOO_LARGE"]["responseTemplates"].values():
        for word in ("10 MB", "web-download", "/ext/v1/", "tools/upload"):
            assert word in text


def test_data_is_binary_to_api_gateway(dev: Package) -> None:
    """It would decode other media types as text and damage them."""
    body = dev.resources["RestAPI"]["Properties"]["DefinitionBody"]

    types = body["x-amazon-apigateway-binary-media-types"]
    assert set(types) == gateway.BINARY_TYPES
