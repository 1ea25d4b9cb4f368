"""A local HTTP server that stands before the Lambda handler as API Gateway does."""

import json
import logging
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import quote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from chalice.app import Chalice
from chalice.local import LambdaContext, LocalChalice
from waitress import wasyncore
from waitress.server import create_server

from chalicelib.errors import ERROR_TYPE, error_page, title_of
from infra.local import gateway
from infra.local.bucket import Answer, Bucket

Handler = Callable[[Any, Any], Any]

HOST: Final = "127.0.0.1"
THREADS: Final = 16
CONNECTIONS_MAX: Final = 1000
BODY_MAX: Final = 10 * 1024 * 1024
"""What API Gateway takes, in bytes."""

EVENT_MAX: Final = 6 * 1024 * 1024
"""What Lambda takes, in bytes: the whole event, with a body in base64."""

TOO_LARGE: Final = (
    "The request is larger than the service takes. For more data, import from a URL"
    " (POST /v2/images/{image_id}/import with the method web-download), or send parts"
    " to S3, as tools/upload does (POST /ext/v1/images/{image_id}/uploads)."
)

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_logger = logging.getLogger(__name__)
# That requests wait for a thread is nothing to warn of here.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)


@contextmanager
def serve(
    app: Chalice,
    listener: socket.socket | None = None,
    *,
    prefix: str = "",
    bucket: Bucket | None = None,
) -> Iterator[str]:
    """Serve an app on loopback while the context lasts; return its URL.

    Without a listening socket, on any free port; with a bucket, that one as well.
    """
    listener = listener or socket.create_server((HOST, 0))
    url = f"http://{HOST}:{listener.getsockname()[1]}{prefix}"
    per_thread(app)
    connections: dict[int, Any] = {}
    server: Any = create_server(  # One that listens once can do more than it says.
        application(app, app.routes, prefix, bucket),
        map=connections,
        sockets=[listener],
        threads=THREADS,
        connection_limit=CONNECTIONS_MAX,
        ident=None,
    )
    ended = Event()

    def loop() -> None:
        while not ended.is_set():
            wasyncore.loop(map=connections, count=1)

    thread = Thread(target=loop, name="http", daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.task_dispatcher.shutdown()
        ended.set()
        server.pull_trigger()
        thread.join()
        wasyncore.close_all(connections)


def per_thread(app: Chalice) -> None:
    """
    Keep a current request for each thread: in Lambda there is one at a time.
    """
    if not isinstance(app, LocalChalice):
        app.__class__ = type("PerThread", (LocalChalice, type(app)), {})


def application(
    handler: Handler,
    routes: Iterable[str],
    prefix: str,
    bucket: Bucket | None,
) -> WSGIApplication:
    """Make the WSGI application that calls a Lambda handler, and notes each request."""

    def response(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        start = time.perf_counter()
        method, target = environ["REQUEST_METHOD"], _target(environ)
        if bucket and bucket.has(method, target):
            status, headers, pieces = _send_on(bucket, target, environ)
        else:
            called = _call(handler, routes, prefix, target, environ)
            if bucket:
                called = bucket.behind(_headers(environ)["Host"], called)
            status, headers, body = called
            if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                headers = [*headers, ("Content-Length", str(len(body)))]
            pieces = iter([] if method == "HEAD" else [body])
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        # Neither token nor query: they may be secret.
        path, took = target.partition("?")[0], time.perf_counter() - start
        sys.stderr.write(f"{method} {path} {status} {took * 1000:.0f} ms\n")
        return pieces

    return response


def _send_on(bucket: Bucket, target: str, environ: WSGIEnvironment) -> Answer:
    try:
        return bucket.send(environ["REQUEST_METHOD"], target, environ)
    except (OSError, HTTPException):
        _logger.exception("The local S3 does not answer.")
        message = "The store of images' data does not answer."
        status, headers, body = _refuse(
            HTTPStatus.BAD_GATEWAY, message, _headers(environ)
        )
        return status, [*headers, ("Content-Length", str(len(body)))], iter([body])


def _call(
    handler: Handler,
    routes: Iterable[str],
    prefix: str,
    target: str,
    environ: WSGIEnvironment,
) -> gateway.Response:
    headers = _headers(environ)
    body = environ["wsgi.input"].read(BODY_MAX + 1)
    if len(body) > BODY_MAX:
        return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, headers)
    try:
        event = gateway.event(
            routes,
            environ["REQUEST_METHOD"],
            target,
            headers,
            body,
            prefix=prefix,
            source_ip=environ["REMOTE_ADDR"],
        )
    except gateway.NoResourceError:
        return _refuse(HTTPStatus.FORBIDDEN, "Missing Authentication Token", headers)
    # As between API Gateway and Lambda, all is JSON.
    sent = json.dumps(event)
    if len(sent) > EVENT_MAX:
        return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, headers)
    try:
        context = LambdaContext("cloud-images", 1024, 29_000)
        result = json.dumps(handler(json.loads(sent), context))
        return gateway.response_of(json.loads(result))
    except Exception:
        _logger.exception("The handler crashed.")
        return _refuse(HTTPStatus.BAD_GATEWAY, "Internal server error", headers)


def _target(environ: WSGIEnvironment) -> str:
    """
    Return the request's target as sent, without a host, and odd bytes percent-encoded.
    """
    target = quote(environ["REQUEST_URI"], _PRINTABLE, encoding="latin-1")
    if target.startswith("/"):
        return target
    return urlsplit(target)._replace(scheme="", netloc="").geturl()


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    """Return the request's headers, and those that API Gateway adds."""
    sent = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    return {
        "Host": f"{HOST}:{environ['SERVER_PORT']}",
        **sent,
        "X-Forwarded-For": environ["REMOTE_ADDR"],
        "X-Forwarded-Port": environ["SERVER_PORT"],
        "X-Forwarded-Proto": "http",
    }


def _refuse(
    status: HTTPStatus, message: str, headers: Mapping[str, str]
) -> gateway.Response:
    """Return an error of API Gateway's in the app's own two forms."""
    title = title_of(status)
    code = f"{status.value} {title}"
    if "application/json" in headers.get("Accept", "").lower():
        kind = "application/json"
        error = {"code": code, "title": title, "message": message}
        text = json.dumps(error)
    else:
        kind, text = ERROR_TYPE, error_page(status, message)
    request_id = f"req-{uuid.uuid4()}"
    fields = [("Content-Type", kind), ("x-openstack-request-id", request_id)]
    fields += [  # As in infra/api.yaml.
        ("X-Content-Type-Options", "nosniff"),
        ("Strict-Transport-Security", "max-age=31536000"),
    ]
    return status.value, fields, text.encode()
