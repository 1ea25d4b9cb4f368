"""The cost of a request, counted and written in one line of the log.

The line is JSON. Where it has something that wakes somebody, CloudWatch makes a metric
of it (its embedded metric format); a metric costs more than the line. Counted is what a
process does: Lambda gives it one request at a time.
"""

import hmac
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib import settings

NAMESPACE: Final = "CloudImages"
COUNTED: Final = ("Calls", "ReadUnits", "WriteUnits", "LostRecentChanges")
"""What is counted of each request."""

METRIC: Final = "LostRecentChanges"
"""What an alarm watches: the metric of the lines in which it is not 0."""

LINE_BYTES_MAX: Final = 500
"""Maximum size of a request's line, in bytes; of a lost recent change, more."""

LINES: Final = ("cloud-images.requests", "cloud-images.events")
"""The logs whose lines are JSON, and stand as they are in Lambda's log."""

log = logging.getLogger(LINES[0])
counted: Counter[str] = Counter()
_FUNCTION: Final = "AWS_LAMBDA_FUNCTION_NAME"
_READS: Final = ("BatchGetItem", "Query")
_METRICS: Final = {
    "Namespace": NAMESPACE,
    "Dimensions": [["function"]],
    "Metrics": [{"Name": METRIC, "Unit": "Count"}],
}


def observed(
    call: Callable[[], Mapping[str, Any]],
    method: str,
    where: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Handle a request, and log its cost; *where* is its context at API Gateway.

    Token, query and body are left out: they may be secret.
    """
    if not log.isEnabledFor(logging.INFO):
        return call()
    before, start = counted.copy(), time.perf_counter()
    answer = call()
    milliseconds = (time.perf_counter() - start) * 1000
    now = Counter(counted)
    now.subtract(before)
    caller = where.get("caller")
    line: dict[str, Any] = {
        "function": os.environ.get(_FUNCTION, "local"),
        "request_id": answer["headers"].get("x-openstack-request-id"),
        "gateway_id": where.get("requestId"),
        "method": method,
        "route": where["resourcePath"],
        "status": answer["statusCode"],
        "project": named_project(caller.project_id) if caller else None,
        **{name: now[name] for name in COUNTED},
        "Milliseconds": round(milliseconds, 1),
        "Cold": 0 if counted["Requests"] else 1,
    }
    if now[METRIC]:
        stamp = int(time.time() * 1000)
        line["_aws"] = {"Timestamp": stamp, "CloudWatchMetrics": [_METRICS]}
    counted["Requests"] += 1
    log.info("%s", json.dumps(line))
    return answer


def watch(client: Any) -> None:  # noqa: ANN401 - botocore's own
    """Count the calls of DynamoDB that a client makes, and the units that they take."""
    events = client.meta.events
    events.register("provide-client-params.dynamodb.TransactWriteItems", _ask_units)
    events.register("before-call.dynamodb.*", _count_call)
    events.register("after-call.dynamodb.*", _count_units)


def write_lines(name: str) -> None:
    """Write the messages of a log as they are, one a line, to stderr for Lambda."""
    logger, handler = logging.getLogger(name), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def named_project(project_id: str) -> str:
    """Return the name of a project in logs: a keyed hash, or its id if so set."""
    if settings.current.log_projects == "plain":
        return project_id
    key = settings.current.log_key.encode()
    return hmac.digest(key, project_id.encode(), "sha256").hex()[:16]


def _ask_units(params: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - botocore's own
    params["ReturnConsumedCapacity"] = "TOTAL"


def _count_call(**_: Any) -> None:  # noqa: ANN401 - botocore's own
    counted["Calls"] += 1


def _count_units(model: Any, parsed: Any, **_: Any) -> None:  # noqa: ANN401 - botocore's own
    consumed = parsed.get("ConsumedCapacity") or []
    several = consumed if isinstance(consumed, list) else [consumed]
    kind = "ReadUnits" if model.name in _READS else "WriteUnits"
    counted[kind] += sum(one.get("CapacityUnits", 0) for one in several)


if _FUNCTION in os.environ:
    for _name in LINES:
        write_lines(_name)
