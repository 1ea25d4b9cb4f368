"""A small app behind the local HTTP server: what reaches it, and what comes back."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from chalice.app import Chalice, Response

from infra.local import server
from tests import actors
from tests.actors import Send, over_http
from tests.error_page import ERROR_PAGE, ERROR_TYPE

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
JSON = {"Accept": "application/json"}


def echo_app() -> Chalice:
    """Make an app that returns each request that it gets."""
    app = Chalice("echo")

    @app.route("/echo/{name}", methods=METHODS, content_types=["*/*"])
    def echo(name: str) -> Response:
        time.sleep(0.001)  # Let the other threads in.
        request = app.current_request
        assert request is not None
        echoed = {
            "name": name,
            "method": request.method,
            "path": request.context["path"],
            "query": dict(request.query_params or {}),
            "headers": dict(request.headers),
            "body": len(request.raw_body),
        }
        return Response(json.dumps(echoed), headers={"X-Name": name})

    @app.route("/nothing")
    def nothing() -> Response:
        return Response("", headers={}, status_code=HTTPStatus.NO_CONTENT)

    @app.route("/crash")
    def crash() -> Response:
        return Response({"at": datetime.now(UTC)})

    return app


@pytest.fixture
def url() -> Iterator[str]:
    """The address of the small app."""
    with server.serve(echo_app()) as address:
        yield address


@pytest.fixture
def send(url: str) -> Send:
    """Call the small app over HTTP."""
    return over_http(url)


def connect(url: str) -> http.client.HTTPConnection:
    """Open a connection that is kept between requests."""
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)


def refusal(response: actors.Response) -> tuple[int, str, object]:
    """Return the status, media type and document of a refusal."""
    return response.status, response.headers["content-type"], response.document


@pytest.mark.parametrize("method", [one for one in METHODS if one != "HEAD"])
def test_every_method_reaches_the_handler(method: str, send: Send) -> None:
    """The server knows nothing of methods."""
    response = send(method, "/echo/a", {}, b"")

    assert (response.status, json.loads(response.body)["method"]) == (200, method)


def test_a_head_is_answered_without_a_body(url: str) -> None:
    """The next answer on the same connection is whole."""
    connection = connect(url)
    connection.request("HEAD", "/echo/a")
    head = connection.getresponse()
    nothing = head.read()
    connection.request("GET", "/echo/b")
    echoed = json.loads(connection.getresponse().read())
    connection.close()

    assert (head.status, head.headers["X-Name"], nothing) == (200, "a", b"")
    assert int(head.headers["Content-Length"]) > 0
    assert echoed["name"] == "b"


def test_an_answer_may_be_empty(send: Send) -> None:
    """204 has neither body nor length."""
    response = send("GET", "/nothing", {}, b"")

    assert (response.status, response.body) == (204, b"")
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a%2Fb", "a%2Fb"),
        ("a%20b+c", "a%20b+c"),
        ("%C3%A9", "%C3%A9"),
        ("%252F", "%252F"),
    ],
)
def test_a_path_arrives_as_sent(sent: str, name: str, send: Send) -> None:
    """An encoded slash stays encoded, so that it separates nothing."""
    echoed = json.loads(send("GET", f"/echo/{sent}?a%2Fb=c+d", {}, b"").body)

    assert echoed["name"] == name
    assert echoed["path"] == f"/echo/{sent}"
    assert echoed["query"] == {"a/b": "c d"}


def test_a_target_may_name_the_host(send: Send) -> None:
    """A proxy's clients send the whole URL in the request line."""
    target = "/echo/a%2Fb?c=d"
    echoed = json.loads(send("GET", f"http://images.example{target}", {}, b"").body)

    assert (echoed["name"], echoed["query"]) == ("a%2Fb", {"c": "d"})


def test_headers_are_those_that_api_gateway_hands_over(url: str, send: Send) -> None:
    """
    What the client sent, and how it reached the gateway; no one else's word for it.
    """
    parts = urlsplit(url)
    sent = {"X-Auth-Token": "a:b:c", "X-Forwarded-Proto": "https"}
    headers = json.loads(send("GET", "/echo/a", sent, b"").body)["headers"]

    assert headers["x-auth-token"] == "a:b:c"
    assert headers["host"] == parts.netloc
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-port"] == str(parts.port)
    assert headers["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("size", [0, 1, 2_000_000, 4_700_000])
def test_a_body_arrives_whole(size: int, send: Send) -> None:
    """Up to the largest that, in base64, Lambda takes."""
    headers = {"Content-Type": "application/octet-stream"}
    echoed = json.loads(send("PUT", "/echo/a", headers, bytes(size)).body)

    assert echoed["body"] == size


def test_a_chunked_body_arrives_whole(url: str) -> None:
    """As python-glanceclient uploads: nobody says how long it is."""
    connection = connect(url)
    connection.request("PUT", "/echo/a", iter([b"cloud", b" ", b"images" * 100_000]))
    echoed = json.loads(connection.getresponse().read())
    connection.close()

    assert echoed["body"] == 600_006


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("size", [4_720_000, server.BODY_MAX + 1])
def test_a_larger_body_is_refused(url: str, size: int, *, is_chunked: bool) -> None:
    """413, in the form that the client asks for, and the connection lives on."""
    body = b"a" * size if size > server.BODY_MAX else bytes(size)
    connection = connect(url)
    connection.request("PUT", "/echo/a", iter([body]) if is_chunked else body, JSON)
    refused = connection.getresponse()
    document = json.loads(refused.read())
    connection.request("GET", "/echo/a")
    after = connection.getresponse()
    after.read()
    connection.close()

    assert (refused.status, after.status) == (413, 200)
    assert document == {
        "code": "413 Request Entity Too Large",
        "title": "Request Entity Too Large",
        "message": server.TOO_LARGE,
    }


def test_a_crash_is_a_bad_gateway(send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns nothing of it but that it happened; the log tells the rest."""
    as_text, as_json = send("GET", "/crash", {}, b""), send("GET", "/crash", JSON, b"")

    assert refusal(as_text) == (
        502,
        ERROR_TYPE,
        ERROR_PAGE.format(code="502 Bad Gateway", message="Internal server error"),
    )
    assert refusal(as_json) == (
        502,
        "application/json",
        {
            "code": "502 Bad Gateway",
            "title": "Bad Gateway",
            "message": "Internal server error",
        },
    )
    assert as_text.headers["x-openstack-request-id"].startswith("req-")
    assert "TypeError" in caplog.text


def test_a_path_of_no_route_is_forbidden(send: Send) -> None:
    """As API Gateway answers it; an app that wants to has `/{proxy+}`."""
    response = send("GET", "/elsewhere", {}, b"")

    text = ERROR_PAGE.format(
        code="403 Forbidden", message="Missing Authentication Token"
    )
    assert refusal(response) == (403, ERROR_TYPE, text)


def test_a_prefix_is_hidden_from_the_routes() -> None:
    """As behind a stage: the context alone tells the whole path."""
    with server.serve(echo_app(), prefix="/api") as url:
        inside = over_http(url)("GET", "/echo/a", {}, b"")
        outside = over_http(url.removesuffix("/api"))("GET", "/echo/a", {}, b"")

    assert json.loads(inside.body)["path"] == "/api/echo/a"
    assert outside.status == 403


def test_requests_at_the_same_time_never_mix(url: str) -> None:
    """Eight clients, fifty requests each: everyone gets the responses to its own."""

    def talk(client: int) -> list[bool]:
        connection = connect(url)
        own = []
        for number in range(50):
            name = f"{client}-{number}"
            connection.request("GET", f"/echo/{name}", headers={"X-Name": name})
            response = connection.getresponse()
            echoed = json.loads(response.read())
            heard = {
                echoed["name"],
                echoed["headers"]["x-name"],
                response.headers["X-Name"],
            }
            own.append(heard == {name})
        connection.close()
        return own

    with ThreadPoolExecutor(8) as clients:
        responses = list(clients.map(talk, range(8)))

    assert responses == [[True] * 50] * 8


def test_a_request_is_noted_without_its_secrets(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line: method, path, status, time; neither query nor token."""
    send("GET", "/echo/a%1Bb?secret=query", {"X-Auth-Token": "secret:token"}, b"")

    assert capsys.readouterr().err.rpartition(" 200 ")[0] == "GET /echo/a%1Bb"


def test_a_closed_server_is_gone(url: str) -> None:
    """Its port is free again, and connections that were kept open are closed."""
    with server.serve(echo_app()) as other:
        connection = connect(other)
        connection.request("GET", "/echo/a")
        connection.getresponse().read()

    kept = connection.sock
    assert kept is not None
    assert kept.recv(1) == b""
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        connect(other).request("GET", "/echo/a")
    assert over_http(url)("GET", "/echo/a", {}, b"").status == 200
