"""A body as JSON, and as what the schema of its call describes."""

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from chalicelib.api.bodies.validators import find_fault
from chalicelib.api.schemas import BODIES, Json
from chalicelib.errors import BadRequest

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

QUOTED_MAX: Final = 255
"""Maximum length of what a message quotes of a request, in characters."""

_SURROGATE: Final = r"[\ud800-\udfff]"

_TYPES: Final = {
    "null": "null",
    "string": "a string",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
}
_BOUNDS: Final = {
    "pattern": "must be a UUID",
    "minLength": "must have {} or more characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have {} or more items",
    "maxItems": "must have at most {} items",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
}


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON, more strictly than the standard library does.

    Raises:
        BadRequest: There is none; it is malformed or not UTF-8; it is nested too deep;
            a key stands twice; a number is not finite; a text is half a surrogate pair.
    """
    if not raw.strip():
        raise BadRequest("Body expected in request.")
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_constant=_not_finite
        )
        half = b"\\u" in raw and re.search(_SURROGATE, _text(value))
    except (ValueError, RecursionError) as exc:
        raise BadRequest("Malformed JSON in request body.") from exc
    if half:
        raise BadRequest("The body has an unpaired surrogate in a string.")
    return value


def parse_body(kind: str, raw: bytes) -> Json:
    """Parse a body, and validate it by the schema of its kind.

    Raises:
        BadRequest: It is not valid; the message says what is required.
    """
    body = parse_object(raw)
    fault = find_fault(kind, body)
    if fault is not None:
        raise BadRequest(_requirement(BODIES[kind], fault.path[1:])) from fault
    return body


def parse_object(raw: bytes) -> Json:
    """Parse a body that is a JSON object.

    Raises:
        BadRequest: It is something else.
    """
    body = parse_json(raw)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _requirement(schema: Json, path: list[str]) -> str:
    """Return what the value at a path, or what it lacks, must be."""
    names: list[str] = []
    optional = ""
    while "properties" in schema:
        required = schema.get("required", [])
        name = path[len(names)] if len(names) < len(path) else required[0]
        optional = "" if name in required else ", if given,"
        names.append(name)
        schema = schema["properties"][name]
    return f"{'.'.join(names)}{optional} must be {schema['description']}."


def what_it_must(exc: "JsonSchemaValueException") -> str:
    """Return what a value must be that is not what its schema describes."""
    rule = exc.rule_definition
    if exc.rule == "type":
        types = [rule] if isinstance(rule, str) else rule
        return f"must be {' or '.join(_TYPES[name] for name in types)}"
    if exc.rule == "enum":
        words = [word if isinstance(word, str) else _text(word) for word in rule]
        return f"must be one of {', '.join(words)}"
    if exc.rule == "required":
        missing = [_text(name) for name in rule if name not in exc.value]
        return f"must have {', '.join(missing)}"
    if exc.rule in _BOUNDS:
        return _BOUNDS[exc.rule].format(rule)
    return exc.message.removeprefix(exc.name or "").strip()


def check_no_body(raw: bytes) -> None:
    """Check that a request without a body has none.

    Raises:
        BadRequest: It got one.
    """
    if raw:
        raise BadRequest("The request must not have a body.")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"The body has the key {twice[:QUOTED_MAX]!r} more than once.")
    return document


def _not_finite(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a JSON number.")


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False)
