"""API Gateway's half of a call: request to event, result to response.

Both as a REST API's Lambda proxy integration has them (payload format 1.0).
"""

import base64
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

from chalice.app import APIGateway

Response = tuple[int, list[tuple[str, str]], bytes]
"""A response's status, headers and body."""

BINARY_TYPES: Final = frozenset(APIGateway().binary_types)
"""The media types whose bodies arrive in base64: Chalice deploys these."""

DROPPED: Final = frozenset(
    {
        *("connection", "content-length", "content-md5", "expect", "max-forwards"),
        *("proxy-authenticate", "server", "te", "trailer", "transfer-encoding"),
        *("upgrade", "www-authenticate"),
    }
)
"""The headers of a request that no function gets to see."""

REMAPPED: Final = frozenset(
    {"connection", "content-length", "date", "server", "www-authenticate"}
)
"""The headers of a function's answer that clients get by another name."""

REMAP: Final = "x-amzn-Remapped-"
"""What that name begins with."""

CHALLENGE: Final = "www-authenticate"
"""
The one that keeps its own name as well, which a proxy before API Gateway can restore.
"""

_GREEDY = re.compile(r"\\{(\w+)\\\+\\}")
_PARAMETER = re.compile(r"\\{(\w+)\\}")


class NoResourceError(LookupError):
    """No route matches: API Gateway answers by itself."""


def event(  # noqa: PLR0913 - a request has that many parts
    routes: Iterable[str],
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    *,
    prefix: str = "",
    source_ip: str = "127.0.0.1",
) -> dict[str, Any]:
    """Make the event for a request, whose target is as it stood in the request line.

    Nothing is decoded but the query. The prefix is what stands before the API's own
    paths: `/api` for a stage, nothing for a domain of its own.

    Raises:
        NoResourceError: No route matches the target.
    """
    whole, _, query = target.partition("?")
    if whole != prefix and not whole.startswith(f"{prefix}/"):
        raise NoResourceError(whole)
    path = whole.removeprefix(prefix) or "/"
    resource, parameters = match(routes, path)
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    sent = _gather(pair for pair in pairs if pair[0].lower() not in DROPPED)
    queried = _gather(parse_qsl(query, keep_blank_values=True))
    named = {name.lower(): values[-1] for name, values in sent.items()}
    text, is_base64 = _body(named.get("content-type", ""), body)
    now = time.time()
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": _last(sent),
        "multiValueHeaders": sent,
        "queryStringParameters": _last(queried) or None,
        "multiValueQueryStringParameters": queried or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": named.get("host", "localhost").partition(":")[0],
            "extendedRequestId": str(uuid.uuid4()),
            "httpMethod": method,
            "identity": {
                "sourceIp": source_ip,
                "userAgent": named.get("user-agent"),
            },
            "path": whole,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "requestTimeEpoch": int(now * 1000),
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "api",
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


def match(routes: Iterable[str], path: str) -> tuple[str, dict[str, str]]:
    """Find the route that a path belongs to, and its parameters, encoded as sent.

    A slash at the end does not count. From left to right, a segment that stands in
    the route beats `{name}`, and that beats `{name+}`.

    Raises:
        NoResourceError: There is none.
    """
    bare = path.removesuffix("/") or "/"
    for route in sorted(routes, key=_vagueness):
        if matched := _pattern(route).fullmatch(bare):
            return route, matched.groupdict()
    raise NoResourceError(path)


def response_of(result: Mapping[str, Any]) -> Response:
    """Make the response that a handler's result stands for."""
    lists = result.get("multiValueHeaders") or {}
    single = result.get("headers") or {}
    pairs = [(name, str(value)) for name, value in single.items() if name not in lists]
    pairs += [(name, str(value)) for name, values in lists.items() for value in values]
    pairs = [
        (REMAP + name if name.lower() in REMAPPED else name, value)
        for name, value in pairs
    ] + [pair for pair in pairs if pair[0].lower() == CHALLENGE]
    body = result.get("body") or ""
    content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    return int(result["statusCode"]), pairs, content


def _vagueness(route: str) -> list[int]:
    return [part.count("{") + part.count("+}") for part in route.split("/")]


@cache
def _pattern(route: str) -> re.Pattern[str]:
    pattern = _GREEDY.sub(r"(?P<\1>.+)", re.escape(route))
    return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", pattern))


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: of_name[-1] for name, of_name in values.items()}


def _body(content_type: str, body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in BINARY_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # API Gateway would put U+FFFD for each wrong byte; it must not lie.
    return base64.b64encode(body).decode(), True
