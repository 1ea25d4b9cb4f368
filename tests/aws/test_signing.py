"""The service's signer and botocore's, on the same requests."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from chalicelib.aws_signing import KeptKeyAuth

TARGET = {"X-Amz-Target": "DynamoDB_20120810.Query", "User-Agent": "a  b"}
REQUESTS: dict[str, dict[str, Any]] = {
    "of DynamoDB": {"url": "https://dynamodb.us-east-1.amazonaws.com/"},
    "with the usual port": {"url": "https://dynamodb.us-east-1.amazonaws.com:443/"},
    "with a port": {"url": "http://127.0.0.1:8000/"},
    "without a path": {"url": "http://LOCALHOST:80"},
    "of IPv6": {"url": "http://[::1]:8000/"},
    "with a path": {"url": "https://example.org/a b/"},
    "with a query": {"url": "https://example.org/?b=2&a=1"},
    "with parameters": {"url": "https://example.org/", "params": {"a": "b c"}},
    "with a date": {"url": "https://example.org/", "headers": {"Date": "today"}},
    "with its own hash": {
        "url": "https://example.org/",
        "headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
    },
    "signed before": {
        "url": "https://example.org/",
        "headers": {
            "Authorization": "old",
            "X-Amz-Date": "old",
            "X-Amz-Security-Token": "old",
        },
    },
    "with spaces": {"url": "https://example.org/", "headers": {"X-A": " a   b "}},
    "without a body": {"url": "https://example.org/", "data": b""},
    "with text": {"url": "https://example.org/", "data": "ÅÄÖ"},
}
TIMES = (datetime(2026, 11, 28, 23, 59, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC))


def _signed(signer: type[SigV4Auth], given: dict[str, Any], token: str | None) -> Any:
    request = AWSRequest(
        "POST",
        **{"data": b"{}", **given, "headers": {**TARGET, **given.get("headers", {})}},
    )
    credentials = ReadOnlyCredentials("key", f"secret of {token}", token)
    signer(credentials, "dynamodb", "us-east-1").add_auth(request)
    return sorted(request.headers.items()), request.context


@pytest.mark.parametrize("token", [None, "token"])
@pytest.mark.parametrize("request_of", REQUESTS)
def test_a_signature_is_botocores(
    request_of: str, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after midnight, with credentials that change."""
    given = REQUESTS[request_of]
    for now in TIMES:
        monkeypatch.setattr("botocore.auth.get_current_datetime", now.replace)
        ours, botocores = (
            _signed(signer, given, token) for signer in (KeptKeyAuth, SigV4Auth)
        )
        assert botocores == ours


def test_a_request_without_credentials_fails_as_botocores() -> None:
    """It is not sent without a signature."""
    request = AWSRequest("POST", url="https://example.org/", data=b"{}")

    with pytest.raises(Exception, match="Unable to locate credentials"):
        KeptKeyAuth(None, "dynamodb", "us-east-1").add_auth(request)
