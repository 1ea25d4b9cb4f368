"""What the producer's calls do: plan, share, revoke, one image after another."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from chalicelib import settings
from chalicelib.api.extension import TRIES
from chalicelib.api.schemas import Json
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.domain.quotas import Usage, find_refused_offers
from chalicelib.domain.sharing import Outcome, Result, Sharing, Wish, plan_shares
from chalicelib.errors import Conflict, LimitExceeded, NotFound, StaleError
from chalicelib.store import members as member_store
from chalicelib.store import notes as note_store
from chalicelib.store import outgoing as outgoing_store

UNKNOWN: Final = "unknown-recipient"


class ShareCall:
    """A call that shares: who makes it, and what it has read and done so far.

    What the caller's project knows and uses is read once, with the first image. The
    offers that the call made since are counted here: usage lags.
    """

    def __init__(
        self, caller: Caller, deadline: float, *, known_only: bool = False
    ) -> None:
        self.caller = caller
        self.deadline = deadline
        self.known_only = known_only
        self.is_begun = False
        self.known: Collection[str] = ()
        self.usages: Mapping[str, Usage] = {}
        self.offered: Counter[str] = Counter()

    def load(
        self, image_id: str, projects: Collection[str], *, notes: bool
    ) -> tuple[Image | None, dict[str, Sharing]]:
        """Load an image with these projects' memberships."""
        if self.is_begun:
            return outgoing_store.load_shares(image_id, projects, notes=notes)
        image, held, self.usages, self.known = outgoing_store.load_shares_and_known(
            image_id, projects, self.caller.project_id, notes=notes
        )
        self.is_begun = True
        return image, held

    def count(self, outcomes: Mapping[str, Outcome]) -> None:
        """Count the offers among some outcomes."""
        self.offered.update(
            project_id
            for project_id, outcome in outcomes.items()
            if outcome.result is Result.SHARED
        )


def act_on_image(call: ShareCall, image_id: str, wanted: Json) -> dict[str, Outcome]:
    """Do what a bulk call wants with one image: the outcome of each that was in time.

    An image that is not the caller's project's stops no other.
    """
    projects = wanted["projects"]
    dry = wanted.get("dry_run", False)
    try:
        if wanted["action"] == "revoke":
            return {
                project_id: revoke(call.caller, image_id, project_id, dry=dry)
                for project_id in projects
                if time.monotonic() < call.deadline
            }
        wishes = [wish_of(project_id, wanted) for project_id in projects]
        if not dry:
            return share(call, image_id, wishes)
        outcomes = _plan(call, image_id, wishes).outcomes
        call.count(outcomes)
    except NotFound as exc:
        return dict.fromkeys(projects, Outcome(Result.REFUSED, exc.reason))
    return outcomes


class _Plan(NamedTuple):
    """What sharing an image comes to, and what it was planned from."""

    image: Image
    held: Mapping[str, Sharing]
    wishes: Sequence[Wish]
    outcomes: dict[str, Outcome]


def _plan(call: ShareCall, image_id: str, wishes: Sequence[Wish]) -> _Plan:
    """Plan to share one image with projects; all but this is the same in a dry run.

    Raises:
        NotFound: The image is not the caller's project's.
    """
    projects = [wish.project_id for wish in wishes]
    notes = any(wish.has_note for wish in wishes)
    image, held = call.load(image_id, projects, notes=notes)
    image = policy.authorize_owner("share_image", call.caller, image, image_id)
    refused: dict[str, str] = {}
    if call.known_only:
        refused = {one: UNKNOWN for one in projects if one not in call.known}
    others = {*held, *refused, image.owner}
    new = {
        one: call.usages[one]
        for one in projects
        if one in call.usages and one not in others
    }
    over = find_refused_offers(new, call.offered)
    outcomes = plan_shares(
        image,
        {project_id: share.note for project_id, share in held.items()},
        wishes,
        quota=settings.current.member_quota,
        refused={**dict.fromkeys(over, LimitExceeded.reason), **refused},
    )
    return _Plan(image, held, wishes, outcomes)


def share(call: ShareCall, image_id: str, wishes: Sequence[Wish]) -> dict[str, Outcome]:
    """Share one image with projects; return the outcome of each that was in time.

    Raises:
        NotFound: The image is not the caller's project's.
    """
    done: dict[str, Outcome] = {}
    for _ in range(TRIES):
        left = [wish for wish in wishes if wish.project_id not in done]
        planned = _plan(call, image_id, left)
        try:
            for projects in _carry_out(call.caller, planned):
                outcomes = {one: planned.outcomes[one] for one in projects}
                call.count(outcomes)
                done |= outcomes
                if time.monotonic() > call.deadline:
                    break
        except (Conflict, LimitExceeded, StaleError):
            continue
        return {
            one.project_id: done[one.project_id]
            for one in wishes
            if one.project_id in done
        }
    refusal = Outcome(Result.REFUSED, Conflict.reason)
    return {wish.project_id: done.get(wish.project_id, refusal) for wish in wishes}


def _carry_out(caller: Caller, plan: _Plan) -> Iterator[Collection[str]]:
    """Do what was planned; yield the projects that are done with, as they are.

    Raises:
        Conflict, LimitExceeded, StaleError: Others changed what it was planned from.
    """
    new = [
        wish
        for wish in plan.wishes
        if plan.outcomes[wish.project_id].result is Result.SHARED
    ]
    for start in range(0, len(new), member_store.ADDED_AT_ONCE):
        notes = {
            wish.project_id: wish.note
            for wish in new[start : start + member_store.ADDED_AT_ONCE]
        }
        member_store.add_members(plan.image, notes, caller)
        yield notes
    for wish in plan.wishes:
        result = plan.outcomes[wish.project_id].result
        if result is Result.CHANGED:
            membership = plan.held[wish.project_id].membership
            note_store.set_note(plan.image, membership, wish.note, caller)
        if result is not Result.SHARED:
            yield [wish.project_id]


def revoke(caller: Caller, image_id: str, project_id: str, *, dry: bool) -> Outcome:
    """Stop sharing one image with one project.

    Raises:
        NotFound: The image is not the caller's project's.
    """
    for _ in range(TRIES):
        image, held = outgoing_store.load_shares(image_id, [project_id], notes=False)
        image = policy.authorize_owner("revoke_share", caller, image, image_id)
        if project_id not in held:
            return Outcome(Result.UNCHANGED)
        if not dry:
            try:
                member_store.revoke_member(image, held[project_id].membership, caller)
            except StaleError:
                continue
        return Outcome(Result.REVOKED)
    return Outcome(Result.REFUSED, Conflict.reason)


def wish_of(project_id: str, wanted: Json) -> Wish:
    """Return what a body wants of a project; an empty note is none."""
    note = wanted.get("note") or None
    return Wish(project_id=project_id, has_note="note" in wanted, note=note)
