"""The headers of every response, and the URLs in them."""

from dataclasses import replace

import pytest

from chalicelib.api.app import SECURITY_HEADERS
from chalicelib.api.requests import parse_endpoint
from chalicelib.settings import SettingError
from infra.package.template import merged
from tests.actors import Actor, Send
from tests.configuring import configure

WITHOUT_A_TOKEN = ["/", "/versions", "/v2", "/v2/", "/v3", "/healthcheck", "/none"]


def test_what_depends_on_a_token_is_not_stored(
    producer: Actor, image_id: str, send: Send
) -> None:
    """By no cache between the service and the client, and whatever the status."""
    targets = ["/v2/images", f"/v2/images/{image_id}", "/v2/images/none", "/v2/none"]
    targets += ["/v2/schemas/image", f"/v2/images/{image_id}/file", "/ext/v1/none"]
    responses = [producer.get(target) for target in targets]
    responses.append(send("GET", "/v2/images", {}, b""))
    responses.append(producer.ask("PUT", "/v2/images"))

    values = {response.headers.get("cache-control") for response in responses}
    assert values == {"no-store"}
    assert {response.status for response in responses} >= {200, 204, 401, 404, 405}


@pytest.mark.parametrize("target", [*WITHOUT_A_TOKEN, "/v2/images"])
def test_every_response_has_the_headers_that_protect_browsers(
    target: str, send: Send
) -> None:
    """Nothing is sniffed, and later requests are made over https."""
    response = send("GET", target, {}, b"")

    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name.lower()] == value
    if target in WITHOUT_A_TOKEN:
        assert "cache-control" not in response.headers


def test_api_gateway_sends_the_same_headers_by_itself() -> None:
    """Also with what never reaches the function."""
    body = merged("prod")["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]

    for response in body["x-amazon-apigateway-gateway-responses"].values():
        for name, value in SECURITY_HEADERS.items():
            header = response["responseParameters"][f"gatewayresponse.header.{name}"]
            assert header == f"'{value}'"


@pytest.mark.parametrize("endpoint", ["https://cloud.example.org/image", ""])
def test_urls_are_those_of_the_public_endpoint(
    endpoint: str, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its path, whatever a client says the host is; without it, as it said."""
    configure(monkeypatch, public_endpoint=f"{endpoint}/".lstrip("/"))
    forged = replace(producer, headers={"Host": "forged.example.org"})

    created = forged.post("/v2/images", {})
    versions = forged.get("/versions").document["versions"]

    api = endpoint or "http://forged.example.org"
    image_id = created.document["id"]
    assert created.headers["location"] == f"{api}/v2/images/{image_id}"
    links = {version["links"][0]["href"] for version in versions}
    assert links == {f"{api}/v2/"}


@pytest.mark.parametrize(
    "endpoint", ["images.example.org", "https://a/?b", "https://a/v2", "ftp://a"]
)
def test_a_wrong_public_endpoint_ends_the_start(endpoint: str) -> None:
    """The message says what it must be."""
    with pytest.raises(SettingError, match="PUBLIC_ENDPOINT must be the URL of the"):
        parse_endpoint(endpoint)
