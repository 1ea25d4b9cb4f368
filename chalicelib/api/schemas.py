"""The schemas of documents: those that the API serves, and of the bodies of requests.

Each body is validated by its schema, and the OpenAPI document describes it by the same.
"""

from typing import Any, Final

from chalicelib.domain.images import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    STORE,
    UUID,
    ImageStatus,
    Visibility,
)
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.uploads import IMPORT_METHODS, PARTS_MAX

Json = dict[str, Any]

BASE: Final = (
    "name", "disk_format", "container_format", "visibility", "size", "virtual_size",
    "status", "checksum", "protected", "min_ram", "min_disk", "owner", "os_hidden",
    "os_hash_algo", "os_hash_value", "id", "created_at", "updated_at", "tags",
)  # fmt: skip
"""The attributes of every image, in the order in which the API shows them."""

_UUID_PATTERN: Final = f"^{UUID}$"


def _read_only(schema: Json) -> Json:
    return {"readOnly": True, **schema}


_NULLABLE: Final = ["null", "string"]
_SIZE: Final = {"type": ["null", "integer"]}

IMAGE_SCHEMA: Final[Json] = {
    "name": "image",
    "properties": {
        "id": {
            "type": "string",
            "description": "An identifier for the image",
            "pattern": _UUID_PATTERN,
        },
        "name": {
            "type": _NULLABLE,
            "description": "Descriptive name for the image",
            "maxLength": 255,
        },
        "status": _read_only(
            {
                "type": "string",
                "description": "Status of the image",
                "enum": [str(status) for status in ImageStatus],
            }
        ),
        "visibility": {
            "type": "string",
            "description": "Scope of image accessibility",
            "enum": [str(visibility) for visibility in Visibility],
        },
        "protected": {
            "type": "boolean",
            "description": "If true, image will not be deletable.",
        },
        "os_hidden": {
            "type": "boolean",
            "description": "If true, image will not appear in default image list.",
        },
        "checksum": _read_only(
            {
                "type": _NULLABLE,
                "description": "md5 hash of image contents.",
                "maxLength": 32,
            }
        ),
        "os_hash_algo": _read_only(
            {
                "type": _NULLABLE,
                "description": "Algorithm to calculate the os_hash_value",
                "maxLength": 64,
            }
        ),
        "os_hash_value": _read_only(
            {
                "type": _NULLABLE,
                "description": "Hexdigest of the image contents by os_hash_algo",
                "maxLength": 128,
            }
        ),
        "owner": {
            "type": _NULLABLE,
            "description": "Owner of the image",
            "maxLength": 255,
        },
        "size": _read_only({**_SIZE, "description": "Size of image file in bytes"}),
        "virtual_size": _read_only(
            {**_SIZE, "description": "Virtual size of image in bytes"}
        ),
        "container_format": {
            "type": _NULLABLE,
            "description": "Format of the container",
            "enum": [None, *CONTAINER_FORMATS],
        },
        "disk_format": {
            "type": _NULLABLE,
            "description": "Format of the disk",
            "enum": [None, *DISK_FORMATS],
        },
        "created_at": _read_only(
            {"type": "string", "description": "Date and time of image registration"}
        ),
        "updated_at": _read_only(
            {"type": "string", "description": "Date and time of the last change"}
        ),
        "tags": {
            "type": "array",
            "description": "List of strings related to the image",
            "items": {"type": "string", "maxLength": 255},
        },
        "direct_url": _read_only(
            {
                "type": "string",
                "description": "URL to access the image file kept in external store",
            }
        ),
        "min_ram": {
            "type": "integer",
            "description": "Amount of ram (in MB) required to boot image.",
        },
        "min_disk": {
            "type": "integer",
            "description": "Amount of disk space (in GB) required to boot image.",
        },
        "self": _read_only({"type": "string", "description": "An image self url"}),
        "file": _read_only({"type": "string", "description": "An image file url"}),
        "stores": _read_only(
            {
                "type": "string",
                "description": "Store in which image data resides.",
            }
        ),
        "schema": _read_only({"type": "string", "description": "An image schema url"}),
        "locations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "url": {"type": "string", "maxLength": 255},
                    "metadata": {"type": "object"},
                    "validation_data": {
                        "description": "Values to be used to populate the"
                        " corresponding image properties.",
                        "type": "object",
                        "writeOnly": True,
                        "additionalProperties": False,
                        "properties": {
                            "checksum": {
                                "type": "string",
                                "minLength": 32,
                                "maxLength": 32,
                            },
                            "os_hash_algo": {"type": "string", "maxLength": 64},
                            "os_hash_value": {"type": "string", "maxLength": 128},
                        },
                        "required": ["os_hash_algo", "os_hash_value"],
                    },
                },
                "required": ["url", "metadata"],
            },
            "description": "A set of URLs to access the image file kept in external"
            " store",
        },
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

MEMBER_SCHEMA: Final[Json] = {
    "name": "member",
    "properties": {
        "member_id": {
            "type": "string",
            "description": "An identifier for the image member (tenantId)",
        },
        "image_id": {
            "type": "string",
            "description": "An identifier for the image",
            "pattern": _UUID_PATTERN,
        },
        "created_at": {
            "type": "string",
            "description": "Date and time of image member creation",
        },
        "updated_at": {
            "type": "string",
            "description": "Date and time of last modification of image member",
        },
        "status": {
            "type": "string",
            "description": "The status of this image member",
            "enum": [str(status) for status in MemberStatus],
        },
        "schema": {"readOnly": True, "type": "string"},
    },
}

IMAGES_SCHEMA: Final[Json] = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": IMAGE_SCHEMA},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

MEMBERS_SCHEMA: Final[Json] = {
    "name": "members",
    "properties": {
        "members": {"type": "array", "items": MEMBER_SCHEMA},
        "schema": {"type": "string"},
    },
    "links": [{"rel": "describedby", "href": "{schema}"}],
}

SCHEMAS: Final = {
    "image": IMAGE_SCHEMA,
    "images": IMAGES_SCHEMA,
    "member": MEMBER_SCHEMA,
    "members": MEMBERS_SCHEMA,
}
"""The documents at `/v2/schemas/{name}`."""

OBJECT_MAX: Final = 5 * 1024**4
"""Maximum size of an object of S3, in bytes; AWS's documentation has 5 TiB and more."""

URLS_MAX: Final = 100
"""Maximum number of parts' URLs in a response."""

PROJECT_ID: Final = (
    "a project id: a string of 1 to 255 characters, at most 1000 bytes, neither . nor"
    " .., without / and control characters"
)

_INTEGER: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_SHA512: Final = {
    "type": _NULLABLE,
    "pattern": "^[0-9a-f]{128}$",
    "description": "128 hexadecimal digits, lower case",
}

BODIES: Final[dict[str, Json]] = {
    "new-image": {
        "type": "object",
        "properties": {
            **IMAGE_SCHEMA["properties"],
            "min_disk": _INTEGER,
            "min_ram": _INTEGER,
        },
        "additionalProperties": {"type": "string"},
    },
    "new-member": {
        "type": "object",
        "required": ["member"],
        "properties": {
            "member": {
                "type": "string",
                "maxLength": 255,
                "pattern": r"^[^/\x00-\x1f\x7f-\x9f]+$",
                "not": {"enum": [".", ".."]},
                "description": PROJECT_ID,
            }
        },
    },
    "member-update": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {
                "enum": [str(status) for status in MemberStatus],
                "description": '"pending", "accepted" or "rejected"',
            }
        },
    },
    "import": {
        "type": "object",
        "required": ["method"],
        "properties": {
            "method": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {
                        "enum": list(IMPORT_METHODS),
                        "description": " or ".join(IMPORT_METHODS),
                    },
                    "uri": {"description": "the URL to import from: of web-download"},
                },
            },
            "stores": {
                "type": "array",
                "items": {"enum": [STORE]},
                "minItems": 1,
                "maxItems": 1,
                "description": f'["{STORE}"]',
            },
        },
    },
    "new-upload": {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {
                "type": "integer",
                "minimum": 1,
                "maximum": OBJECT_MAX,
                "description": f"a number of bytes, 1 to {OBJECT_MAX}",
            },
            "sha512": _SHA512,
        },
    },
    "part-numbers": {
        "type": "object",
        "required": ["part_numbers"],
        "properties": {
            "part_numbers": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": PARTS_MAX},
                "minItems": 1,
                "maxItems": URLS_MAX,
                "uniqueItems": True,
                "description": f"a list of 1 to {URLS_MAX} different part numbers",
            }
        },
    },
    "completion": {
        "type": "object",
        "properties": {
            "etags": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "a list of the parts' ETags",
            },
            "sha512": _SHA512,
        },
    },
}
"""
The bodies of requests; in a description is what a refused value "must be".
"""
