"""The producer's side of the sharing extension: shares, notes, and their end."""

import time
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.bodies.sharing import check_ids, check_text, parse_exactly
from chalicelib.api.extension import (
    acting,
    bulk_deadline,
    check_image_id,
    check_project_id,
    decode_marker,
    next_page,
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
from chalicelib.api.sharing import ShareCall, act_on_image, revoke, share, wish_of
from chalicelib.api.sharing_schemas import PAIRS_MAX
from chalicelib.domain import policy
from chalicelib.domain.images import is_image_id, with_lower_case_ids
from chalicelib.domain.projects import is_project_id
from chalicelib.domain.sharing import Outcome, Result, Sharing
from chalicelib.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    LimitExceeded,
    StaleError,
)
from chalicelib.store import outgoing as outgoing_store
from chalicelib.store import profiles as profile_store
from chalicelib.store.outgoing import SharePlace, ShareQuery

OUTGOING: Final = "/ext/v1/outgoing"
IMAGE_SHARES: Final = OUTGOING + "/{image_id}"
SHARE: Final = IMAGE_SHARES + "/{project_id}"
RECIPIENT: Final = "/ext/v1/recipients/{project_id}"

_REFUSALS: Final = {
    "not-shared": (Forbidden, "The image is not shared at the moment."),
    "own-project": (Conflict, "An image cannot be shared with its own project."),
    "limit-exceeded": (
        LimitExceeded,
        "The image has all members, or your project all offers, that a limit allows.",
    ),
}
"""How the call that shares one image refuses it, by the reason."""

outgoing = Blueprint(__name__)


@outgoing.route(OUTGOING, methods=["GET"], content_types=ANY_TYPE)
def list_shares() -> Response:
    """List the memberships in all images of your project."""
    query = parse_query(
        outgoing, "status", "member_id", "image_id", "limit", "marker", "project_id"
    )
    caller = acting(outgoing, "list_shares", query)
    member_id = parse_project(query, "member_id")
    wanted = ShareQuery(
        owner=caller.project_id,
        status=parse_status(query, "all"),
        member_id=member_id,
        limit=parse_limit(query),
        after=_parse_place(query, member_id),
    )
    if "image_id" in query:
        shares, following = _shares_of(query["image_id"], wanted)
    else:
        shares, following = outgoing_store.list_shares(wanted)
    return json_response(
        {
            "memberships": [_present_share(share) for share in shares],
            "next": next_page(OUTGOING, query, following),
        }
    )


def _parse_place(query: Mapping[str, str], member_id: str | None) -> SharePlace | None:
    """Parse where a page of shares begins, if it is not the first.

    Raises:
        BadRequest: It is no place of the list: DynamoDB would refuse to begin there.
    """
    after = decode_marker(query, str, str)
    if after is None:
        return None
    place = SharePlace(*after)
    is_place = is_project_id(place.member_id) and is_image_id(place.image_id)
    if not is_place or member_id not in (None, place.member_id):
        raise BadRequest("marker must be the marker of an earlier page's next.")
    return place


def _shares_of(
    image_id: str, wanted: ShareQuery
) -> tuple[list[Sharing], SharePlace | None]:
    """Return a page of the memberships in one image; none if it is not the owner's."""
    image_id = check_image_id(image_id)
    _, held = outgoing_store.load_all_shares(image_id, wanted.owner)
    fitting = [
        share
        for member_id, share in sorted(held.items())
        if wanted.status in (None, share.membership.status)
        and wanted.member_id in (None, member_id)
        and (wanted.after is None or member_id > wanted.after.member_id)
    ]
    page = fitting[: wanted.limit]
    if len(fitting) == len(page):
        return page, None
    return page, SharePlace(page[-1].membership.member_id, image_id)


@outgoing.route(IMAGE_SHARES, methods=["GET"], content_types=ANY_TYPE)
def show_shares(image_id: str) -> Response:
    """Show whom an image of yours is shared with, also while it is not shared."""
    query = parse_query(outgoing, "project_id")
    caller = acting(outgoing, "show_shares", query)
    image, held = outgoing_store.load_all_shares(
        check_image_id(image_id), caller.project_id
    )
    image = policy.authorize_owner("show_shares", caller, image, image_id)
    return json_response(
        {
            "image_id": image.id,
            "visibility": image.visibility,
            "image": present_image_summary(image),
            "members": [_present_member(share) for _, share in sorted(held.items())],
        }
    )


@outgoing.route(SHARE, methods=["PUT"], content_types=ANY_TYPE)
def share_image(image_id: str, project_id: str) -> Response:
    """Share an image of yours with a project, or change your note to it."""
    parse_query(outgoing)
    caller = acting(outgoing, "share_image")
    wanted = parse_exactly("share", body(outgoing), optional=True)
    check_text("/note", wanted.get("note"))
    check_project_id(project_id)
    wish = wish_of(project_id, wanted)
    call = ShareCall(caller=caller, deadline=bulk_deadline())
    outcome = share(call, check_image_id(image_id), [wish])[project_id]
    if outcome.result is Result.REFUSED:
        if outcome.reason not in _REFUSALS:
            raise StaleError
        refusal, message = _REFUSALS[outcome.reason]
        raise refusal(message)
    shared = outcome.result is Result.SHARED
    return json_response(
        _present_result(image_id, project_id, outcome, known=project_id in call.known),
        HTTPStatus.CREATED if shared else HTTPStatus.OK,
    )


@outgoing.route(SHARE, methods=["DELETE"], content_types=ANY_TYPE)
def revoke_share(image_id: str, project_id: str) -> Response:
    """Stop sharing an image of yours with a project, whatever its visibility."""
    parse_query(outgoing)
    check_no_body(body(outgoing))
    caller = acting(outgoing, "revoke_share")
    check_project_id(project_id)
    outcome = revoke(caller, check_image_id(image_id), project_id, dry=False)
    if outcome.result is Result.REFUSED:
        raise StaleError
    return no_content()


@outgoing.route(IMAGE_SHARES, methods=["PUT"], content_types=ANY_TYPE)
def set_members(image_id: str) -> Response:
    """Share an image of yours with exactly these projects."""
    parse_query(outgoing)
    caller = acting(outgoing, "share_image")
    members: list[Json] = parse_exactly("exact-members", body(outgoing))["members"]
    check_ids("/members", [one["project_id"] for one in members])
    for number, one in enumerate(members):
        check_text(f"/members/{number}/note", one.get("note"))
    call = ShareCall(caller=caller, deadline=bulk_deadline())
    wishes = [wish_of(one["project_id"], one) for one in members]
    image, held = outgoing_store.load_all_shares(
        check_image_id(image_id), caller.project_id
    )
    policy.authorize_owner("share_image", caller, image, image_id)
    outcomes: dict[str, Outcome] = {}
    following = None
    for project_id in sorted(held.keys() - {wish.project_id for wish in wishes}):
        if time.monotonic() > call.deadline:
            following = {"image_id": image_id, "project_id": project_id}
            break
        outcomes[project_id] = revoke(caller, image_id, project_id, dry=False)
    projects = [wish.project_id for wish in wishes]
    if following is None:
        outcomes |= share(call, image_id, wishes)
        following = _first_missing(image_id, projects, outcomes)
    gone = outcomes.keys() - set(projects)
    known = {*call.known, *profile_store.load_known(caller.project_id, gone)}
    return json_response(
        {
            "results": [
                _present_result(image_id, project_id, one, known=project_id in known)
                for project_id, one in outcomes.items()
            ],
            "next": following,
        }
    )


@outgoing.route(OUTGOING, methods=["POST"], content_types=ANY_TYPE)
def share_many() -> Response:
    """Share many images with many projects, or stop, with a result for each pair."""
    parse_query(outgoing)
    caller = acting(outgoing, "share_image")
    wanted = parse_exactly("bulk", body(outgoing))
    images = [with_lower_case_ids(one) for one in wanted["images"]]
    projects: list[str] = wanted["projects"]
    check_ids("/images", images, of_images=True)
    check_ids("/projects", projects)
    check_text("/note", wanted.get("note"))
    if len(images) * len(projects) > PAIRS_MAX:
        raise BadRequest(
            f"images and projects make {len(images) * len(projects)} pairs; a call"
            f" takes {PAIRS_MAX} at most."
        )
    call = ShareCall(
        caller=caller,
        deadline=bulk_deadline(),
        known_only=wanted.get("known_only", False),
    )
    if wanted["action"] == "revoke":
        call.known = profile_store.load_known(caller.project_id, projects)
    results: list[Json] = []
    following = None
    for image_id in images:
        outcomes = act_on_image(call, image_id, wanted)
        results += [
            _present_result(image_id, project_id, one, known=project_id in call.known)
            for project_id, one in outcomes.items()
        ]
        following = _first_missing(image_id, projects, outcomes)
        if following is not None:
            break
    return json_response({"results": results, "next": following})


@outgoing.route(RECIPIENT, methods=["GET"], content_types=ANY_TYPE)
def show_recipient(project_id: str) -> Response:
    """Show whether a project is known to yours, and its profile if it published one."""
    query = parse_query(outgoing, "project_id")
    caller = acting(outgoing, "show_recipient", query)
    known = profile_store.load_known(caller.project_id, [check_project_id(project_id)])
    profile = known.get(project_id)
    return json_response(
        {
            "project_id": project_id,
            "known": project_id in known,
            "profile": present_profile(profile) if profile else None,
        }
    )


def _first_missing(
    image_id: str, projects: Iterable[str], outcomes: Collection[str]
) -> Json | None:
    """Return the first pair that the call had no time for, if there is one."""
    for project_id in projects:
        if project_id not in outcomes:
            return {"image_id": image_id, "project_id": project_id}
    return None


def _present_share(share: Sharing) -> Json:
    return {
        **present_membership(share),
        "project_id": share.membership.member_id,
        "note": share.note,
        "image": present_image_summary(share.image),
    }


def _present_member(share: Sharing) -> Json:
    document = _present_share(share)
    del document["image"], document["image_id"]
    return document


def _present_result(
    image_id: str, project_id: str, outcome: Outcome, *, known: bool
) -> Json:
    return {
        "image_id": image_id,
        "project_id": project_id,
        **present_outcome(outcome),
        "known": known,
    }
