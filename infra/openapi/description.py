"""The OpenAPI document, made of the app's routes, the table of calls and the schemas.

Operations have the names of the functions that serve them, and their first sentence.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from app import app
from chalicelib.api import docs, files
from chalicelib.api.app import METHODS, needs_token
from chalicelib.api.discovery import VERSIONS
from chalicelib.api.extension import EXTENSION
from chalicelib.api.requests import EXTENSION_PREFIX
from chalicelib.api.responses import JSON_TYPE, PROBLEM_TYPE, TEXT_TYPE
from chalicelib.api.schemas import Json
from chalicelib.api.uploads import UPLOADS
from chalicelib.domain.images import DATA_TYPE
from chalicelib.errors import ERROR_TYPE, ApiError, error_page, title_of
from infra.openapi.calls import CALLS, FILE_OF_PAGE, PAGE, TEXT, Call
from infra.openapi.documents import DATA, DOCUMENTS
from infra.openapi.examples import EXAMPLES, MESSAGES
from infra.openapi.parameters import HEADERS, list_parameters, path_parameter
from infra.openapi.schemas import STRING, ref
from infra.openapi.sharing import SHARING_QUERIES

FILE: Final = files.FILES / docs.DOCUMENT
HTML_TYPE: Final = ERROR_TYPE.partition(";")[0]

_TAGS: Final = {
    "discovery": "Versions, schemas, and whether the service responds",
    "docs": "This document, and a page of it",
    "console": "A page on which both sides of a share see and act",
    "images": "Images: create, list, show, change and delete",
    "members": "Sharing: the members of an image, and their status",
    "data": "The data of images: upload, download and import",
    "uploads": "Direct uploads of large data, in parts",
    "extension": "The limits of the sharing extension",
    "incoming": "The consumer's side of sharing: what others offer to your project",
    "outgoing": "The producer's side of sharing: what your project shares",
    "profiles": "What your project says of itself, and what it does with offers",
}
"""What the calls of each module of `chalicelib/api` are for."""

_REASONS: Final = {
    int(error.status): error.reason for error in ApiError.__subclasses__()
}
_ALWAYS: Final = frozenset({"x-openstack-request-id", "Location", "ETag"})
_HEADERS: Final[dict[str, Json]] = {
    name: {"description": words, "required": name in _ALWAYS, "schema": STRING}
    for name, words in {
        "x-openstack-request-id": "The id of the request, which the log has, too",
        "x-reason": "One word for programs that says why",
        "WWW-Authenticate": "How to authenticate",
        "Retry-After": "After how many seconds to retry",
        "Accept-Patch": "The media types of a patch",
        "ETag": "The version of the file",
        "Location": "Where the image, the upload or the data is",
        "OpenStack-image-import-methods": "The methods of import",
        "OpenStack-image-store-ids": "The store of images' data",
    }.items()
}
_OF_STATUS: Final = {
    307: "Location",
    401: "WWW-Authenticate",
    415: "Accept-Patch",
    503: "Retry-After",
}
"""The header that an answer of a status has besides those of every answer."""


_FORMS: Final[dict[str, Json]] = {
    DATA: {DATA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    TEXT: {TEXT_TYPE.partition(";")[0]: {"schema": STRING, "example": "OK"}},
    PAGE: {HTML_TYPE: {"schema": STRING}},
    FILE_OF_PAGE: {
        JSON_TYPE: {"schema": {"type": "object"}},
        "text/javascript": {"schema": STRING},
        "text/css": {"schema": STRING},
    },
}
"""The media types and schemas of what is not a JSON document."""


def routes() -> Iterator[tuple[str, str, Any]]:
    """Yield the method, path and function of each route but refusals and HEAD."""
    for path, entries in app.routes.items():
        for method, entry in entries.items():
            function = entry.view_function
            if method != "HEAD" and not function.__name__.startswith("refuse"):
                yield method, path, function


def described() -> Json:
    """Describe the API."""
    paths: dict[str, Json] = {}
    for method, path, function in sorted(routes(), key=_place):
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, function)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloud Images",
            "version": VERSIONS[0],
            "description": "Share disk images between projects: the OpenStack Images"
            " API v2, and direct uploads of large data.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": _TAGS[tag]} for tag in _TAGS],
        "security": [{"token": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": DOCUMENTS,
            "responses": dict(_refusals()),
            "headers": _HEADERS,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "A token of Keystone or of the issuer; on your own"
                    " machine user:project:role, as alice:producer:member",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the issuer, with AUTH=oidc",
                },
            },
        },
    }


def encoded() -> str:
    """Return the document as the service sends it."""
    return json.dumps(described(), indent=1, ensure_ascii=False) + "\n"


def _place(route: tuple[str, str, Any]) -> tuple[int, str, int]:
    method, path, function = route
    return list(_TAGS).index(_tag(function)), path, METHODS.index(method)


def _tag(function: Any) -> str:  # noqa: ANN401 - any function
    name: str = function.__module__.rpartition(".")[2]
    return name


def _operation(method: str, path: str, function: Any) -> Json:  # noqa: ANN401 - any function
    call = CALLS[method, path]
    parameters = [path_parameter(name) for name in re.findall(r"{(\w+)}", path)]
    if (method, path) == ("GET", "/v2/images"):
        parameters += list_parameters()
    parameters += SHARING_QUERIES.get(function.__name__, [])
    parameters += HEADERS.get(function.__name__, [])
    operation: Json = {
        "operationId": function.__name__,
        "tags": [_tag(function)],
        "summary": function.__doc__.strip().partition("\n")[0].removesuffix("."),
    }
    if parameters:
        operation["parameters"] = parameters
    if call.bodies:
        operation["requestBody"] = {
            "required": call.needs_body,
            "content": {
                kind: _FORMS[name][kind] if name in _FORMS else _json_form(name)
                for kind, name in call.bodies.items()
            },
        }
    operation["responses"] = {
        **{
            str(status): _response(method, path, status, name)
            for status, name in call.answers.items()
        },
        **{
            str(status): {"$ref": f"#/components/responses/{_refusal(path, status)}"}
            for status in refusals(path, call)
        },
    }
    if not needs_token(path):
        operation["security"] = []
    return operation


def refusals(path: str, call: Call) -> list[int]:
    """Return the statuses of a call's refusals, those of any call included."""
    known = {*call.refusals, 500, 503}
    if needs_token(path):
        known.add(401)
    if path.startswith(("/v2/images", EXTENSION_PREFIX)):
        known.add(403)
    if path.startswith(EXTENSION) and not path.startswith(UPLOADS):
        known.add(404)  # With EXTENSION=off.
    return sorted(known)


def _response(method: str, path: str, status: int, name: str | None) -> Json:
    headers = _headers_of(status)
    if (method, status) == ("POST", HTTPStatus.CREATED):  # A PUT creates at its URL.
        headers.append("Location")
    if (method, path) == ("POST", "/v2/images"):
        headers += ["OpenStack-image-import-methods", "OpenStack-image-store-ids"]
    if name in (PAGE, FILE_OF_PAGE) or status == HTTPStatus.NOT_MODIFIED:
        headers.append("ETag")
    if name == DATA:  # S3 sends it.
        headers = []
    response: Json = {"description": title_of(HTTPStatus(status))}
    if name == DATA:
        response["description"] += ": the data, from where the redirect leads to"
    if name is not None:
        response["content"] = _FORMS.get(name) or {JSON_TYPE: _json_form(name)}
    if headers:
        response["headers"] = _header_refs(headers)
    return response


def _headers_of(status: int) -> list[str]:
    return ["x-openstack-request-id", *filter(None, [_OF_STATUS.get(status)])]


def _header_refs(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _json_form(name: str) -> Json:
    example = _example(EXAMPLES[name]) if name in EXAMPLES else {}
    return {"schema": ref(name), **example}


def _example(value: Any) -> Json:  # noqa: ANN401 - any JSON
    # Not `example`: RapiDoc takes it for none, and makes one up.
    return {"examples": {"example": {"value": value}}}


def _refusal(path: str, status: int) -> str:
    return f"{'problem' if path.startswith(EXTENSION_PREFIX) else 'error'}-{status}"


def _refusals() -> Iterator[tuple[str, Json]]:
    """Yield each error of the Images API, then each problem of our own paths."""
    for status, message in MESSAGES.items():
        headers = [*_headers_of(status), "x-reason"]
        title = title_of(HTTPStatus(status))
        reason = _REASONS.get(status, "failed")
        base = {"description": title}
        error = {"code": f"{status} {title}", "title": title, "message": message}
        page = error_page(HTTPStatus(status), message)
        yield (
            f"error-{status}",
            base
            | {
                "headers": _header_refs(headers),
                "content": {
                    JSON_TYPE: {"schema": ref("error"), **_example(error)},
                    HTML_TYPE: {"schema": STRING, **_example(page)},
                },
            },
        )
        problem = {
            "title": title,
            "status": status,
            "detail": message,
            "reason": reason,
        }
        yield (
            f"problem-{status}",
            base
            | {
                "headers": _header_refs(headers),
                "content": {
                    PROBLEM_TYPE: {"schema": ref("problem"), **_example(problem)}
                },
            },
        )
