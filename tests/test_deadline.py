"""A request's calls share its time: what is left is what the next one gets."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import aws, deadline
from chalicelib.api.app import App, install
from chalicelib.api.requests import ANY_TYPE
from chalicelib.domain.caller import Caller
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.development import identify_in_development
from chalicelib.identity.http_client import UpstreamError, new_deadline, send_request
from chalicelib.store import dynamodb
from tests.actors import Actor, in_process
from tests.aws.wire import SILENCE, Server, client, without_backoff
from tests.scene import CONTENT, error

SECONDS = 1.0


@pytest.fixture
def silent() -> Iterator[Server]:
    """A server that takes requests, and sends no response."""
    with Server([SILENCE] * 9) as server, without_backoff():
        yield server


def assert_unavailable(response: Any, message: str) -> None:
    """See that a client is told to come back."""
    wanted = error(503, "Service Unavailable", message)
    assert wanted == (response.status, response.document)
    assert response.headers["retry-after"] == "1"


def test_a_silent_s3_is_asked_once(
    producer: Actor, silent: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt takes all the time; there is none for another."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    monkeypatch.setattr(aws, "_made", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", silent.url)
    monkeypatch.setattr(deadline, "REQUEST_SECONDS", SECONDS)

    response = producer.upload(image_id, CONTENT)

    message = "The store of images' data is unavailable; retry."
    assert_unavailable(response, message)
    assert len(silent.requests) == 1


def test_a_silent_dynamodb_is_asked_once(
    producer: Actor, silent: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above; neither botocore nor the service retries without time."""
    monkeypatch.setattr(deadline, "REQUEST_SECONDS", SECONDS)
    with client(silent.url) as made, monkeypatch.context() as patched:
        patched.setattr(dynamodb.connection.connection, "_client", made)
        response = producer.get(f"/v2/images/{'0' * 8}-0000-4000-8000-{'0' * 12}")

    assert_unavailable(response, "The database is unavailable; retry.")
    assert len(silent.requests) == 1


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
        ends = min(new_deadline(), time.monotonic() + 0.7)
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
    assert all(timeout <= SECONDS - 0.7 for timeout in timeouts)


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
