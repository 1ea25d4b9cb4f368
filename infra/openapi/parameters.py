"""The parameters of paths, queries and headers."""

from typing import Any, Final

from chalicelib.api import list_parameters as listing
from chalicelib.api.schemas import Json
from chalicelib.domain.images import STORE, Visibility
from chalicelib.domain.list_queries import ALL, SORT_DIRECTIONS, SORT_KEYS
from chalicelib.domain.members import MemberStatus
from infra.openapi.examples import IMAGE_ID, UPLOAD_ID

_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "integer", "minimum": 0}
_EXAMPLES: Final = {
    "image_id": IMAGE_ID,
    "member_id": "consumer",
    "upload_id": UPLOAD_ID,
    "tag": "lts",
    "name": "image",
    "project_id": "consumer",
    "producer_id": "producer",
}
_PATHS: Final = {
    "image_id": "The id of the image",
    "member_id": "The id of the project that is a member",
    "upload_id": "The id of the direct upload",
    "tag": "The tag",
    "name": "The name of the document",
    "project_id": "The id of the project",
    "producer_id": "The id of the project that offers images, or *",
}


def _parameter(name: str, schema: Json, description: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": schema,
        **more,
    }


def _words(*words: str) -> Json:
    return {"type": "string", "enum": [str(word) for word in words]}


def path_parameter(name: str) -> Json:
    """Describe a parameter of a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PATHS[name],
        "schema": _TEXT,
        "example": _EXAMPLES[name],
    }


def list_parameters() -> list[Json]:
    """Describe the query of a list: its paging, and each filter."""
    filters = [name for name in listing.FILTERS if name not in _SPECIAL]
    return [*_PAGING, *_SPECIAL.values(), *map(_filter, filters), _PROPERTIES]


def _filter(name: str) -> Json:
    bound = name.removesuffix("_min").removesuffix("_max")
    if name in listing.TIMES:
        operators = ", ".join(f"{operator}:" for operator in listing.OPERATORS)
        words = (
            f"The time, as 2026-11-24T08:00:00Z, after one of {operators} or nothing"
        )
        return _parameter(name, _TEXT, words)
    if name in listing.LISTABLE:
        words = f"The {name}, or several after in: and between commas"
        return _parameter(name, _TEXT, words)
    if bound in listing.NUMBERS and bound != name:
        most = "most" if name.endswith("_max") else "least"
        schema = {"type": "integer"}
        return _parameter(name, schema, f"What {bound} must be at {most}")
    schema = _NUMBER if name in listing.NUMBERS else _TEXT
    return _parameter(name, schema, f"What {name} must be")


_PAGING: Final = [
    _parameter("limit", _NUMBER, "The number of images on a page, at most"),
    _parameter("marker", _TEXT, "The id of the image that the page starts after"),
    _parameter(
        "sort",
        _TEXT,
        "Instead of sort_key and sort_dir: name:asc,created_at:desc",
    ),
    _parameter(
        "sort_key",
        {"type": "array", "items": _words(*SORT_KEYS)},
        "What to sort by; the first counts most",
    ),
    _parameter(
        "sort_dir",
        {"type": "array", "items": _words(*SORT_DIRECTIONS)},
        "The direction, once or once for each sort_key",
    ),
    _parameter(
        "member_status",
        _words(*MemberStatus, ALL),
        "Which shares to list, by the status that your project set",
    ),
]
_SPECIAL: Final = {
    "tag": _parameter(
        "tag",
        {"type": "array", "items": _TEXT},
        "A tag that the image must have; several must all be there",
    ),
    "protected": _parameter(
        "protected", {"type": "boolean"}, "Whether it is protected from deletion"
    ),
    "os_hidden": _parameter(
        "os_hidden", {"type": "boolean"}, "Whether it is hidden; false if absent"
    ),
    "visibility": _parameter(
        "visibility", _words(*Visibility, ALL), "The visibility of the image"
    ),
}
_PROPERTIES: Final = _parameter(
    "properties",
    {"type": "object", "additionalProperties": _TEXT},
    "Custom properties that the image must have: each other key is the name of one",
    style="form",
    explode=True,
)

_RANGE: Final[Json] = {
    "name": "Range",
    "in": "header",
    "description": "One range of bytes, which S3 cuts out: bytes=0-1023",
    "schema": _TEXT,
}
_IMAGE_SIZE: Final[Json] = {
    "name": "X-OpenStack-Image-Size",
    "in": "header",
    "description": "The size of the data in bytes; if it differs, the answer is 400",
    "schema": _NUMBER,
}

_STORE: Final[Json] = {
    "name": "X-Image-Meta-Store",
    "in": "header",
    "description": "The store; there is one",
    "schema": _words(STORE),
}

HEADERS: Final = {
    "download_data": [_RANGE],
    "upload_data": [_IMAGE_SIZE, _STORE],
    "stage_data": [_IMAGE_SIZE],
    "import_data": [_STORE],
}
"""The headers that a call reads, besides those of every call, by its operation."""
