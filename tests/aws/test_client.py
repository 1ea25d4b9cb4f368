"""The service's client of DynamoDB and botocore's own, on the same bytes."""

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from tests.aws.wire import (
    CLOSE,
    SILENCE,
    Server,
    answer,
    client,
    outcome,
    without_backoff,
)
from tests.sources.test_connections import certificate

ITEM = {
    "pk": {"S": "IMAGE#6b1f"},
    "sk": {"S": "ÅÄÖ 😀 \u0000"},
    "size": {"N": "9223372036854775807"},
    "os_hidden": {"BOOL": False},
    "none": {"NULL": True},
    "tags": {"L": [{"S": "lts"}, {"M": {"": {"N": "1.5"}}}]},
    "names": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "empty": {"M": {}},
}
KEY = {"pk": ITEM["pk"], "sk": ITEM["sk"]}
UNITS = {"TableName": "t", "CapacityUnits": 1.5}
ASKED: dict[str, Any] = {
    "batch_get_item": {"RequestItems": {"t": {"Keys": [KEY], "ConsistentRead": True}}},
    "batch_write_item": {"RequestItems": {"t": [{"DeleteRequest": {"Key": KEY}}]}},
    "put_item": {"TableName": "t", "Item": ITEM},
    "query": {
        "TableName": "t",
        "KeyConditionExpression": "#0 = :0",
        "ExpressionAttributeNames": {"#0": "pk"},
        "ExpressionAttributeValues": {":0": {"S": "ÅÄÖ"}},
    },
    "transact_write_items": {
        "TransactItems": [{"Put": {"TableName": "t", "Item": ITEM}}],
        "ClientRequestToken": "token",
    },
    "update_item": {
        "TableName": "t",
        "Key": KEY,
        "UpdateExpression": "SET #0 = :0",
        "ExpressionAttributeNames": {"#0": "name"},
        "ExpressionAttributeValues": {":0": {"S": "x"}},
        "ReturnValues": "ALL_NEW",
    },
}
ANSWERED: dict[str, Any] = {
    "batch_get_item": {
        "Responses": {"t": [ITEM, ITEM]},
        "UnprocessedKeys": {"t": {"Keys": [KEY], "ConsistentRead": True}},
        "ConsumedCapacity": [UNITS],
    },
    "batch_write_item": {
        "UnprocessedItems": {"t": [{"DeleteRequest": {"Key": KEY}}]},
        "ConsumedCapacity": [UNITS],
    },
    "put_item": {"ConsumedCapacity": UNITS},
    "query": {
        "Items": [ITEM, {}],
        "Count": 2,
        "ScannedCount": 3,
        "LastEvaluatedKey": KEY,
        "ConsumedCapacity": UNITS,
    },
    "transact_write_items": {"ConsumedCapacity": [UNITS]},
    "update_item": {"Attributes": ITEM, "ConsumedCapacity": UNITS},
}
PREFIX = "com.amazonaws.dynamodb.v20120810#"
CORAL = "com.amazon.coral.service#"


def refusal(code: str, status: str = "400 Bad Request", **more: Any) -> bytes:
    """Return an error as DynamoDB sends it."""
    return answer({"__type": code, "message": "No.", **more}, status)


GOOD = answer(ANSWERED["query"])
ERRORS = {
    "condition": refusal(f"{PREFIX}ConditionalCheckFailedException", Item=ITEM),
    "validation": refusal(f"{CORAL}ValidationException"),
    "signature": refusal(f"{CORAL}InvalidSignatureException"),
    "skewed clock": refusal(f"{CORAL}RequestExpired"),
    "expired token": refusal(f"{CORAL}ExpiredTokenException"),
    "denied": refusal(f"{CORAL}AccessDeniedException", Message="Not you."),
    "missing table": refusal(f"{PREFIX}ResourceNotFoundException"),
    "conflict": refusal(f"{PREFIX}TransactionConflictException"),
    "cancelled": refusal(
        f"{PREFIX}TransactionCanceledException",
        Message="[None, ConditionalCheckFailed]",
        CancellationReasons=[
            {"Code": "None"},
            {"Code": "ConditionalCheckFailed", "Message": "No.", "Item": ITEM},
        ],
    ),
    "unknown code": refusal("SomethingNew"),
    "no code": answer({"message": "No."}, "400 Bad Request"),
    "no JSON": answer(b"no", "400 Bad Request"),
    "empty": answer(b"", "400 Bad Request"),
    "too large": answer(b"", "413 Request Entity Too Large"),
    "moved": answer(b"", "307 Temporary Redirect", Location="http://127.0.0.1/"),
}
"""Errors that botocore does not retry."""

RETRIED = {
    "throttled": refusal(f"{PREFIX}ProvisionedThroughputExceededException"),
    "throttled request": refusal(f"{CORAL}ThrottlingException"),
    "limited": refusal(f"{PREFIX}RequestLimitExceeded"),
    "in progress": refusal(f"{PREFIX}TransactionInProgressException"),
    "internal": refusal(f"{PREFIX}InternalServerError", "500 Internal Server Error"),
    "unavailable": answer(b"", "503 Service Unavailable"),
    "page": answer(b"<html><body>Http/1.1 Service Unavailable</body></html>", "502 x"),
    "gateway": answer(b"late", "504 Gateway Timeout"),
    "checksum": answer(ANSWERED["query"], x_amz_crc32="1"),
    "closed": CLOSE,
    "no HTTP": b"nonsense\r\n\r\n" + CLOSE,
    "no status": b"HTTP/1.1 abc OK\r\n\r\n" + CLOSE,
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"
    + CLOSE,
}
"""What botocore retries."""

_JSON = json.dumps(ANSWERED["query"]).encode()
FRAMES = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (_JSON[:9], _JSON[9:]))
    + b"0\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\n\r\n" + _JSON + CLOSE,
    "HTTP/1.0": GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0, the last": answer(ANSWERED["query"], Connection="").replace(
        b"HTTP/1.1", b"HTTP/1.0"
    )
    + CLOSE,
    "the last": answer(ANSWERED["query"], Connection="close") + CLOSE,
    "a header twice": answer(ANSWERED["query"], Via="1.1 a\r\nVia: 1.1 b"),
    "a folded header": answer(ANSWERED["query"], Via="1.1 a,\r\n 1.1 b"),
    "a header without space": GOOD.replace(b": ", b":", 7),
    "no phrase": GOOD.replace(b"200 OK", b"200"),
    "without body": b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
    "first to continue": b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
    "no checksum": answer(ANSWERED["query"], x_amz_crc32=""),
    "large": answer({**ANSWERED["query"], "Items": [ITEM] * 3_000}),
    "no JSON": answer(b"{"),
    "nothing": answer(b""),
}
"""Responses in other forms than DynamoDB's usual one."""


def both(responses: list[bytes], operation: str = "query", times: int = 1) -> list[Any]:
    """Return the outcomes of calls by each client, and how many requests it sent."""
    results = []
    for is_ours in (False, True):
        with Server(responses) as server, without_backoff():
            with client(server.url, is_ours=is_ours) as made:
                asked = ASKED[operation]
                got = [outcome(made, operation, asked) for _ in range(times)]
            results.append((got, len(server.requests)))
    return results


@pytest.mark.parametrize("operation", ASKED)
def test_a_response_is_parsed_as_botocore_parses_it(operation: str) -> None:
    """Of each operation that the service calls."""
    botocores, ours = both([answer(ANSWERED[operation])], operation)

    assert botocores == ours
    assert ours[0][0]["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_botocores(error: str) -> None:
    """Its class, its message, its fields; it is not retried."""
    botocores, ours = both([ERRORS[error], GOOD], "update_item")

    assert botocores == ours
    assert ours[1] == 1


@pytest.mark.parametrize("failure", RETRIED)
def test_a_failure_is_retried_as_botocore_retries_it(failure: str) -> None:
    """Once it is over, the call succeeds; where it lasts, three attempts are made."""
    botocores, ours = both([RETRIED[failure], GOOD])
    assert botocores == ours
    assert ours[1] == 2

    botocores, ours = both([RETRIED[failure]] * 3)
    assert botocores == ours
    assert ours[1] == 3


@pytest.mark.parametrize("frame", FRAMES)
def test_a_response_in_another_frame_is_read_as_botocore_reads_it(frame: str) -> None:
    """And so is the next one on the same connection, or on a new one."""
    botocores, ours = both([FRAMES[frame], GOOD], times=2)

    assert botocores == ours


@pytest.mark.parametrize("length", [-9, 24])
def test_a_response_cut_short_is_retried(length: int) -> None:
    """Botocore would take it for whole where it got no checksum, or half a head."""
    short = answer(ANSWERED["query"], x_amz_crc32="")[:length] + CLOSE
    _, (got, attempts) = both([short, GOOD])

    assert got[0]["Count"] == 2
    assert attempts == 2


def test_a_response_that_does_not_come_is_asked_for_again() -> None:
    """After the read timeout."""
    results = []
    for is_ours in (False, True):
        with (
            Server([SILENCE] * 3) as server,
            client(server.url, is_ours=is_ours, read_timeout=0.1) as made,
            without_backoff(),
        ):
            results.append(outcome(made, "query", ASKED["query"]))
            assert len(server.requests) == 3

    assert results == [ReadTimeoutError, ReadTimeoutError]


def test_a_connection_is_kept() -> None:
    """One connection takes all that is sent one after another."""
    with Server([GOOD] * 3) as server, client(server.url) as made:
        for _ in range(3):
            made.query(**ASKED["query"])

    assert (len(server.requests), server.connections) == (3, 1)


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """The request goes over a new one, and is no retry."""
    with Server([GOOD + CLOSE, GOOD]) as server, client(server.url) as made:
        made.query(**ASKED["query"])
        server.closed.wait(5)
        second = made.query(**ASKED["query"])

    assert second["ResponseMetadata"]["RetryAttempts"] == 0
    assert (len(server.requests), server.connections) == (2, 2)


def _fail_to_resolve(*_: Any, **__: Any) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _fail_to_connect(*_: Any, **__: Any) -> NoReturn:
    raise TimeoutError


@pytest.mark.parametrize(
    ("broken", "raised"),
    [
        (None, EndpointConnectionError),
        (_fail_to_resolve, EndpointConnectionError),
        (_fail_to_connect, ConnectTimeoutError),
    ],
)
def test_a_connection_that_fails_fails_as_botocores(
    broken: Any, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, nobody knows the name, nobody answers."""
    if broken:
        connect = "urllib3.connection.connection.create_connection"
        monkeypatch.setattr(connect, broken)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    results = []
    for is_ours in (False, True):
        url = f"http://127.0.0.1:{port}"
        with client(url, is_ours=is_ours) as made, without_backoff():
            results.append(outcome(made, "query", ASKED["query"]))

    assert results == [raised, raised]


@pytest.mark.parametrize(
    ("host", "is_trusted", "wanted"),
    [("localhost", True, 1), ("127.0.0.1", True, 0), ("localhost", False, 0)],
)
def test_tls_trusts_whom_botocore_trusts(
    host: str,
    is_trusted: bool,  # noqa: FBT001 - a row
    wanted: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate of a CA in AWS_CA_BUNDLE, for the name of the endpoint."""
    trusted, tls = certificate(tmp_path)
    if is_trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    results = []
    for is_ours in (False, True):
        with Server([GOOD] * 3, tls) as server, without_backoff():
            url = f"https://{host}:{server.port}"
            with client(url, is_ours=is_ours) as made:
                results.append(outcome(made, "query", ASKED["query"]))
            assert len(server.requests) == wanted

    assert results[0] == results[1]
    assert wanted or results[1] is SSLError


def test_a_request_is_signed_and_sent_as_by_botocore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes, but for the order of headers and of the user agent's features.

    A first attempt has no number, nor what names its call; a second one has both.
    """
    now = datetime(2026, 11, 28, 7, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)
    monkeypatch.setattr("botocore.endpoint.uuid.uuid4", lambda: "an-id")
    sent: list[list[bytes]] = []
    for is_ours in (False, True):
        for operation, asked in ASKED.items():
            responses = [RETRIED["unavailable"], answer(ANSWERED[operation])]
            with Server(responses) as server, without_backoff():
                with client(server.url, is_ours=is_ours) as made:
                    made.meta.events.register("before-sign", _forget_port)
                    outcome(made, operation, asked)
                sent += map(_without_host, server.requests)
    half = 2 * len(ASKED)
    numbered = [
        [line for line in one if line.startswith(b"amz-sdk-")] for one in sent[:half]
    ]

    for one, ours, its_number in zip(sent[:half], sent[half:], numbered, strict=True):
        is_first = b"amz-sdk-request: attempt=1; max=3" in its_number
        assert ours == [line for line in one if not is_first or line not in its_number]
    assert all(len(its_number) == 2 for its_number in numbered)
    assert all(any(line.startswith(b"Authorization") for line in one) for one in sent)


def _forget_port(request: Any, **_: Any) -> None:
    """Sign for one host, whatever the port."""
    request.headers["Host"] = "dynamodb"


def _without_host(request: bytes) -> list[bytes]:
    lines = request.split(b"\r\n")
    return sorted(line for line in lines if not line.startswith((b"Host: 1", b"User-")))


def test_a_proxy_is_botocores_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own session sends then, to the proxy."""
    with Server([GOOD]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        with client("http://localhost:1") as made:
            got = made.query(**ASKED["query"])

    assert got["Count"] == 2
    assert proxy.requests[0].startswith(b"POST http://localhost:1/ ")
