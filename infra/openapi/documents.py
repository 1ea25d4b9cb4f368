"""The schemas of all documents: the service's own, and those that only answer."""

from typing import Any, Final

from chalicelib.api import patch
from chalicelib.api.bodies import images as bodies
from chalicelib.api.schemas import BASE, BODIES, SCHEMAS, Json
from chalicelib.domain.images import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    ImageStatus,
    Visibility,
)
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.uploads import IMPORT_METHODS, UploadState
from infra.openapi.examples import EXAMPLES
from infra.openapi.sharing import SHARING_DOCUMENTS

DATA: Final = "data"
"""The name of an image's data, which has no schema."""

_TEXT: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_NULLABLE: Final[Json] = {"type": ["string", "null"]}
_STATE: Final[Json] = {"$ref": "#/components/schemas/upload-state"}


def _object(properties: Json, *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _constant(value: Any) -> Json:  # noqa: ANN401 - any JSON
    return {"enum": [value]}


def _with_names(properties: Json) -> Json:
    """Refer to each enumeration by its name, so that a client has one type of it."""
    return {name: _named(schema) for name, schema in properties.items()}


def _named(schema: Json) -> Json:
    if "enum" not in schema:
        return schema
    words = [word for word in schema["enum"] if word is not None]
    (name,) = (title for title, known in ENUMERATIONS.items() if known == words)
    rest = {key: schema[key] for key in schema if key not in ("type", "enum")}
    if None in schema["enum"]:
        return {"anyOf": [_ref(name), {"type": "null"}], **rest}
    return {"allOf": [_ref(name)], **rest}


ENUMERATIONS: Final = {
    "container-format": list(CONTAINER_FORMATS),
    "disk-format": list(DISK_FORMATS),
    "image-status": [str(status) for status in ImageStatus],
    "visibility": [str(visibility) for visibility in Visibility],
    "member-status": [str(status) for status in MemberStatus],
    "upload-state": [str(state) for state in UploadState],
}
"""The words that a value of a document may have, by the name of their schema."""

_IMAGE: Final = _with_names(SCHEMAS["image"]["properties"])
_ON_SOME: Final = ("os_glance_importing_to_stores", "os_glance_failed_import")
_NEW_IMAGE: Final[Json] = BODIES["new-image"]
_SET_BY_SERVICE: Final = sorted(bodies.READ_ONLY - bodies.ALLOWED_ON_CREATE)
_IMPORT: Final = BODIES["import"]
_METHOD: Final = _IMPORT["properties"]["method"]
_OWN_FORM: Final = ("new-image", "import", "member-update")
"""The bodies whose description differs in form from what validates them."""

_UPLOAD: Final[Json] = {
    **dict.fromkeys(("self", "id", "image_id"), _TEXT),
    "state": _STATE,
    "size": {**_COUNT, "description": "Size of the whole data in bytes"},
    "part_size": {**_COUNT, "description": "Size of each part but the last in bytes"},
    "part_count": _COUNT,
    "hashed": {**_COUNT, "description": "Bytes that the service has hashed so far"},
    "message": {**_TEXT, "description": "Why the upload failed"},
    **dict.fromkeys(("created_at", "updated_at"), _TEXT),
}
_POINTER: Final[Json] = {
    "type": "string",
    "pattern": f"^{patch.POINTER.pattern}$",
    "description": "JSON pointer to an attribute or a custom property, as /name",
}
_PARTS: Final[Json] = {
    "parts": {"type": "array", "items": _ref("part-url")},
    "expires_in": {**_COUNT, "description": "How long the URLs are valid, in seconds"},
}

DOCUMENTS: Final[dict[str, Json]] = {
    **{name: {"type": "string", "enum": words} for name, words in ENUMERATIONS.items()},
    "error": _object({"code": _TEXT, "title": _TEXT, "message": _TEXT}),
    "problem": _object(
        {
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "reason": _TEXT,
        }
    ),
    "schema": {"type": "object", "description": "A JSON schema"},
    "versions": _object({"versions": _list("version")}),
    "version": _object(
        {
            "id": _TEXT,
            "status": {"enum": ["CURRENT", "SUPPORTED"]},
            "links": _list("link"),
        }
    ),
    "link": _object({"rel": _TEXT, "href": _TEXT}),
    "import-info": _object({"import-methods": _ref("import-methods")}),
    "import-methods": _object(
        {
            "description": _TEXT,
            "type": _constant("array"),
            "value": {"type": "array", "items": {"enum": list(IMPORT_METHODS)}},
        }
    ),
    "stores-info": _object({"stores": _list("store")}),
    "store": _object({"id": _TEXT, "default": _constant("true")}),
    "usage-info": _object(
        {"usage": {"type": "object", "additionalProperties": _ref("quota")}}
    ),
    "quota": _object({"limit": {"type": "integer"}, "usage": {"type": "integer"}}),
    "image": {
        "type": "object",
        "required": [*BASE, "self", "file", "schema"],
        "properties": {
            **{name: _IMAGE[name] for name in _IMAGE if name in EXAMPLES["image"]},
            **{name: {"readOnly": True, **_TEXT} for name in _ON_SOME},
        },
        "additionalProperties": _TEXT,
    },
    "images": _object(
        {
            "images": _list("image"),
            "first": _TEXT,
            "next": {**_TEXT, "description": "The next page; absent on the last one"},
            "schema": _TEXT,
        },
        "next",
    ),
    "member": _object(_with_names(SCHEMAS["member"]["properties"])),
    "members": _object({"members": _list("member"), "schema": _TEXT}),
    "new-image": {
        **_NEW_IMAGE,
        "properties": {
            name: schema
            for name, schema in _with_names(_NEW_IMAGE["properties"]).items()
            if name not in _SET_BY_SERVICE
        },
        "propertyNames": {
            "maxLength": bodies.NAME_MAX,
            "pattern": f"^(?!{bodies.RESERVED_PREFIX})",
            "not": {"enum": _SET_BY_SERVICE},
        },
    },
    "patch": {
        "type": "array",
        "items": {"anyOf": [_ref("set-operation"), _ref("remove-operation")]},
    },
    "set-operation": _object(
        {"op": {"enum": ["add", "replace"]}, "path": _POINTER, "value": {}}
    ),
    "remove-operation": _object({"op": _constant("remove"), "path": _POINTER}),
    "old-patch": {
        "type": "array",
        "items": {
            "anyOf": [_ref(f"old-{op}-operation") for op in patch.OPERATIONS],
        },
    },
    **{
        f"old-{op}-operation": _object(
            {op: _POINTER, **({} if op == "remove" else {"value": {}})}
        )
        for op in patch.OPERATIONS
    },
    "import": {
        **_IMPORT,
        "properties": {**_IMPORT["properties"], "method": _ref("import-method")},
    },
    "import-method": {
        **_METHOD,
        "properties": {
            **_METHOD["properties"],
            "uri": {**_TEXT, **_METHOD["properties"]["uri"]},
        },
    },
    "member-update": {
        **BODIES["member-update"],
        "properties": _with_names(BODIES["member-update"]["properties"]),
    },
    **{name: BODIES[name] for name in BODIES if name not in _OWN_FORM},
    **SHARING_DOCUMENTS,
    "tasks": _object({"tasks": _list("task")}),
    "task": _object(
        {
            **dict.fromkeys(("id", "image_id", "request_id", "user_id"), _TEXT),
            "type": _constant("api_image_import"),
            "status": _STATE,
            "owner": _TEXT,
            "expires_at": _NULLABLE,
            **dict.fromkeys(("created_at", "updated_at"), _TEXT),
            "deleted_at": {"type": "null"},
            "deleted": {"type": "boolean"},
            "input": _object({"image_id": _TEXT, "import_req": {"type": "object"}}),
            "result": {"type": ["object", "null"]},
            "message": _TEXT,
        }
    ),
    "upload": _object({**_UPLOAD, "arrived": _list("arrived-part")}, "arrived"),
    "uploads": _object({"uploads": _list("upload")}),
    "begun-upload": _object({**_UPLOAD, **_PARTS}),
    "part-urls": _object(_PARTS),
    "part-url": _object({"part_number": _COUNT, "size": _COUNT, "url": _TEXT}),
    "arrived-part": _object({"part_number": _COUNT, "size": _COUNT, "etag": _TEXT}),
}
"""The schemas, by name."""
