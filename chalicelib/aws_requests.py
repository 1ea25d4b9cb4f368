"""Requests of DynamoDB whose parameters are sent as they are.

botocore walks them along its model, to copy them, and looks in them for the name of a
table that might choose an endpoint. A parameter of DynamoDB's is its JSON already, but
for binary attributes, and no item of the table has one; the table is named, not by ARN.
So botocore gets a request without parameters to build, and the body is put in after.
"""

import json
from typing import Any, Final

OPERATIONS: Final = (
    *("BatchGetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"),
)
"""The operations that a request of a client makes."""

_KEPT: Final = "parameters_as_sent"


def register(events: Any) -> None:  # noqa: ANN401 - botocore's own
    """Register with the events of a client."""
    for operation in OPERATIONS:
        events.register(f"provide-client-params.dynamodb.{operation}", _keep)
    # Before whatever else reads the body.
    events.register_first("before-call.dynamodb.*", _write)


def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - botocore's own
    context[_KEPT] = params
    # The rules of a batch's endpoint ask for the names of its tables.
    return {"RequestItems": {}} if "RequestItems" in params else {}


def _write(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - botocore's own
    """Put the body in; with what botocore added, the token of a transaction."""
    kept = context.pop(_KEPT, None)
    if kept is None:
        return
    added = json.loads(params["body"])
    new = {name: value for name, value in added.items() if name not in kept}
    params["body"] = json.dumps(kept | new).encode()
