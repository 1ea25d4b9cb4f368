"""The calls on images."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from chalice.app import Blueprint, Response

from chalicelib import clock, ids
from chalicelib.api import patch, responses
from chalicelib.api.bodies.images import (
    NewImage,
    check_image,
    check_limits,
    check_owner,
    parse_new_image,
)
from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.list_parameters import parse_list_query
from chalicelib.api.requests import (
    ANY_TYPE,
    base_url,
    body,
    caller_of,
    media_type,
    query_params,
)
from chalicelib.api.responses import json_response, no_content
from chalicelib.api.schemas import Json
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import STORE, Image, ImageStatus
from chalicelib.domain.list_queries import Params
from chalicelib.domain.quotas import IMAGE_COUNT, check_own, is_limited
from chalicelib.domain.uploads import IMPORT_METHODS
from chalicelib.errors import Forbidden, NotFound
from chalicelib.store import images as image_store
from chalicelib.store import lists
from chalicelib.store import usage as usage_store

TAG: Final = "/v2/images/{image_id}/tags/{tag}"
ACTIONS: Final = "/v2/images/{image_id}/actions"

images = Blueprint(__name__)


@images.route("/v2/images", methods=["POST"], content_types=ANY_TYPE)
def create_image() -> Response:
    """Register an image of your project."""
    caller = caller_of(images)
    image = _new_image(caller, parse_new_image(body(images)))
    check_limits(image)
    policy.authorize_creation(caller, image)
    check_owner(image.owner)
    if is_limited((IMAGE_COUNT,)):
        usage = usage_store.load_usage(caller.project_id)
        check_own(caller, image, usage, {IMAGE_COUNT: 1})
    image_store.create_image(image, caller)
    return json_response(
        responses.present_image(image),
        HTTPStatus.CREATED,
        {
            "Location": f"{base_url(images.current_request)}/v2/images/{image.id}",
            "OpenStack-image-import-methods": ",".join(IMPORT_METHODS),
            "OpenStack-image-store-ids": STORE,
        },
    )


@images.route("/v2/images", methods=["GET"], content_types=ANY_TYPE)
def list_images() -> Response:
    """List the images of your project, the public ones, and those it accepted."""
    caller = caller_of(images)
    params = query_params(images)
    policy.require_role("list_images", caller)
    page = lists.list_images(parse_list_query(params), caller, responses.encode_image)
    links = _page_links(page, params)
    return responses.encoded_response(responses.encode_images(page.images, links))


@images.route("/v2/images/{image_id}", methods=["GET"], content_types=ANY_TYPE)
def show_image(image_id: str) -> Response:
    """Show an image that your project may see, whatever it answered to a share."""
    caller = caller_of(images)
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("show_image", caller, loaded)
    return json_response(responses.present_image(image))


@images.route("/v2/images/{image_id}", methods=["PATCH"], content_types=ANY_TYPE)
def update_image(image_id: str) -> Response:
    """Change an image of your project: all that the patch says, or nothing."""
    caller = caller_of(images)
    operations = patch.parse_patch(media_type(images), body(images))
    loaded = image_store.load_image(image_id, caller.project_id)
    before = policy.authorize("update_image", caller, loaded)
    after = patch.apply_patch(before, operations)
    policy.authorize_change(caller, loaded, before, after)
    check_owner(after.owner)
    # As in the reference, a patch that changes nothing is an update, an empty one none.
    image = image_store.update_image(before, after, caller) if operations else before
    return json_response(responses.present_image(image))


@images.route("/v2/images/{image_id}", methods=["DELETE"], content_types=ANY_TYPE)
def delete_image(image_id: str) -> Response:
    """Delete an image of your project, for its members too."""
    caller = caller_of(images)
    check_no_body(body(images))
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("delete_image", caller, loaded)
    if image.protected:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
    image_store.delete_image(image, caller)
    return no_content()


@images.route(TAG, methods=["PUT"], content_types=ANY_TYPE)
def add_tag(image_id: str, tag: str) -> Response:
    """Put a tag on an image of your project."""
    caller = caller_of(images)
    check_no_body(body(images))
    check_image({"tags": [tag]})
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("update_image", caller, loaded)
    tagged = image._replace(tags=tuple(dict.fromkeys((*image.tags, tag))))
    check_limits(tagged, image)
    image_store.update_image(image, tagged, caller)
    return no_content()


@images.route(TAG, methods=["DELETE"], content_types=ANY_TYPE)
def remove_tag(image_id: str, tag: str) -> Response:
    """Take a tag off an image of your project."""
    caller = caller_of(images)
    check_no_body(body(images))
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("update_image", caller, loaded)
    if tag not in image.tags:
        raise NotFound(f"The image {image_id} has no tag {tag!r}.")
    tags = tuple(kept for kept in image.tags if kept != tag)
    image_store.update_image(image, image._replace(tags=tags), caller)
    return no_content()


@images.route(ACTIONS + "/deactivate", methods=["POST"], content_types=ANY_TYPE)
def deactivate_image(image_id: str) -> Response:
    """Stop every download of an image's data, for a while."""
    return _set_status(image_id, ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)


@images.route(ACTIONS + "/reactivate", methods=["POST"], content_types=ANY_TYPE)
def reactivate_image(image_id: str) -> Response:
    """Allow downloads of an image's data again."""
    return _set_status(image_id, ImageStatus.DEACTIVATED, ImageStatus.ACTIVE)


def _set_status(image_id: str, before: ImageStatus, after: ImageStatus) -> Response:
    caller = caller_of(images)
    check_no_body(body(images))
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("update_image", caller, loaded)
    if image.status not in (before, after):
        raise Forbidden(f"The image is {image.status}; it must be {before} or {after}.")
    image_store.update_image(image, image._replace(status=after), caller)
    return no_content()


def _new_image(caller: Caller, new: NewImage) -> Image:
    now = clock.now()
    fields: Json = {"id": ids.new_id(), "owner": caller.project_id} | new.fields
    return Image(
        **fields,
        created_at=now,
        updated_at=now,
        properties=new.properties,
    )


def _page_links(page: lists.Page, params: Params) -> dict[str, str]:
    """Return a list's links; `first` and `next` keep every parameter."""
    kept = [(key, value) for key, value in params if key != "marker"]
    links = {"first": _list_url(kept)}
    if page.next_marker is not None:
        links["next"] = _list_url([*kept, ("marker", page.next_marker)])
    return links


def _list_url(params: Params) -> str:
    return f"/v2/images?{urlencode(params)}" if params else "/v2/images"
