"""Every answer of the whole test run, held against the API's description."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from infra.local import gateway

DESCRIPTION: Any = json.loads(
    (Path(__file__).parents[1] / "docs/api/openapi.json").read_text("utf-8")
)
_PATHS = DESCRIPTION["paths"]
_ERRORS = {
    name: jsonschema.Draft202012Validator(DESCRIPTION["components"]["schemas"][name])
    for name in ("error", "problem")
}


def check(method: str, target: str, status: int, kind: str, document: Any) -> None:
    """Hold an answer against what its operation is said to answer.

    What has no operation, as a path with a slash at its end, is not described.

    Raises:
        AssertionError: Its status or its media type is not described.
        jsonschema.ValidationError: It is an error in none of the forms of errors.
    """
    path = target.partition("?")[0]
    try:
        route, _ = gateway.match(_PATHS, path)
    except gateway.NoResourceError:
        return
    operation = _PATHS[route].get(method.lower())
    if operation is None or (path.endswith("/") and path != "/"):
        return
    asked = f"{method} {route}: {status}"
    assert str(status) in operation["responses"], f"{asked} is not described"
    forms = operation["responses"][str(status)].get("content", {})
    media_type = kind.partition(";")[0]
    if document:
        assert media_type in forms or not forms, f"{asked} as {kind} is not described"
    schema = forms.get(media_type, {}).get("schema", {}).get("$ref", "")
    name = schema.rpartition("/")[2]
    if name in _ERRORS:
        known = json.loads(document) if isinstance(document, str) else document
        _ERRORS[name].validate(known)
