"""The consumer's side of the sharing extension: the offers of others, and answers."""

import time
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.bodies.sharing import check_ids, parse_exactly
from chalicelib.api.extension import (
    TRIES,
    acting,
    bulk_deadline,
    check_image_id,
    decode_marker,
    next_page,
    parse_flag,
    parse_limit,
    parse_project,
    parse_query,
    parse_status,
    present_image_summary,
    present_membership,
    present_outcome,
    present_profile,
)
from chalicelib.api.requests import ANY_TYPE, body
from chalicelib.api.responses import json_response, no_content
from chalicelib.api.schemas import Json
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Visibility, with_lower_case_ids
from chalicelib.domain.members import ImageAndMembership, MemberStatus
from chalicelib.domain.sharing import Outcome, Result, Sharing
from chalicelib.errors import ApiError, Conflict, NotFound, StaleError
from chalicelib.store import images as image_store
from chalicelib.store import incoming as incoming_store
from chalicelib.store import members as member_store
from chalicelib.store.incoming import OfferQuery, Place

INCOMING: Final = "/ext/v1/incoming"
OFFER: Final = INCOMING + "/{image_id}"
incoming = Blueprint(__name__)


@incoming.route(INCOMING, methods=["GET"], content_types=ANY_TYPE)
def list_offers() -> Response:
    """List what other projects offer to yours, the newest first."""
    query = parse_query(
        incoming, "status", "producer_id", "muted", "limit", "marker", "project_id"
    )
    caller = acting(incoming, "list_offers", query)
    after = decode_marker(query, int, str)
    page = incoming_store.list_offers(
        OfferQuery(
            project_id=caller.project_id,
            status=parse_status(query, MemberStatus.PENDING),
            producer_id=parse_project(query, "producer_id"),
            muted=parse_flag(query, "muted"),
            limit=parse_limit(query),
            after=Place(*after) if after else None,
        )
    )
    document: Json = {
        "memberships": [
            present_offer(offer)
            | {"muted": offer.muted, "producer": _present_producer(offer)}
            for offer in page.offers
        ],
        "counts": {
            "pending": page.pending,
            "muted": page.muted,
            "approximate": True,
        },
        "next": next_page(INCOMING, query, page.next),
    }
    if page.truncated:
        document["truncated"] = True
    return json_response(document)


@incoming.route(OFFER, methods=["GET"], content_types=ANY_TYPE)
def show_offer(image_id: str) -> Response:
    """Show one image that another project offers to yours."""
    query = parse_query(incoming, "project_id")
    caller = acting(incoming, "show_offer", query)
    check_image_id(image_id)
    offer = incoming_store.load_offer(caller.project_id, image_id)
    if offer is None:
        raise NotFound(f"No image found with ID {image_id}")
    loaded = ImageAndMembership(
        image_id, caller.project_id, offer.image, offer.membership
    )
    policy.authorize_offer("show_offer", caller, loaded)
    return json_response(present_offer(offer) | {"producer": _present_producer(offer)})


@incoming.route(OFFER, methods=["PUT"], content_types=ANY_TYPE)
def answer_offer(image_id: str) -> Response:
    """Accept or reject one offer, or put it off."""
    parse_query(incoming)
    caller = acting(incoming, "answer_offer")
    status = MemberStatus(parse_exactly("answer", body(incoming))["status"])
    check_image_id(image_id)
    found = image_store.load_image(image_id, caller.project_id)
    image, membership = policy.authorize_offer("answer_offer", caller, found)
    result = Result.UNCHANGED
    if membership.status is not status:
        membership = member_store.set_member_status(image, membership, status, caller)
        result = Result.CHANGED
    offer = Sharing(membership=membership, image=image)
    return json_response({"result": result, **present_membership(offer)})


@incoming.route(OFFER, methods=["DELETE"], content_types=ANY_TYPE)
def leave_image(image_id: str) -> Response:
    """Leave an image that was shared with you: your access ends."""
    parse_query(incoming)
    check_no_body(body(incoming))
    caller = acting(incoming, "leave_image")
    found = image_store.load_image(check_image_id(image_id), caller.project_id)
    if found.image and found.membership and found.image.owner != caller.project_id:
        member_store.leave_image(found.image, found.membership, caller)
    return no_content()


@incoming.route(INCOMING, methods=["POST"], content_types=ANY_TYPE)
def answer_offers() -> Response:
    """Answer many offers, or leave images, with a result for each."""
    parse_query(incoming)
    caller = acting(incoming, "answer_offer")
    wanted = parse_exactly("answers", body(incoming))
    answers: list[Json] = [
        one | {"image_id": with_lower_case_ids(one["image_id"])}
        for one in wanted["answers"]
    ]
    check_ids("/answers", [one["image_id"] for one in answers], of_images=True)
    dry = wanted.get("dry_run", False)
    deadline = bulk_deadline()
    loaded = incoming_store.load_memberships(
        caller.project_id, [one["image_id"] for one in answers]
    )
    results: list[Json] = []
    following = None
    for one in answers:
        image_id = one["image_id"]
        if time.monotonic() > deadline:
            following = {"image_id": image_id}
            break
        status = MemberStatus(one["status"]) if "status" in one else None
        outcome = _answer(caller, loaded[image_id], status, dry=dry)
        results.append({"image_id": image_id, **present_outcome(outcome)})
    return json_response({"results": results, "next": following})


def _answer(
    caller: Caller,
    loaded: ImageAndMembership,
    status: MemberStatus | None,
    *,
    dry: bool,
) -> Outcome:
    """Answer one of many offers, or leave its image where there is no status."""
    for _ in range(TRIES):
        planned = _plan_answer(caller, loaded, status)
        image, membership = loaded.image, loaded.membership
        done = planned.result in (Result.REFUSED, Result.UNCHANGED)
        if dry or done or image is None or membership is None:
            return planned
        try:
            if status is None:
                member_store.leave_image(image, membership, caller)
            else:
                member_store.set_member_status(image, membership, status, caller)
        except StaleError:
            loaded = image_store.load_image(loaded.image_id, caller.project_id)
        else:
            return planned
    return Outcome(Result.REFUSED, Conflict.reason)


def _plan_answer(
    caller: Caller, loaded: ImageAndMembership, status: MemberStatus | None
) -> Outcome:
    image, membership = loaded.image, loaded.membership
    if status is None:
        is_offer = membership and image and image.owner != caller.project_id
        return Outcome(Result.LEFT if is_offer else Result.UNCHANGED)
    try:
        _, membership = policy.authorize_offer("answer_offer", caller, loaded)
    except ApiError as exc:
        reason = "not-shared" if exc.reason == "forbidden" else exc.reason
        return Outcome(Result.REFUSED, reason)
    same = membership.status is status
    return Outcome(Result.UNCHANGED if same else Result.CHANGED)


def present_offer(offer: Sharing) -> Json:
    """Return what a consumer reads of an offer.

    Nothing of an image that it does not see: one that is private for now.
    """
    hidden = offer.image.visibility is Visibility.PRIVATE
    return {
        **present_membership(offer),
        "note": offer.note,
        "image": None if hidden else present_image_summary(offer.image),
    }


def _present_producer(offer: Sharing) -> Json:
    profile = offer.profile
    return {
        "project_id": offer.image.owner,
        **(present_profile(profile) if profile else {}),
    }
