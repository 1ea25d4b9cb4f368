"""The calls on an image's data: download, upload, and import."""

from hashlib import md5, sha512
from http import HTTPStatus
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib import ids, settings
from chalicelib.api import responses
from chalicelib.api.bodies.data import (
    check_content,
    check_range,
    check_store,
    parse_import,
)
from chalicelib.api.bodies.images import check_formats, check_queued
from chalicelib.api.requests import ANY_TYPE, body, caller_of, media_type
from chalicelib.api.responses import TEXT_TYPE, json_response, no_content
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Content, Image, ImageStatus
from chalicelib.domain.import_uris import (
    SourceRefused,
    check_target,
    parse_allowed,
    parse_uri,
)
from chalicelib.domain.quotas import (
    IMAGE_SIZE,
    STAGE_SIZE,
    UPLOADING,
    Usage,
    check_own,
)
from chalicelib.domain.uploads import GLANCE_DIRECT, Upload, UploadState
from chalicelib.errors import BadRequest, Conflict, StaleError, UnsupportedMediaType
from chalicelib.store import images as image_store
from chalicelib.store import objects
from chalicelib.store import uploads as upload_store
from chalicelib.store import usage as usage_store

IMAGE: Final = "/v2/images/{image_id}"

data = Blueprint(__name__)


@data.route(IMAGE + "/file", methods=["GET"], content_types=ANY_TYPE)
def download_data(image_id: str) -> Response:
    """Download an image's data, from where the response redirects to."""
    caller = caller_of(data)
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize_download(caller, loaded)
    if not image.has_data:
        return no_content()
    check_range(data.current_request.headers, image.size or 0)
    return Response(
        "",
        headers={"Content-Type": TEXT_TYPE, "Location": objects.download_url(image)},
        status_code=HTTPStatus.TEMPORARY_REDIRECT,
    )


@data.route(IMAGE + "/file", methods=["PUT"], content_types=ANY_TYPE)
def upload_data(image_id: str) -> Response:
    """Upload the data of an image of your project, if it fits into a request."""
    caller = caller_of(data)
    check_store(data.current_request.headers)
    content = _read_content()
    image = _load_queued(image_id, caller, IMAGE_SIZE)
    check_formats(image)
    description = _describe(content, image)
    if description.refusal:
        raise UnsupportedMediaType(description.refusal)
    after = image.with_data(ids.new_ordered_id(), description)
    _store_data(image, after, content, caller)
    return no_content()


@data.route(IMAGE + "/stage", methods=["PUT"], content_types=ANY_TYPE)
def stage_data(image_id: str) -> Response:
    """Stage data of an image of your project for an import."""
    caller = caller_of(data)
    content = _read_content()
    image = _load_queued(image_id, caller, STAGE_SIZE)
    after = image._replace(
        status=ImageStatus.UPLOADING,
        size=len(content),
        upload_id=ids.new_ordered_id(),
        staged=_describe(content, image),
        failed_import=None,
    )
    _store_data(image, after, content, caller)
    return no_content()


@data.route(IMAGE + "/import", methods=["POST"], content_types=ANY_TYPE)
def import_data(image_id: str) -> Response:
    """Import the data of an image of your project: staged data, or a URL's."""
    caller = caller_of(data)
    check_store(data.current_request.headers)
    method, uri = parse_import(body(data))
    if method == GLANCE_DIRECT:
        loaded, usage = usage_store.load_image_and_usage(image_id, caller.project_id)
    else:  # Its write has its quotas as a condition.
        loaded, usage = image_store.load_image(image_id, caller.project_id), Usage()
    image = policy.authorize("upload_image", caller, loaded)
    upload = upload_store.new_upload(image, method, UploadState.PENDING, caller)
    if method == GLANCE_DIRECT:
        after, upload = _import_staged(image, upload)
        check_own(caller, image, usage, {IMAGE_SIZE: image.size or 0})
    else:
        after, upload = _import_uri(uri, image, upload)
    upload_store.begin_upload(image, after, upload, caller)
    return Response(
        "", headers={"Content-Type": TEXT_TYPE}, status_code=HTTPStatus.ACCEPTED
    )


@data.route(IMAGE + "/tasks", methods=["GET"], content_types=ANY_TYPE)
def list_tasks(image_id: str) -> Response:
    """List the imports of an image of your project, as tasks."""
    caller = caller_of(data)
    loaded = image_store.load_image(image_id, caller.project_id)
    policy.authorize("list_tasks", caller, loaded)
    return json_response(
        responses.present_tasks(upload_store.list_uploads(image_id), caller)
    )


def _read_content() -> bytes:
    request = data.current_request
    content = body(data)
    check_content(media_type(data), request.headers, content)
    return content


def _describe(content: bytes, image: Image) -> Content:
    """Return the description of an image's data, after its inspection."""
    from chalicelib.domain import formats  # noqa: PLC0415 - few requests bring data

    virtual_size = refusal = None
    try:
        virtual_size = formats.inspect(
            lambda start, length: content[start : start + length],
            len(content),
            image.disk_format,
            image.container_format,
            trusted=settings.current.image_formats == "off",
        )
    except formats.FormatRefused as exc:
        refusal = str(exc)
    return Content(
        size=len(content),
        md5=md5(content, usedforsecurity=False).hexdigest(),
        sha512=sha512(content).hexdigest(),
        virtual_size=virtual_size,
        refusal=refusal,
    )


def _load_queued(image_id: str, caller: Caller, quota: str) -> Image:
    """Load an image that waits for data, for a caller who may upload it.

    Raises:
        LimitExceeded: The project is over the quota, or has too many uploads.
        Conflict: It has its data, or another upload goes on.
    """
    loaded, usage = usage_store.load_image_and_usage(image_id, caller.project_id)
    image = policy.authorize("upload_image", caller, loaded)
    check_queued(image)
    check_own(caller, image, usage, {quota: 0, UPLOADING: 1})
    return image


def _store_data(before: Image, after: Image, content: bytes, caller: Caller) -> None:
    """Store data, then record it in the image; or neither."""
    upload_id = after.upload_id or ""
    objects.put_data(after.id, upload_id, content)
    try:
        image_store.update_image(before, after, caller)
    except StaleError:
        latest = image_store.load_image(after.id, "").image
        if latest is None or latest.upload_id != upload_id:
            objects.delete_data(after.id, upload_id)
            raise


def _import_staged(image: Image, upload: Upload) -> tuple[Image, Upload]:
    """Import staged data as it is: it was hashed and inspected when it came."""
    staged = image.staged
    if image.status is not ImageStatus.UPLOADING or staged is None:
        raise Conflict(f"Data must be staged first; the image is {image.status}.")
    check_formats(image, Conflict)
    if staged.refusal:
        failed = upload._replace(state=UploadState.FAILURE, message=staged.refusal)
        return image._replace(failed_import=staged.refusal), failed
    after = image.with_data(image.upload_id or "", staged)
    return after, upload._replace(state=UploadState.SUCCESS)


def _import_uri(uri: str | None, image: Image, upload: Upload) -> tuple[Image, Upload]:
    check_queued(image)
    check_formats(image, Conflict)
    if uri is None:
        raise BadRequest("method.uri must be the URL to import from.")
    allowed = parse_allowed(settings.current.import_allow)
    try:
        check_target(parse_uri(uri), allowed)
    except SourceRefused as exc:
        raise BadRequest(str(exc)) from exc
    upload = upload._replace(uri=uri)
    after = image._replace(
        status=ImageStatus.IMPORTING,
        upload_id=upload.id,
        failed_import=None,
    )
    return after, upload
