"""
The calls on images.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from chalice.app import Blueprint, Response

from chalicelib import bodies, environment, listing, policy, store
from chalicelib.domain import Caller, Found, Image
from chalicelib.errors import Forbidden
from chalicelib.filters import Params, parse_list_query
from chalicelib.schemas import Json
from chalicelib.web import (
    ANY_TYPE,
    answer,
    base_url,
    body,
    caller,
    no_content,
    params,
)

IMPORT_METHODS: Final = ("glance-direct", "web-download")

images = Blueprint(__name__)


@images.route("/v2/images", methods=["POST"], content_types=ANY_TYPE)
def create_image() -> Response:
    """
    Register an image of your project.
    """
    me = caller(images)
    asked = bodies.parse_new_image(body(images))
    blank = _blank(me, asked)
    image = replace(blank, **asked.fields, properties=asked.properties)
    policy.authorize_change("create_image", me, Found.own(blank), image)
    bodies.check_owner(image.owner)
    store.create_image(image, me)
    return answer(
        bodies.present_image(image),
        HTTPStatus.CREATED,
        {
            "Location": f"{base_url(images.current_request)}/v2/images/{image.id}",
            "OpenStack-image-import-methods": ",".join(IMPORT_METHODS),
        },
    )


@images.route("/v2/images", methods=["GET"], content_types=ANY_TYPE)
def list_images() -> Response:
    """
    List the images of your project, the public ones, and those it accepted.
    """
    me = caller(images)
    asked = params(images)
    policy.require_role("list_images", me)
    page = listing.list_images(parse_list_query(asked), me)
    return answer(_present_page(page, asked))


@images.route("/v2/images/{image_id}", methods=["GET"], content_types=ANY_TYPE)
def show_image(image_id: str) -> Response:
    """
    Show an image that your project may see, whatever it answered to a share.
    """
    me = caller(images)
    found = store.load_image(image_id, me.project_id)
    image = policy.authorize("show_image", me, found)
    return answer(bodies.present_image(image))


@images.route("/v2/images/{image_id}", methods=["DELETE"], content_types=ANY_TYPE)
def delete_image(image_id: str) -> Response:
    """
    Delete an image of your project, for its members too.
    """
    me = caller(images)
    found = store.load_image(image_id, me.project_id)
    image = policy.authorize("delete_image", me, found)
    if image.protected:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
    store.delete_image(image, me)
    return no_content()


def _blank(me: Caller, asked: bodies.NewImage) -> Image:
    now = environment.now()
    return Image(
        id=asked.fields.get("id") or environment.new_id(),
        owner=me.project_id,
        created_at=now,
        updated_at=now,
        properties={},
    )


def _present_page(page: listing.Page, asked: Params) -> Json:
    """
    Make a list's document; `first` and `next` keep every parameter.
    """
    kept = [(key, value) for key, value in asked if key != "marker"]
    document: Json = {
        "images": [bodies.present_image(image) for image in page.images],
        "first": _link(kept),
        "schema": "/v2/schemas/images",
    }
    if page.next_marker is not None:
        document["next"] = _link([*kept, ("marker", page.next_marker)])
    return document


def _link(asked: Params) -> str:
    return f"/v2/images?{urlencode(asked)}" if asked else "/v2/images"
