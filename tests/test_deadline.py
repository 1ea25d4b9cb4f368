"""A request's calls share its time: what is left is what the next one gets."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib import aws, deadline
from chalicelib.api.app import App, install
from chalicelib.api.requests import ANY_TYPE
from chalicelib.domain.caller import Caller
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.development import identify_in_development
from chalicelib.identity.http_client import UpstreamError, new_deadline, send_request
from chalicelib.store import dynamodb, objects
from tests.actors import Actor, in_process
from tests.aws.wire import DRIP, SILENCE, Server, client, without_backoff

SECONDS = 0.5
FAR_TOO_LONG = 4.5
"""Less than what a slow server takes, in seconds."""

NO_S3 = "The store of images' data is unavailable; retry."
NO_DYNAMODB = "The database is unavailable; retry."


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nX-Name: "
FAULTS = {
    "silent": SILENCE,
    "drips its headers": DRIP + HEAD + b"x" * 999,
    "drips its body": DRIP + HEAD + b"\r\n\r\n" + b" " * 999,
}


@pytest.fixture(params=FAULTS)
def slow(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that takes requests, and sends no whole response in time."""
    with Server([FAULTS[request.param]] * 9) as server, without_backoff():
        yield server


@pytest.fixture
def silent() -> Iterator[Server]:
    """A server that takes requests, and sends no response."""
    with Server([SILENCE] * 9) as server, without_backoff():
        yield server


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server whose name is looked up without an end."""
    ended = threading.Event()
    find = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "localhost":
            ended.wait(10)
        return find(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with without_backoff():
        yield "http://localhost:9"
    ended.set()


def assert_unavailable(response: Any, message: str) -> None:
    """See that a client is told to come back."""
    detail = response.document.get("message", response.document.get("detail"))
    assert (503, message) == (response.status, detail)
    assert response.headers["retry-after"] == "1"


def begin_in(url: str, producer: Actor, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begin a direct upload in an S3 at a URL; return the response."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    monkeypatch.setattr(aws, "_made", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    objects._client()  # noqa: SLF001 - making it takes a part of the time
    monkeypatch.setattr(deadline, "REQUEST_SECONDS", SECONDS)
    begun = time.monotonic()
    response = producer.post(f"/ext/v1/images/{image_id}/uploads", {"size": 5})
    assert time.monotonic() - begun < FAR_TOO_LONG
    return response


def show_from(url: str, producer: Actor, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Show an image of a DynamoDB at a URL; return the response."""
    monkeypatch.setattr(deadline, "REQUEST_SECONDS", SECONDS)
    begun = time.monotonic()
    with client(url) as made, monkeypatch.context() as patched:
        patched.setattr(dynamodb.connection.connection, "_client", made)
        response = producer.get(f"/v2/images/{'0' * 8}-0000-4000-8000-{'0' * 12}")
    assert time.monotonic() - begun < FAR_TOO_LONG
    return response


@pytest.mark.parametrize(
    ("ask", "message"),
    [(begin_in, NO_S3), (show_from, NO_DYNAMODB)],
    ids=["s3", "dynamodb"],
)
def test_a_slow_server_is_asked_once(
    *,
    ask: Callable[[str, Actor, pytest.MonkeyPatch], Any],
    message: str,
    producer: Actor,
    slow: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first attempt takes all the time; nothing retries without time."""
    response = ask(slow.url, producer, monkeypatch)

    assert_unavailable(response, message)
    assert len(slow.requests) == 1


def test_a_name_that_is_not_found_in_time_is_unavailable(
    producer: Actor, nameless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timeout of a socket bounds its look-up."""
    with monkeypatch.context() as patched:
        assert_unavailable(begin_in(nameless, producer, patched), NO_S3)
    assert_unavailable(show_from(nameless, producer, monkeypatch), NO_DYNAMODB)


def test_what_the_identity_takes_is_gone_for_dynamodb(
    silent: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline for both."""
    timeouts: list[float] = []

    def note(request_dict: Any, **_: Any) -> None:
        timeouts.append(request_dict["context"]["read_timeout"])

    def show(image_id: str) -> Any:
        return dynamodb.get_item((image_id, "IMAGE"))

    def identify(incoming: Incoming) -> Caller:
        ends = min(new_deadline(), time.monotonic() + 0.3)
        with pytest.raises(UpstreamError):
            send_request("GET", silent.url, headers={}, deadline=ends)
        return identify_in_development(incoming)

    service = App(app_name="slow")
    service.route("/v2/images/{image_id}", content_types=ANY_TYPE)(show)
    install(service, identify)
    monkeypatch.setattr(deadline, "REQUEST_SECONDS", SECONDS)
    with client(silent.url) as made, monkeypatch.context() as patched:
        made.meta.events.register("needs-retry.dynamodb", note)
        patched.setattr(dynamodb.connection.connection, "_client", made)
        response = Actor(in_process(service), "producer").get("/v2/images/none")

    assert response.status == 503
    assert timeouts
    assert all(timeout <= SECONDS - 0.3 for timeout in timeouts)


def test_the_identity_gets_what_is_left() -> None:
    """And never more than its own bound."""
    with deadline.within(3):
        assert new_deadline() <= time.monotonic() + 3
    with deadline.within(60):
        assert new_deadline() <= time.monotonic() + 8


def test_calls_in_parallel_have_the_same_deadline() -> None:
    """Those in other threads, too; where nothing ends, neither do they."""
    with deadline.within(3):
        bounded = dynamodb.in_parallel(*[deadline.seconds_left] * 3)
    unbounded = dynamodb.in_parallel(*[deadline.seconds_left] * 3)

    assert max(bounded) <= 3
    assert min(unbounded) == float("inf")
