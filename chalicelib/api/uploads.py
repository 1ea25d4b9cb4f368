"""The calls of direct uploads: a client sends an image's data to S3 itself, in parts.

They are ours, beyond the Images API, for data of any size. S3 keeps what has arrived,
so a client may stop and go on; a worker puts the parts together and hashes the whole.
"""

from contextlib import suppress
from http import HTTPStatus
from math import ceil
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib.api import responses
from chalicelib.api.bodies.images import check_formats, check_queued
from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.bodies.uploads import (
    parse_completion,
    parse_new_upload,
    parse_part_numbers,
)
from chalicelib.api.requests import ANY_TYPE, base_url, body, caller_of
from chalicelib.api.responses import json_response, no_content
from chalicelib.api.schemas import URLS_MAX, Json
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.uploads import DIRECT_UPLOAD, PARTS_MAX, Upload, UploadState
from chalicelib.errors import Conflict, LimitExceeded, NotFound, StaleError
from chalicelib.store import images as image_store
from chalicelib.store import objects
from chalicelib.store import uploads as upload_store
from chalicelib.store.objects import MissingError

UPLOADS: Final = "/ext/v1/images/{image_id}/uploads"
UPLOAD: Final = UPLOADS + "/{upload_id}"

PART_BYTES: Final = 16 * 1024**2
"""Minimum size of a part, in bytes; large data has larger ones, as S3 takes 10,000."""

_MEBIBYTE = 1024**2

uploads = Blueprint(__name__)


@uploads.route(UPLOADS, methods=["POST"], content_types=ANY_TYPE)
def begin_upload(image_id: str) -> Response:
    """Begin to send an image's data to S3 in parts."""
    caller = caller_of(uploads)
    size, sha512 = parse_new_upload(body(uploads))
    image = _load_image(image_id, caller)
    check_queued(image)
    check_formats(image)
    upload = _begin_multipart(image, size, sha512, caller)
    after = image._replace(
        status=ImageStatus.SAVING, upload_id=upload.id, failed_import=None
    )
    try:
        upload_store.begin_upload(image, after, upload, caller)
    except (StaleError, LimitExceeded):
        objects.delete_upload(upload)
        raise
    document = responses.present_upload(upload)
    location = base_url(uploads.current_request) + document["self"]
    first = range(1, min(upload.part_count, URLS_MAX) + 1)
    return json_response(
        document | _part_urls(upload, list(first)),
        HTTPStatus.CREATED,
        {"Location": location},
    )


@uploads.route(UPLOADS, methods=["GET"], content_types=ANY_TYPE)
def list_uploads(image_id: str) -> Response:
    """See the direct uploads of an image: the one that goes on, and those of late."""
    _load_image(image_id, caller_of(uploads))
    documents = [
        responses.present_upload(upload)
        for upload in upload_store.list_uploads(image_id)
        if upload.method == DIRECT_UPLOAD
    ]
    return json_response({"uploads": documents})


@uploads.route(UPLOAD, methods=["GET"], content_types=ANY_TYPE)
def show_upload(image_id: str, upload_id: str) -> Response:
    """See how far a direct upload has come: which parts S3 has, while it is open."""
    upload = _load_upload(image_id, upload_id, caller_of(uploads))
    document = responses.present_upload(upload)
    if upload.state is UploadState.OPEN:
        document["arrived"] = [
            {"part_number": part.number, "size": part.size, "etag": part.etag}
            for part in _list_parts(upload)
        ]
    return json_response(document)


@uploads.route(UPLOAD + "/urls", methods=["POST"], content_types=ANY_TYPE)
def sign_parts(image_id: str, upload_id: str) -> Response:
    """Get the URLs to send parts to, again or for more of them."""
    raw = body(uploads)
    upload = _load_open(image_id, upload_id, caller_of(uploads))
    numbers = parse_part_numbers(raw, upload.part_count)
    with suppress(StaleError):  # It was touched just now: its client is still there.
        upload_store.save_upload(upload, upload)
    return json_response(_part_urls(upload, numbers))


@uploads.route(UPLOAD + "/complete", methods=["POST"], content_types=ANY_TYPE)
def complete_upload(image_id: str, upload_id: str) -> Response:
    """Complete a direct upload; the image is active once its data is hashed."""
    etags, sha512 = parse_completion(body(uploads))
    upload = _load_upload(image_id, upload_id, caller_of(uploads))
    if upload.state is UploadState.OPEN:
        etag = _check_parts(upload, etags)
        if sha512 and upload.sha512 not in (None, sha512):
            raise Conflict("sha512 differs from the value sent when the upload began.")
        sha512 = sha512 or upload.sha512
        pending = upload._replace(state=UploadState.PENDING, sha512=sha512, etag=etag)
        upload = upload_store.save_upload(upload, pending)
    if upload.state is UploadState.FAILURE:
        raise Conflict(f"The upload failed: {upload.message}")
    return json_response(responses.present_upload(upload), HTTPStatus.ACCEPTED)


@uploads.route(UPLOAD, methods=["DELETE"], content_types=ANY_TYPE)
def abort_upload(image_id: str, upload_id: str) -> Response:
    """Abort a direct upload; the image waits for data again."""
    check_no_body(body(uploads))
    upload = _load_upload(image_id, upload_id, caller_of(uploads))
    if upload.state is UploadState.SUCCESS:
        raise Conflict("The upload has succeeded and cannot be aborted.")
    if not upload.is_over:
        over = upload._replace(state=UploadState.FAILURE, message="It was aborted.")
        if upload_store.end_upload(upload, over, _without_upload) is None:
            upload_store.save_upload(upload, over)
    objects.delete_upload(upload)  # Only now: no run can make it succeed any more.
    return no_content()


def _without_upload(image: Image) -> Image:
    return image._replace(status=ImageStatus.QUEUED, upload_id=None)


def _load_image(image_id: str, caller: Caller) -> Image:
    loaded = image_store.load_image(image_id, caller.project_id)
    return policy.authorize("upload_image", caller, loaded)


def _load_upload(image_id: str, upload_id: str, caller: Caller) -> Upload:
    _load_image(image_id, caller)
    upload = upload_store.load_upload(image_id, upload_id)
    if upload is None or upload.method != DIRECT_UPLOAD:
        raise NotFound(f"No upload found with ID {upload_id} for image {image_id}")
    return upload


def _load_open(image_id: str, upload_id: str, caller: Caller) -> Upload:
    upload = _load_upload(image_id, upload_id, caller)
    if upload.state is not UploadState.OPEN:
        raise Conflict(
            f"The upload accepts no more parts: its state is {upload.state}."
        )
    return upload


def _begin_multipart(
    image: Image, size: int, sha512: str | None, caller: Caller
) -> Upload:
    """Start an upload in S3; nothing in the table names it yet."""
    most = ceil(size / PARTS_MAX)
    upload = upload_store.new_upload(image, DIRECT_UPLOAD, UploadState.OPEN, caller)
    return upload._replace(
        size=size,
        part_size=max(PART_BYTES, ceil(most / _MEBIBYTE) * _MEBIBYTE),
        sha512=sha512,
        multipart_id=objects.begin_multipart(image.id, upload.id),
    )


def _part_urls(upload: Upload, numbers: list[int]) -> Json:
    return {
        "parts": [
            {
                "part_number": number,
                "size": upload.part_bytes(number),
                "url": objects.part_url(upload, number),
            }
            for number in numbers
        ],
        "expires_in": objects.PART_SECONDS,
    }


def _list_parts(upload: Upload) -> list[objects.Part]:
    try:
        return objects.list_parts(upload)
    except MissingError as exc:
        raise Conflict(
            "S3 no longer has this upload; abort it and begin another."
        ) from exc


def _check_parts(upload: Upload, etags: list[str] | None) -> str:
    """Check that S3 has each part, of the right size and with the client's ETag.

    Return the ETag that S3 will give to the object it makes of these parts.

    Raises:
        Conflict: It has not; the message names the first such part.
    """
    arrived = {part.number: part for part in _list_parts(upload)}
    if etags is not None and len(etags) != upload.part_count:
        raise Conflict(f"The upload has {upload.part_count} parts, not {len(etags)}.")
    for number in range(1, upload.part_count + 1):
        part, wanted = arrived.get(number), upload.part_bytes(number)
        if part is None:
            raise Conflict(f"Part {number} of {upload.part_count} has not arrived.")
        if part.size != wanted:
            raise Conflict(f"Part {number} has {part.size} bytes, not {wanted}.")
        if etags is not None and part.etag != etags[number - 1]:
            raise Conflict(f"Part {number} has another ETag: {part.etag}.")
    return objects.etag_of_parts(list(arrived.values()))
