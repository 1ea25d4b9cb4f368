"""Every call of the whole test run, held against the API's description."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from infra.local import gateway

FILE = Path(__file__).parents[1] / "chalicelib/api/static/openapi.json"
DESCRIPTION: Any = json.loads(FILE.read_text("utf-8"))
IMAGES_HELD = 3
"""The number of images of a page that are validated."""

_PATHS = DESCRIPTION["paths"]
_COMPONENTS = DESCRIPTION["components"]
_JSON = ("application/json", "application/problem+json")


def check(method: str, target: str, status: int, kind: str, document: Any) -> None:
    """Hold a response against the description of its operation.

    What has no operation, as a path with a slash at its end, is not described.

    Raises:
        AssertionError: Its status or its media type is not described.
        jsonschema.ValidationError: It does not fit its schema.
    """
    operation = _operation(method, target)
    if operation is None:
        return
    call = f"{operation['operationId']}: {status}"
    assert str(status) in operation["responses"], f"{call} is not described"
    forms = resolved(operation["responses"][str(status)]).get("content", {})
    media_type = kind.partition(";")[0]
    if document:
        assert media_type in forms or not forms, f"{call} as {kind} is not described"
    if media_type in forms and media_type in _JSON:
        known = json.loads(document) if isinstance(document, str) else document
        if isinstance(known.get("images"), list):
            known = {**known, "images": known["images"][:IMAGES_HELD]}
        _validate(forms[media_type]["schema"], known)


def check_taken(
    method: str, target: str, headers: Mapping[str, str], body: bytes
) -> None:
    """Hold the body of a request that succeeded against the description.

    Raises:
        jsonschema.ValidationError: It does not fit its schema.
    """
    operation = _operation(method, target)
    forms = (operation or {}).get("requestBody", {}).get("content", {})
    named = {name.lower(): value for name, value in headers.items()}
    sent_as = named.get("content-type", "").partition(";")[0].strip().lower()
    # A JSON object may be sent as anything, a patch may not.
    kind = "application/json" if "application/json" in forms else sent_as
    if body.strip() and kind in forms and kind.endswith(("json", "patch")):
        _validate(forms[kind]["schema"], json.loads(body))


def resolved(one: Any) -> Any:
    """Return what a reference to a component stands for."""
    if "$ref" not in one:
        return one
    _, _, kind, name = one["$ref"].split("/")
    return _COMPONENTS[kind][name]


def _operation(method: str, target: str) -> Any:
    path = target.partition("?")[0]
    try:
        route, _ = gateway.match(_PATHS, path)
    except gateway.NoResourceError:
        return None
    if path.endswith("/") and path != "/":
        return None
    return _PATHS[route].get(method.lower())


def _validate(schema: Any, document: Any) -> None:
    if "$ref" in schema:
        _validator(schema["$ref"]).validate(document)


@cache
def _validator(reference: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        {"$ref": reference, "components": _COMPONENTS}
    )
