"""The responses: the documents of images, memberships, tasks and uploads."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from chalice.app import Response

from chalicelib.api.schemas import BASE, Json
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import STORE, Image, ImageStatus
from chalicelib.domain.members import Member
from chalicelib.domain.uploads import IMPORT_METHODS, UPLOAD_KEPT, Upload, UploadState

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
TEXT_TYPE: Final = "text/plain; charset=UTF-8"

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def json_response(
    document: Any,  # noqa: ANN401 - any JSON
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with a JSON body."""
    return encoded_response(_encode(document), status, headers)


def encoded_response(
    text: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with a body that is JSON already."""
    return Response(
        text,
        headers={"Content-Type": JSON_TYPE, **(headers or {})},
        status_code=status,
    )


def no_content() -> Response:
    """Return a response without a body."""
    return Response("", headers={}, status_code=HTTPStatus.NO_CONTENT)


def present_image(image: Image) -> Json:
    """Return an image's document: custom properties, then every base attribute."""
    document: Json = dict(image.properties)
    for name in BASE:
        document[name] = getattr(image, name)
    document["created_at"] = present_time(image.created_at)
    document["updated_at"] = present_time(image.updated_at)
    document["tags"] = list(image.tags)
    if image.has_data:
        document["stores"] = STORE
    if image.status is ImageStatus.IMPORTING:
        document["os_glance_importing_to_stores"] = STORE
    if image.failed_import is not None:
        document["os_glance_failed_import"] = image.failed_import
    document["self"] = f"/v2/images/{image.id}"
    document["file"] = f"/v2/images/{image.id}/file"
    document["schema"] = "/v2/schemas/image"
    return document


def encode_image(image: Image) -> str:
    """Encode an image's document as JSON."""
    return _encode(present_image(image))


def encode_images(images: Iterable[str], links: Mapping[str, str]) -> str:
    """Encode the document of a list of encoded images."""
    rest = _encode({**links, "schema": "/v2/schemas/images"})
    return f'{{"images": [{", ".join(images)}], {rest[1:]}'


def present_member(member: Member) -> Json:
    """Return a membership's document."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": present_time(member.created_at),
        "updated_at": present_time(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def present_members(members: Iterable[Member]) -> Json:
    """Return the document of an image's members."""
    return {
        "members": [present_member(member) for member in members],
        "schema": "/v2/schemas/members",
    }


def present_tasks(uploads: Iterable[Upload], caller: Caller) -> Json:
    """Return the document of an image's tasks: its imports."""
    return {
        "tasks": [
            _present_task(upload, caller)
            for upload in uploads
            if upload.method in IMPORT_METHODS
        ]
    }


def _present_task(upload: Upload, caller: Caller) -> Json:
    method = {"name": upload.method}
    if upload.uri is not None and policy.sees_source(caller, upload):
        method["uri"] = upload.uri
    done = upload.state is UploadState.SUCCESS
    ends = upload.updated_at + UPLOAD_KEPT if upload.is_over else None
    return {
        "id": upload.id,
        "image_id": upload.image_id,
        "request_id": upload.request_id,
        "user_id": upload.user_id,
        "type": "api_image_import",
        "status": upload.state,
        "owner": upload.project_id,
        "expires_at": present_time(ends) if ends else None,
        "created_at": present_time(upload.created_at),
        "updated_at": present_time(upload.updated_at),
        "deleted_at": None,
        "deleted": False,
        "input": {"image_id": upload.image_id, "import_req": {"method": method}},
        "result": {"image_id": upload.image_id} if done else None,
        "message": upload.message,
    }


def present_upload(upload: Upload) -> Json:
    """Return the document of a direct upload."""
    place = f"/ext/v1/images/{upload.image_id}/uploads/{upload.id}"
    return {
        "self": place,
        "id": upload.id,
        "image_id": upload.image_id,
        "state": upload.state,
        "size": upload.size,
        "part_size": upload.part_size,
        "part_count": upload.part_count,
        "hashed": upload.reached,
        "message": upload.message,
        "created_at": present_time(upload.created_at),
        "updated_at": present_time(upload.updated_at),
    }


def present_time(time: datetime) -> str:
    """Format a time as documents have it: in UTC, to the second."""
    # Half the time of `strftime`, and a list of members has some hundred times.
    return f"{time.isoformat()[:19]}Z"
