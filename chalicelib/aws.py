"""The botocore session and its clients, each made on first use and shared by threads.

PynamoDB makes DynamoDB's client, from this session.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ReadTimeoutError
from botocore.session import Session, get_session

from chalicelib import aws_requests, aws_signing, deadline
from chalicelib.aws_answers import Parsers
from chalicelib.aws_attempts import Attempts
from chalicelib.aws_http import Connections

_made: dict[tuple[str, str | None], Any] = {}
_making = Lock()


class DeadlineError(BotoCoreError):  # type: ignore[misc] # botocore has no types
    """The time of the request was over before a call; botocore does not retry it."""

    fmt = "The time of the request is over."


@cache
def session() -> Session:
    """Return the session of the process.

    Made on first use: the embedded AWS of a local run has to be imported before it.
    """
    made = get_session()
    made.register_component("response_parser_factory", Parsers())
    # Else botocore writes one for each request, of the features that the call uses.
    made.set_default_client_config(Config(user_agent="cloud-images"))
    return made


def speed_up(client: Any) -> Connections:  # noqa: ANN401 - botocore's own
    """Let a client of DynamoDB do less work for each request; return its connections.

    By botocore's events: it signs with a kept key, and sends over connections of ours.
    """
    ca_file = session().get_config_variable("ca_bundle")
    ca_file = os.environ.get("REQUESTS_CA_BUNDLE") if ca_file is None else ca_file
    bound = keep_deadline(client)
    events = client.meta.events
    aws_requests.register(events)
    events.register("choose-signer.dynamodb", lambda **_: aws_signing.NAME)
    connections = Connections(client, ca_file)
    attempts = Attempts(bound, connections.send)
    # After whatever else there is before a call.
    events.register_last("before-call", attempts.make_first)
    events.register("before-send.dynamodb", attempts.send)
    return connections


def client(service: str, region: str | None = None, **options: Any) -> Any:  # noqa: ANN401 - botocore's own
    """Return the client of a service; botocore's *options* apply when it is made."""
    with _making:
        if (service, region) not in _made:
            retries = {"mode": "standard", "total_max_attempts": 3}
            timeouts = {"connect_timeout": 2, "read_timeout": 5}
            config = Config(**{"retries": retries, **timeouts, **options})
            made = session().create_client(service, region_name=region, config=config)
            keep_deadline(made)
            http_session = made._endpoint.http_session  # noqa: SLF001 - it has no public name
            http_session.send = partial(_send, http_session)
            _made[service, region] = made
        return _made[service, region]


def keep_deadline(client: Any) -> Callable[..., None]:  # noqa: ANN401 - botocore's own
    """Bound each attempt of a client's calls by what is left of the request's time.

    Return what bounds a *request*.
    """
    bound = partial(_bound, client.meta.config.read_timeout)
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"before-send.{service}", bound)
    return bound


def _bound(read_timeout: float, request: Any, **_: Any) -> None:  # noqa: ANN401 - botocore's own
    left = deadline.seconds_left()
    if left <= 0:
        raise DeadlineError
    request.context["read_timeout"] = min(read_timeout, left)


def _send(http_session: Any, request: Any) -> Any:  # noqa: ANN401 - botocore's own
    """Send a request as botocore's session does, but all of it before the deadline."""
    send = partial(type(http_session).send, http_session, request)
    try:
        return deadline.call_within(deadline.seconds_left(), send)
    except TimeoutError as exc:
        raise ReadTimeoutError(endpoint_url=request.url, error=exc) from exc
