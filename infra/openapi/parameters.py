"""The parameters of paths, queries and headers."""

from typing import Final

from chalicelib.api import list_parameters as listing
from chalicelib.api.schemas import Json
from chalicelib.domain.images import STORE, Visibility
from chalicelib.domain.list_queries import ALL, SORT_DIRECTIONS, SORT_KEYS
from chalicelib.domain.members import MemberStatus
from infra.openapi.examples import IMAGE_ID, UPLOAD_ID
from infra.openapi.schemas import COUNT, STRING, one_of, query_parameter

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


def path_parameter(name: str) -> Json:
    """Describe a parameter of a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PATHS[name],
        "schema": STRING,
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
        return query_parameter(name, STRING, words)
    if name in listing.LISTABLE:
        words = f"The {name}, or several after in: and between commas"
        return query_parameter(name, STRING, words)
    if bound in listing.NUMBERS and bound != name:
        most = "most" if name.endswith("_max") else "least"
        schema = {"type": "integer"}
        return query_parameter(name, schema, f"What {bound} must be at {most}")
    schema = COUNT if name in listing.NUMBERS else STRING
    return query_parameter(name, schema, f"What {name} must be")


_PAGING: Final = [
    query_parameter("limit", COUNT, "The number of images on a page, at most"),
    query_parameter("marker", STRING, "The id of the image that the page starts after"),
    query_parameter(
        "sort",
        STRING,
        "Instead of sort_key and sort_dir: name:asc,created_at:desc",
    ),
    query_parameter(
        "sort_key",
        {"type": "array", "items": one_of(*SORT_KEYS)},
        "What to sort by; the first counts most",
    ),
    query_parameter(
        "sort_dir",
        {"type": "array", "items": one_of(*SORT_DIRECTIONS)},
        "The direction, once or once for each sort_key",
    ),
    query_parameter(
        "member_status",
        one_of(*MemberStatus, ALL),
        "Which shares to list, by the status that your project set",
    ),
]
_SPECIAL: Final = {
    "tag": query_parameter(
        "tag",
        {"type": "array", "items": STRING},
        "A tag that the image must have; several must all be there",
    ),
    "protected": query_parameter(
        "protected", {"type": "boolean"}, "Whether it is protected from deletion"
    ),
    "os_hidden": query_parameter(
        "os_hidden", {"type": "boolean"}, "Whether it is hidden; false if absent"
    ),
    "visibility": query_parameter(
        "visibility", one_of(*Visibility, ALL), "The visibility of the image"
    ),
}
_PROPERTIES: Final = query_parameter(
    "properties",
    {"type": "object", "additionalProperties": STRING},
    "Custom properties that the image must have: each other key is the name of one",
    style="form",
    explode=True,
)

_RANGE: Final[Json] = {
    "name": "Range",
    "in": "header",
    "description": "One range of bytes, which S3 cuts out: bytes=0-1023",
    "schema": STRING,
}
_IMAGE_SIZE: Final[Json] = {
    "name": "X-OpenStack-Image-Size",
    "in": "header",
    "description": "The size of the data in bytes; if it differs, the answer is 400",
    "schema": COUNT,
}

_STORE: Final[Json] = {
    "name": "X-Image-Meta-Store",
    "in": "header",
    "description": "The store; there is one",
    "schema": one_of(STORE),
}

HEADERS: Final = {
    "download_data": [_RANGE],
    "upload_data": [_IMAGE_SIZE, _STORE],
    "stage_data": [_IMAGE_SIZE],
    "import_data": [_STORE],
}
"""The headers that a call reads, besides those of every call, by its operation."""
