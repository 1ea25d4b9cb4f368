"""What the policy's functions decide by themselves, whichever route calls them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.domain import policy
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import ImageAndMembership, Member, MemberStatus
from chalicelib.domain.policy import ALLOW, DENY, HIDE, RULES, Rule, Verdict
from chalicelib.domain.uploads import Upload, UploadState
from chalicelib.errors import ApiError, Forbidden, NotFound

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NO_IMAGE = NotFound("No image found with ID i")
NO_MEMBER = NotFound("consumer not found in the member list of the image i.")

CALLERS = {
    "admin": Caller("operators", "u", Role.ADMIN, "req-1"),
    "owner": Caller("producer", "u", Role.MEMBER, "req-1"),
    "member": Caller("consumer", "u", Role.MEMBER, "req-1"),
    "other": Caller("stranger", "u", Role.MEMBER, "req-1"),
}


def image(visibility: Visibility, owner: str = "producer") -> Image:
    """Return an image of a project."""
    return Image("i", owner, NOW, NOW, {}, visibility=visibility)


def loaded(
    found: Image | None,
    project_id: str | None = None,
    status: MemberStatus = MemberStatus.PENDING,
) -> ImageAndMembership:
    """Return what was read, with the membership of a project if one is given."""
    membership = Member("i", project_id, status, NOW, NOW) if project_id else None
    return ImageAndMembership("i", "consumer", found, membership)


def outcome(function: Any, *arguments: Any) -> str:
    """Return the class and the message of a refusal, or `allowed`."""
    try:
        function(*arguments)
    except ApiError as error:
        return repr(error)
    return "allowed"


WHO = {
    "admin": "An administrator",
    "owner": "The owner of an image",
    "member": "A member of an image",
    "other": "A project that neither owns an image nor is a member",
}


@pytest.mark.parametrize("verdict", [DENY, HIDE])
@pytest.mark.parametrize("relation", WHO)
def test_each_verdict_of_a_rule_is_that_of_its_column(
    relation: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal says who may not do what; a hidden image reads as an absent one."""
    verdicts = (verdict if name == relation else ALLOW for name in CALLERS)
    rule = Rule(Role.MEMBER, *verdicts)
    monkeypatch.setitem(RULES, "download_image", rule)
    denied = Forbidden(f"{WHO[relation]} may not download it.")
    read = {
        name: loaded(image(Visibility.PUBLIC), "consumer" if name == "member" else None)
        for name in CALLERS
    }

    outcomes = {
        name: outcome(policy.authorize, "download_image", caller, read[name])
        for name, caller in CALLERS.items()
    }

    refusal = repr(NO_IMAGE if verdict is HIDE else denied)
    assert outcomes == {**dict.fromkeys(CALLERS, "allowed"), relation: refusal}


def test_a_hidden_membership_reads_as_one_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the image hides it, or a rule."""
    rule = RULES["update_member"]._replace(member=HIDE)
    monkeypatch.setitem(RULES, "update_member", rule)
    shared = loaded(image(Visibility.SHARED), "consumer")

    outcomes = [
        outcome(policy.authorize_membership, "update_member", CALLERS[name], shared)
        for name in ("other", "member")
    ]

    assert outcomes == [repr(NO_MEMBER)] * 2


def test_a_member_call_on_an_image_without_members_is_refused_by_its_rule() -> None:
    """As a membership that does not exist, or by the reason."""
    private = loaded(image(Visibility.PRIVATE), "consumer")

    outcomes = [
        outcome(policy.authorize_membership, action, CALLERS["owner"], private)
        for action in ("show_member", "delete_member")
    ]

    refused = Forbidden("Only shared images have members.")
    assert outcomes == [repr(NO_MEMBER), repr(refused)]


@pytest.mark.parametrize("action", ["show_image", "delete_image", "show_member"])
def test_a_caller_without_a_role_learns_only_that(action: str) -> None:
    """Before the image is looked at: the refusal is the same for one that is absent."""
    nobody = CALLERS["owner"]._replace(role=Role.NONE)

    hidden, absent = (
        outcome(policy.authorize, action, nobody, loaded(found))
        for found in (image(Visibility.PRIVATE, "another"), None)
    )

    assert hidden == absent
    assert hidden.startswith("Forbidden('The role ")


def test_an_absent_image_exists_for_nobody() -> None:
    """Nor for an administrator."""
    assert not any(policy.sees(caller, loaded(None)) for caller in CALLERS.values())


@pytest.mark.parametrize(
    ("caller", "sees"), [("admin", True), ("owner", True), ("other", False)]
)
def test_a_source_is_shown_to_the_project_that_sent_it(
    caller: str, *, sees: bool
) -> None:
    """And to administrators, as its URI may hold a secret."""
    upload = Upload(
        "u", "i", "web-download", UploadState.PENDING, "producer", "u", "r", NOW, NOW
    )

    assert policy.sees_source(CALLERS[caller], upload) is sees


LISTED = """
visibility filter    owner  pending accepted other  admin

private    none      yes    no      no       no     yes
private    private   yes    no      no       no     yes
shared     none      yes    no      yes      no     yes
shared     shared    yes    no      yes      no     yes
public     none      yes    yes     yes      yes    yes
public     public    yes    yes     yes      yes    yes
community  none      yes    no      no       no     no
community  community yes    yes     yes      yes    yes
"""
"""Whose list an image is in, by the list's `visibility`; members by their status."""


@pytest.mark.parametrize("line", LISTED.split("\n")[3:-1])
def test_an_image_is_in_the_lists_that_it_belongs_in(line: str) -> None:
    """A list counts the accepted memberships, if it does not ask for others."""
    visibility, asked, *wanted = line.split()
    found = image(Visibility(visibility))
    status = {"pending": MemberStatus.PENDING, "accepted": MemberStatus.ACCEPTED}

    def listed(who: str, member_status: str) -> str:
        caller = CALLERS["member" if who in status else who]
        read = loaded(found, *(("consumer", status[who]) if who in status else ()))
        query = None if asked == "none" else asked
        image = policy.listed(caller, read, query, member_status)
        return "yes" if image is found else "no"

    whose = LISTED.split()[2:7]
    assert [listed(who, "accepted") for who in whose] == wanted
    # Of the two members, all statuses show both, and `pending` the other one.
    owner, pending, accepted, *rest = wanted
    assert [listed(who, "all") for who in whose] == [owner, accepted, accepted, *rest]
    swapped = [owner, accepted, pending, *rest]
    assert [listed(who, "pending") for who in whose] == swapped


def test_an_administrator_is_a_member_of_its_project_on_a_side() -> None:
    """It answers for no other project, and what another sees it only reads."""
    admin = CALLERS["admin"]

    own = policy.act_on_side("list_offers", admin, "operators")
    read = policy.act_on_side("list_offers", admin, "consumer")
    reader = admin._replace(role=Role.READER)

    assert own == admin._replace(role=Role.MEMBER)
    assert own == policy.act_on_side("list_offers", admin)
    assert read == Caller("consumer", "u", Role.READER, "req-1")
    assert reader == policy.act_on_side("list_offers", reader)


@pytest.mark.parametrize(
    ("owner", "member"),
    [("producer", None), ("producer", "another"), ("consumer", "consumer")],
)
def test_an_offer_is_on_the_side_of_its_member_alone(
    owner: str, member: str | None
) -> None:
    """Not of another's, nor of a project that owns the image by now."""
    read = loaded(image(Visibility.SHARED, owner), member)

    assert repr(NO_IMAGE) == outcome(
        policy.authorize_offer, "show_offer", CALLERS["member"], read
    )


def test_an_offer_of_an_image_that_is_not_shared_is_shown_but_not_answered() -> None:
    """It stays on its member's side, and comes back with the visibility."""
    read = loaded(image(Visibility.PRIVATE), "consumer")

    outcomes = [
        outcome(policy.authorize_offer, action, CALLERS["member"], read)
        for action in ("show_offer", "answer_offer")
    ]

    refused = Forbidden("The image is not shared at the moment.")
    assert outcomes == ["allowed", repr(refused)]


def test_an_image_that_is_anothers_is_on_no_producers_side() -> None:
    """Not even an administrator's, and the message is that of an absent image."""
    shared = image(Visibility.SHARED)

    outcomes = [
        outcome(policy.authorize_owner, "share_image", caller, found, "i")
        for caller in CALLERS.values()
        for found in (shared, None)
    ]

    assert outcomes == [repr(NO_IMAGE)] * 2 + ["allowed"] + [repr(NO_IMAGE)] * 5


def test_what_is_an_administrators_alone_is_refused_with_that_reason() -> None:
    """In the words of the action."""
    outcomes = [
        outcome(policy.require_administrator, "verify_profile", CALLERS[name])
        for name in ("admin", "owner")
    ]

    refused = Forbidden("Only administrators may verify a profile.")
    assert outcomes == ["allowed", repr(refused)]


def test_a_missing_role_is_named_with_what_it_is_required_for() -> None:
    """Also where the role is a reader's."""
    nobody = CALLERS["other"]._replace(role=Role.NONE)

    refused = Forbidden("The role reader is required to show a recipient.")
    assert repr(refused) == outcome(policy.require_role, "show_recipient", nobody)
