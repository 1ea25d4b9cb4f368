"""The messages that the code can send, read from its syntax trees."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from chalicelib import errors
from tests.readme import ROOT

HOLE = "{…}"
"""What stands for a value in a message."""

API_ERRORS = {
    name: (error.status.value, error.reason)
    for name, error in vars(errors).items()
    if isinstance(error, type)
    and issubclass(error, errors.ApiError)
    and error is not errors.ApiError
}
"""The status and the reason of each error of the API."""

SENT_AS = {
    "BadUri": ("BadRequest",),
    "FormatRefused": ("UnsupportedMediaType",),
    "failure": ("BadRequest", "Conflict"),  # A parameter of `check_formats`.
    "check_target": ("BadRequest",),
    "_refusal": ("Forbidden",),  # The message is its last argument.
    "unauthorized": (),  # It has a message of its own.
}
"""The errors of the API that have the message of another call, or of a function's."""

FAILURES = {
    *("BadUri", "FailedError", "FormatRefused", "SourceBroken", "SourceRefused"),
    *("check_target", "reset"),
}
"""The calls whose message becomes that of a failed import or upload."""

Call = tuple[str, str]
"""The name of a call in the code, and a message that it has."""


@cache
def calls() -> frozenset[Call]:
    """Return every call of the service that has a message, with the message."""
    return frozenset(
        call
        for path in sorted((ROOT / "chalicelib").rglob("*.py"))
        for call in _calls_of(path)
    )


def responses() -> set[tuple[int, str, str]]:
    """Return the status, the reason and the message of each error response."""
    messages = {
        (*API_ERRORS[error], message)
        for name, message in calls()
        for error in SENT_AS.get(name, (name,))
        if error in API_ERRORS
    }
    return messages | {(500, "failed", "Internal server error.")}


def failures() -> set[str]:
    """Return the messages of failed imports and uploads."""
    return {message for name, message in calls() if name in FAILURES}


def settings() -> set[str]:
    """Return the messages that end the start because of a setting."""
    return {
        message
        for name, message in calls()
        if name == "SettingError" or message.startswith("The setting ")
    }


def _calls_of(path: Path) -> Iterator[Call]:
    tree = ast.parse(path.read_text("utf-8"))
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            by = function.name
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and node.args:
                    name = _name(node.func)
                    argument = node.args[-1 if name == "_refusal" else 0]
                    for message in _texts(argument, function, module):
                        if message.replace(HOLE, "").strip(" :."):
                            yield by if by in SENT_AS else name, message


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _texts(node: ast.expr, function: ast.FunctionDef, module: str) -> list[str]:
    """Return the texts that an expression may have; none if they are unknown."""
    if not isinstance(node, ast.Name):
        text = _literal(node)
        return [] if text is None else [text]
    texts = [
        text
        for each in ast.walk(function)
        if isinstance(each, ast.Assign)
        and _name(each.targets[0]) == node.id
        and (text := _literal(each.value)) is not None
    ]
    constant = getattr(importlib.import_module(module), node.id, None)
    return [*texts, constant] if isinstance(constant, str) else texts


def _literal(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else HOLE
            for part in node.values
        )
    return None
