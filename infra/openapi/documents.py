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
from infra.openapi.schemas import COUNT, NULLABLE, STRING, list_of, object_of, ref
from infra.openapi.sharing import SHARING_DOCUMENTS

DATA: Final = "data"
"""The name of an image's data, which has no schema."""

_STATE: Final = ref("upload-state")


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
        return {"anyOf": [ref(name), {"type": "null"}], **rest}
    return {"allOf": [ref(name)], **rest}


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
    **dict.fromkeys(("self", "id", "image_id"), STRING),
    "state": _STATE,
    "size": {**COUNT, "description": "Size of the whole data in bytes"},
    "part_size": {**COUNT, "description": "Size of each part but the last in bytes"},
    "part_count": COUNT,
    "hashed": {**COUNT, "description": "Bytes that the service has hashed so far"},
    "message": {**STRING, "description": "Why the upload failed"},
    **dict.fromkeys(("created_at", "updated_at"), STRING),
}
_POINTER: Final[Json] = {
    "type": "string",
    "pattern": f"^{patch.POINTER.pattern}$",
    "description": "JSON pointer to an attribute or a custom property, as /name",
}
_PARTS: Final[Json] = {
    "parts": {"type": "array", "items": ref("part-url")},
    "expires_in": {**COUNT, "description": "How long the URLs are valid, in seconds"},
}

DOCUMENTS: Final[dict[str, Json]] = {
    **{name: {"type": "string", "enum": words} for name, words in ENUMERATIONS.items()},
    "error": object_of({"code": STRING, "title": STRING, "message": STRING}),
    "problem": object_of(
        {
            "title": STRING,
            "status": {"type": "integer"},
            "detail": STRING,
            "reason": STRING,
        }
    ),
    "schema": {"type": "object", "description": "A JSON schema"},
    "versions": object_of({"versions": list_of("version")}),
    "version": object_of(
        {
            "id": STRING,
            "status": {"enum": ["CURRENT", "SUPPORTED"]},
            "links": list_of("link"),
        }
    ),
    "link": object_of({"rel": STRING, "href": STRING}),
    "import-info": object_of({"import-methods": ref("import-methods")}),
    "import-methods": object_of(
        {
            "description": STRING,
            "type": _constant("array"),
            "value": {"type": "array", "items": {"enum": list(IMPORT_METHODS)}},
        }
    ),
    "stores-info": object_of({"stores": list_of("store")}),
    "store": object_of({"id": STRING, "default": _constant("true")}),
    "usage-info": object_of(
        {"usage": {"type": "object", "additionalProperties": ref("quota")}}
    ),
    "quota": object_of({"limit": {"type": "integer"}, "usage": {"type": "integer"}}),
    "image": {
        "type": "object",
        "required": [*BASE, "self", "file", "schema"],
        "properties": {
            **{name: _IMAGE[name] for name in _IMAGE if name in EXAMPLES["image"]},
            **{name: {"readOnly": True, **STRING} for name in _ON_SOME},
        },
        "additionalProperties": STRING,
    },
    "images": object_of(
        {
            "images": list_of("image"),
            "first": STRING,
            "next": {**STRING, "description": "The next page; absent on the last one"},
            "schema": STRING,
        },
        "next",
    ),
    "member": object_of(_with_names(SCHEMAS["member"]["properties"])),
    "members": object_of({"members": list_of("member"), "schema": STRING}),
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
        "items": {"anyOf": [ref("set-operation"), ref("remove-operation")]},
    },
    "set-operation": object_of(
        {"op": {"enum": ["add", "replace"]}, "path": _POINTER, "value": {}}
    ),
    "remove-operation": object_of({"op": _constant("remove"), "path": _POINTER}),
    "old-patch": {
        "type": "array",
        "items": {
            "anyOf": [ref(f"old-{op}-operation") for op in patch.OPERATIONS],
        },
    },
    **{
        f"old-{op}-operation": object_of(
            {op: _POINTER, **({} if op == "remove" else {"value": {}})}
        )
        for op in patch.OPERATIONS
    },
    "import": {
        **_IMPORT,
        "properties": {**_IMPORT["properties"], "method": ref("import-method")},
    },
    "import-method": {
        **_METHOD,
        "properties": {
            **_METHOD["properties"],
            "uri": {**STRING, **_METHOD["properties"]["uri"]},
        },
    },
    "member-update": {
        **BODIES["member-update"],
        "properties": _with_names(BODIES["member-update"]["properties"]),
    },
    **{name: BODIES[name] for name in BODIES if name not in _OWN_FORM},
    **SHARING_DOCUMENTS,
    "tasks": object_of({"tasks": list_of("task")}),
    "task": object_of(
        {
            **dict.fromkeys(("id", "image_id", "request_id", "user_id"), STRING),
            "type": _constant("api_image_import"),
            "status": _STATE,
            "owner": STRING,
            "expires_at": NULLABLE,
            **dict.fromkeys(("created_at", "updated_at"), STRING),
            "deleted_at": {"type": "null"},
            "deleted": {"type": "boolean"},
            "input": object_of({"image_id": STRING, "import_req": {"type": "object"}}),
            "result": {"type": ["object", "null"]},
            "message": STRING,
        }
    ),
    "upload": object_of({**_UPLOAD, "arrived": list_of("arrived-part")}, "arrived"),
    "uploads": object_of({"uploads": list_of("upload")}),
    "begun-upload": object_of({**_UPLOAD, **_PARTS}),
    "part-urls": object_of(_PARTS),
    "part-url": object_of({"part_number": COUNT, "size": COUNT, "url": STRING}),
    "arrived-part": object_of({"part_number": COUNT, "size": COUNT, "etag": STRING}),
}
"""The schemas, by name."""
