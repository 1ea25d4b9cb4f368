"""The app, and the middleware around every route."""

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NoReturn
from urllib.parse import unquote

from chalice.app import Chalice, Request, Response

from chalicelib import deadline, ids, settings, telemetry
from chalicelib.api import cors
from chalicelib.api.extension import is_off
from chalicelib.api.requests import (
    ANY_TYPE,
    EXTENSION_PREFIX,
    PROXY_ROUTE,
    RAW_PATH_PARAMETERS,
    parse_endpoint,
    path_of,
)
from chalicelib.api.responses import JSON_TYPE, PROBLEM_TYPE, json_response
from chalicelib.domain.images import with_lower_case_ids
from chalicelib.errors import (
    ERROR_TYPE,
    ApiError,
    Conflict,
    MethodNotAllowed,
    NotFound,
    StaleError,
    Unavailable,
    error_page,
    title_of,
)
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.methods import Identify

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
NO_RESOURCE: Final = "The resource could not be found."
OTHER_VERSION: Final = re.compile(r"/v(?!2(/|$)|ersions(/|$))")
"""The paths of versions of the API that are not served."""

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
}
"""The headers of every response."""

_WITH_SLASH: Final = frozenset({"/", "/v2/", "/versions/"})
_ATTEMPTS: Final = 2


class App(Chalice):
    """Chalice, with path parameters decoded: API Gateway hands them over as sent."""

    def __call__(self, event: Any, context: Any) -> Any:  # noqa: ANN401 - Lambda's own
        """Handle an event of API Gateway."""
        sent = event.get("pathParameters") or {}
        sent = {name.rstrip("+*"): text for name, text in sent.items()}
        decoded = {name: unquote(text) for name, text in sent.items()}
        if "image_id" in decoded:
            decoded["image_id"] = with_lower_case_ids(decoded["image_id"])
        where = event["requestContext"]
        if where["resourcePath"].startswith("/{proxy"):
            where = {**where, "resourcePath": PROXY_ROUTE}
        decoded_event = {
            **event,
            "pathParameters": decoded,
            RAW_PATH_PARAMETERS: sent,
            "requestContext": where,
        }
        handle = partial(super().__call__, decoded_event, context)
        with deadline.within(deadline.REQUEST_SECONDS):
            return telemetry.observed(handle, where["httpMethod"], where)


def install(app: App, identify: Identify) -> None:
    """Put the middleware around every route, and answer every other path and method."""
    app.log.setLevel(logging.WARNING)
    cors.parse_origins(settings.current.cors_origins)  # A wrong one ends the start.
    parse_endpoint(settings.current.public_endpoint)  # So does this one.
    allowed = {  # As in the reference, HEAD is named nowhere: it goes with GET.
        path: [one for one in METHODS if one in methods and one != "HEAD"]
        for path, methods in app.routes.items()
    }

    @app.middleware("http")
    def _middleware(
        request: Request, proceed: Callable[[Request], Response]
    ) -> Response:
        request_id = f"req-{ids.new_id()}"
        path = path_of(request)
        methods = allowed[request.context["resourcePath"]]
        try:
            response = cors.preflight(request, methods)
            if response is None:
                _identify_caller(request, path, identify, request_id)
                _check_path(path)
                response = _retry_if_stale(request, proceed)
            if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                _refuse_method(methods)()  # Chalice's own, for a method of no standard.
        except ApiError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                app.log.exception("%s", request_id)
            response = _error_response(
                request, error.status, error.message, error.reason
            )
            response.headers |= {"x-reason": error.reason, **error.headers}
        if isinstance(response.body, dict):
            # Chalice's own: only its handling of a bug, which it logs, is left to it.
            app.log.error("%s: the bug above", request_id)
            response = _error_response(request, HTTPStatus(response.status_code), None)
        if needs_token(path):
            response.headers.setdefault("Cache-Control", "no-store")
        response.headers |= SECURITY_HEADERS
        response.headers["x-openstack-request-id"] = request_id
        response.headers |= cors.response_headers(request.headers.get("origin"))
        return response

    for path, methods in allowed.items():
        missing = [method for method in METHODS if method not in app.routes[path]]
        app.route(path, methods=missing, content_types=ANY_TYPE)(
            _refuse_method(methods)
        )


def _identify_caller(
    request: Request, path: str, identify: Identify, request_id: str
) -> None:
    """Identify the caller of a request, where the path needs one.

    Raises:
        Unauthorized: The token is missing or not valid.
        Unavailable: The identity service does not answer.
    """
    if not needs_token(path):
        return
    incoming = Incoming(request.method, path, request.headers, request_id)
    try:
        request.context["caller"] = identify(incoming)
    except ApiError:
        raise
    except Exception as exc:  # Whatever breaks there, nobody gets by.
        raise Unavailable("The identity service is unavailable; retry.") from exc


def needs_token(path: str) -> bool:
    """Return whether only a caller who is identified may use a path."""
    return path.startswith(("/v2/", EXTENSION_PREFIX)) and path not in _WITH_SLASH


def _check_path(path: str) -> None:
    """Check that a path is one that is served: few end in a slash.

    Raises:
        NotFound: It is not.
    """
    ends_wrong = path.endswith("/") and path not in _WITH_SLASH
    if is_off(path) or (ends_wrong and not OTHER_VERSION.match(path)):
        raise NotFound(NO_RESOURCE)


def _retry_if_stale(
    request: Request, proceed: Callable[[Request], Response]
) -> Response:
    """Run the route, and retry it once if what it had read was changed meanwhile.

    Raises:
        Conflict: It was changed each time.
    """
    for _ in range(_ATTEMPTS):
        try:
            return proceed(request)
        except StaleError:
            continue
    raise Conflict("The image was modified concurrently; retry.")


def _refuse_method(methods: Sequence[str]) -> Callable[..., NoReturn]:
    def refuse(**_parameters: str) -> NoReturn:
        raise MethodNotAllowed(
            "The method is not allowed for this resource.",
            {"Allow": ", ".join(methods)},
        )

    return refuse


def _error_response(
    request: Request, status: HTTPStatus, message: str | None, reason: str = "failed"
) -> Response:
    """Return an error: as JSON where the client asks for it by name, else as HTML.

    Not as JSON for `*/*`: glanceclient sends that and breaks on a flat JSON error. Of
    our own paths, as problem details (RFC 9457).
    """
    title = title_of(status)
    code = f"{status.value} {title}"
    text = message or "Internal server error."
    if path_of(request).startswith(EXTENSION_PREFIX):
        problem = {"title": title, "status": status, "detail": text, "reason": reason}
        return json_response(problem, status, {"Content-Type": PROBLEM_TYPE})
    if JSON_TYPE in request.headers.get("accept", "").lower():
        return json_response({"code": code, "title": title, "message": text}, status)
    return Response(
        error_page(status, text),
        headers={"Content-Type": ERROR_TYPE},
        status_code=status,
    )
