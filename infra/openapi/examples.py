"""An example of each document, made as the service makes it."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chalicelib.api import responses
from chalicelib.api.discovery import VERSIONS
from chalicelib.api.extension import present_image_summary, present_membership
from chalicelib.api.schemas import Json
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Content, Image
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.sharing import Sharing
from chalicelib.domain.uploads import (
    DIRECT_UPLOAD,
    WEB_DOWNLOAD,
    Upload,
    UploadState,
)

IMAGE_ID: Final = "8675a4d0-7100-4fa1-bc27-e773fd892e17"
UPLOAD_ID: Final = "019ad0f2-54d6-7c3a-9b11-0f6d1c6d3a52"
SHA512: Final = "0123456789abcdef" * 8
_CREATED: Final = datetime(2026, 11, 28, 3, 27, 3, tzinfo=UTC)
_UPDATED: Final = _CREATED + timedelta(minutes=1)
_GIBIBYTE: Final = 1024**3
_PRODUCER: Final = Caller("producer", "alice", Role.MEMBER, "req-example")

_image: Final = Image(
    id=IMAGE_ID,
    owner="producer",
    created_at=_CREATED,
    updated_at=_UPDATED,
    name="ubuntu-24.04",
    disk_format="qcow2",
    container_format="bare",
    min_disk=10,
    min_ram=512,
    tags=("lts",),
    properties={"os_distro": "ubuntu"},
).with_data(
    UPLOAD_ID,
    Content(
        size=_GIBIBYTE,
        md5="0123456789abcdef" * 2,
        sha512=SHA512,
        virtual_size=10 * _GIBIBYTE,
    ),
)
_member: Final = Member(
    image_id=IMAGE_ID,
    member_id="consumer",
    status=MemberStatus.PENDING,
    created_at=_CREATED,
    updated_at=_CREATED,
)


def _upload(method: str, state: UploadState, **fields: Any) -> Upload:  # noqa: ANN401
    return Upload(
        id=UPLOAD_ID,
        image_id=IMAGE_ID,
        method=method,
        state=state,
        project_id="producer",
        user_id="alice",
        request_id="req-4ae24e0c-8ea8-4ee4-9d7f-0b1cbbd9b3a1",
        created_at=_CREATED,
        updated_at=_UPDATED,
        **fields,
    )


_open: Final = _upload(
    DIRECT_UPLOAD, UploadState.OPEN, size=_GIBIBYTE, part_size=16 * 1024**2
)
_import: Final = _upload(
    WEB_DOWNLOAD, UploadState.SUCCESS, uri="https://images.example.org/ubuntu.qcow2"
)
_part_urls: Final[Json] = {
    "parts": [
        {
            "part_number": 1,
            "size": _open.part_bytes(1),
            "url": "https://bucket.s3.eu-west-1.amazonaws.com/…?partNumber=1&…",
        }
    ],
    "expires_in": 3600,
}
_shown: Final = responses.present_image(_image)
_NOTE: Final = "Hardened, CIS level 1."
_profile: Final[Json] = {
    "display_name": "ACME",
    "contact": "https://acme.example/images",
    "verified": True,
}
_membership: Final = present_membership(Sharing(membership=_member, image=_image))
_summary: Final = present_image_summary(_image)
_offer: Final[Json] = {
    **_membership,
    "note": _NOTE,
    "image": _summary,
    "producer": {"project_id": "producer", **_profile},
}
_own_profile: Final[Json] = {
    "project_id": "producer",
    **_profile,
    "published": True,
    "updated_at": "2026-11-28T03:27:03Z",
}
_share: Final[Json] = {**_membership, "project_id": "consumer", "note": _NOTE}
_result: Final[Json] = {
    "image_id": IMAGE_ID,
    "project_id": "consumer",
    "result": "shared",
    "known": True,
}
_rule: Final[Json] = {"producer_id": "producer", "effect": "accept"}
_begun: Final = responses.present_upload(_open)

EXAMPLES: Final[dict[str, Any]] = {
    "image": _shown,
    "images": {
        "images": [_shown],
        "first": "/v2/images?limit=1",
        "next": f"/v2/images?limit=1&marker={IMAGE_ID}",
        "schema": "/v2/schemas/images",
    },
    "member": responses.present_member(_member),
    "members": responses.present_members([_member]),
    "versions": {
        "versions": [
            {
                "id": f"v{VERSIONS[0]}",
                "status": "CURRENT",
                "links": [{"rel": "self", "href": "https://images.example.org/v2/"}],
            }
        ]
    },
    "tasks": responses.present_tasks([_import], _PRODUCER),
    "begun-upload": {**_begun, **_part_urls},
    "upload": {
        **_begun,
        "arrived": [
            {"part_number": 1, "size": _open.part_bytes(1), "etag": SHA512[:32]}
        ],
    },
    "uploads": {"uploads": [_begun]},
    "part-urls": _part_urls,
    "new-image": {
        "name": "ubuntu-24.04",
        "disk_format": "qcow2",
        "container_format": "bare",
        "tags": ["lts"],
        "os_distro": "ubuntu",
    },
    "patch": [
        {"op": "replace", "path": "/name", "value": "ubuntu-24.04.1"},
        {"op": "add", "path": "/os_version", "value": "24.04"},
    ],
    "old-patch": [{"replace": "/name", "value": "ubuntu-24.04.1"}],
    "new-member": {"member": "consumer"},
    "member-update": {"status": "accepted"},
    "import": {"method": {"name": WEB_DOWNLOAD, "uri": _import.uri}},
    "new-upload": {"size": _GIBIBYTE, "sha512": SHA512},
    "part-numbers": {"part_numbers": [1, 2]},
    "completion": {"sha512": SHA512},
    "extension-limits": {
        "project_id": "consumer",
        "limits": {"page": 100, "pairs": 500},
    },
    "offer": _offer,
    "offers": {
        "memberships": [{**_offer, "muted": False}],
        "counts": {"pending": 1, "muted": 0, "approximate": True},
        "next": None,
    },
    "answer": {"status": "accepted"},
    "answered-offer": {"result": "changed", **_membership},
    "answers": {
        "answers": [{"image_id": IMAGE_ID, "status": "accepted"}],
        "dry_run": True,
    },
    "answer-results": {
        "results": [{"image_id": IMAGE_ID, "result": "changed"}],
        "next": None,
    },
    "shares": {"memberships": [{**_share, "image": _summary}], "next": None},
    "image-shares": {
        "image_id": IMAGE_ID,
        "visibility": "shared",
        "image": _summary,
        "members": [{name: _share[name] for name in _share if name != "image_id"}],
    },
    "share": {"note": _NOTE},
    "share-result": _result,
    "exact-members": {"members": [{"project_id": "consumer", "note": _NOTE}]},
    "bulk": {
        "action": "share",
        "images": [IMAGE_ID],
        "projects": ["consumer"],
        "note": _NOTE,
        "dry_run": True,
    },
    "share-results": {"results": [_result], "next": None},
    "recipient": {"project_id": "consumer", "known": True, "profile": _profile},
    "profile": {"display_name": "ACME", "published": True},
    "own-profile": _own_profile,
    "verified": {
        "verified": True,
        "display_name": "ACME",
        "contact": "https://acme.example/images",
    },
    "offer-rule": {"effect": "accept"},
    "producer-rule": _rule,
    "producer-rules": {"rules": [_rule], "next": None},
}
"""The examples, by the names of the documents."""

MESSAGES: Final = {
    400: "limit must be a whole number, 0 or more.",
    401: "The token is missing, wrong or expired.",
    403: "A member of an image may not change it.",
    404: f"No image found with ID {IMAGE_ID}",
    409: "The image was modified concurrently; retry.",
    413: "An image can have at most 128 members.",
    415: "Content-Type must be application/octet-stream.",
    416: "Range must be one range of bytes, such as bytes=0-1023.",
    500: "Internal server error.",
    503: "The identity service is unavailable; retry.",
}
"""A message of each status."""
