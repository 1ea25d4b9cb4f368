"""A parser of DynamoDB's responses that trusts their JSON.

botocore's own walks each response along its model, and copies every attribute of every
item. What DynamoDB sends has the same form already, but for binary attributes and
times, and no item of the table has either. Errors, and other responses than
those of `OPERATIONS`, are botocore's to parse.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from botocore.parsers import ResponseParserFactory

OPERATIONS: Final = frozenset(
    {
        *("BatchGetItem", "BatchWriteItem", "PutItem", "Query", "TransactWriteItems"),
        "UpdateItem",
    }
)
"""The operations of DynamoDB whose responses are trusted; no other service has them."""

_OK: Final = 200


class Parsers(ResponseParserFactory):  # type: ignore[misc] # botocore has no types
    """The session component that makes botocore's parsers."""

    def create_parser(self, protocol_name: str) -> Any:  # noqa: ANN401 - botocore's own
        """Return the parser of a protocol."""
        parser = super().create_parser(protocol_name)
        return _Parser(parser) if protocol_name == "json" else parser


class _Parser:
    """A parser of the protocol `json`, which others than DynamoDB speak as well."""

    def __init__(self, botocores: Any) -> None:  # noqa: ANN401 - botocore's own
        self._botocores = botocores

    def parse(self, response: dict[str, Any], shape: Any) -> dict[str, Any]:  # noqa: ANN401 - botocore's own
        """Parse a response as botocore does."""
        parsed = None
        if response["context"].get("operation_name") in OPERATIONS:
            parsed = parse(
                response["status_code"], response["headers"], response["body"]
            )
        whole: dict[str, Any] = parsed or self._botocores.parse(response, shape)
        return whole


def parse(
    status: int, headers: Mapping[str, str], content: bytes
) -> dict[str, Any] | None:
    """Parse a response of an operation that succeeded; none where botocore has to."""
    if status != _OK:
        return None
    try:
        parsed = json.loads(content)
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    lowered = {name.lower(): value for name, value in headers.items()}
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": lowered}
    if "x-amzn-requestid" in lowered:
        metadata["RequestId"] = lowered["x-amzn-requestid"]
    return parsed | {"ResponseMetadata": metadata}
