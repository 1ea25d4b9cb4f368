"""
The calls on an image's members: how a producer shares, and how a consumer answers.
"""

from chalice.app import Blueprint, Response

from chalicelib.api import responses
from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.bodies.members import parse_member_status, parse_new_member
from chalicelib.api.requests import ANY_TYPE, body, caller_of
from chalicelib.api.responses import json_response, no_content
from chalicelib.domain import policy
from chalicelib.domain.quotas import OFFERS, OFFERS_TO_ONE, check_own
from chalicelib.store import images as image_store
from chalicelib.store import members as member_store
from chalicelib.store import usage as usage_store

MEMBERS = "/v2/images/{image_id}/members"
MEMBER = "/v2/images/{image_id}/members/{member_id}"

members = Blueprint(__name__)


@members.route(MEMBERS, methods=["POST"], content_types=ANY_TYPE)
def create_member(image_id: str) -> Response:
    """Share an image of your project with another project."""
    caller = caller_of(members)
    member_id = parse_new_member(body(members))
    loaded, usage = usage_store.load_image_and_offers(
        image_id, caller.project_id, member_id
    )
    image = policy.authorize("create_member", caller, loaded)
    check_own(caller, image, usage, {OFFERS: 1, OFFERS_TO_ONE: 1})
    member = member_store.add_member(image, member_id, caller)
    return json_response(responses.present_member(member))


@members.route(MEMBERS, methods=["GET"], content_types=ANY_TYPE)
def list_members(image_id: str) -> Response:
    """See whom your image is shared with; or, as a member, yourself alone."""
    caller = caller_of(members)
    loaded = image_store.load_image(image_id, caller.project_id)
    image = policy.authorize("list_members", caller, loaded)
    if policy.sees_all_members(caller, image):
        memberships = member_store.list_members(image)
    else:
        memberships = [loaded.membership] if loaded.membership else []
    return json_response(responses.present_members(memberships))


@members.route(MEMBER, methods=["GET"], content_types=ANY_TYPE)
def show_member(image_id: str, member_id: str) -> Response:
    """See one membership: one of your image's, or your own."""
    caller = caller_of(members)
    loaded = image_store.load_image(image_id, member_id)
    _, member = policy.authorize_membership("show_member", caller, loaded)
    return json_response(responses.present_member(member))


@members.route(MEMBER, methods=["PUT"], content_types=ANY_TYPE)
def update_member(image_id: str, member_id: str) -> Response:
    """Accept, reject or put off an image that was shared with you."""
    caller = caller_of(members)
    status = parse_member_status(body(members))
    loaded = image_store.load_image(image_id, member_id)
    image, member = policy.authorize_membership("update_member", caller, loaded)
    if member.status is not status:
        member = member_store.set_member_status(image, member, status, caller)
    return json_response(responses.present_member(member))


@members.route(MEMBER, methods=["DELETE"], content_types=ANY_TYPE)
def delete_member(image_id: str, member_id: str) -> Response:
    """Stop sharing an image of your project with another project."""
    caller = caller_of(members)
    check_no_body(body(members))
    loaded = image_store.load_image(image_id, member_id)
    image, member = policy.authorize_membership("delete_member", caller, loaded)
    member_store.remove_member(image, member, caller)
    return no_content()
