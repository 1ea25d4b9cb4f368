"""Who may do what: one table of rules, and the functions that apply it."""

from enum import Enum
from typing import Final, NamedTuple

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, ImageStatus, Visibility
from chalicelib.domain.members import ImageAndMembership, Member
from chalicelib.domain.uploads import Upload
from chalicelib.errors import ApiError, Forbidden, NotFound


class Verdict(Enum):
    """Whether an action is allowed, refused, or answered as if nothing existed."""

    ALLOW = "yes"
    DENY = "403"
    HIDE = "404"


class Rule(NamedTuple):
    """The role that an action needs, and its verdict by what the caller is.

    `other` is another project that sees the image because it is public or community.
    `unshared` is the verdict of a member call on an image that cannot have members.
    """

    role: Role
    admin: Verdict
    owner: Verdict
    member: Verdict
    other: Verdict
    unshared: Verdict = Verdict.ALLOW


ALLOW, DENY, HIDE = Verdict
READER, MEMBER = Role.READER, Role.MEMBER

RULES: Final = {
    #                             role    admin  owner  member other  unshared
    "list_images":           Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "create_image":          Rule(MEMBER, ALLOW, ALLOW, ALLOW, ALLOW),
    "show_image":            Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "update_image":          Rule(MEMBER, ALLOW, ALLOW, DENY,  DENY),
    "publish_image":         Rule(MEMBER, ALLOW, DENY,  DENY,  DENY),
    "transfer_image":        Rule(MEMBER, ALLOW, DENY,  DENY,  DENY),
    "delete_image":          Rule(MEMBER, ALLOW, ALLOW, DENY,  DENY),
    "upload_image":          Rule(MEMBER, ALLOW, ALLOW, DENY,  DENY),
    "download_image":        Rule(MEMBER, ALLOW, ALLOW, ALLOW, ALLOW),
    "list_tasks":            Rule(READER, ALLOW, ALLOW, DENY,  DENY),
    "create_member":         Rule(MEMBER, ALLOW, ALLOW, DENY,  DENY, DENY),
    "list_members":          Rule(READER, ALLOW, ALLOW, ALLOW, DENY, DENY),
    "show_member":           Rule(READER, ALLOW, ALLOW, ALLOW, HIDE, HIDE),
    "update_member":         Rule(MEMBER, ALLOW, DENY,  ALLOW, DENY, DENY),
    "delete_member":         Rule(MEMBER, ALLOW, ALLOW, DENY,  DENY, DENY),
    "list_offers":           Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "show_offer":            Rule(READER, ALLOW, HIDE,  ALLOW, HIDE),
    "answer_offer":          Rule(MEMBER, HIDE,  HIDE,  ALLOW, HIDE, DENY),
    "leave_image":           Rule(MEMBER, HIDE,  HIDE,  ALLOW, HIDE),
    "list_shares":           Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "show_shares":           Rule(READER, ALLOW, ALLOW, HIDE,  HIDE),
    "share_image":           Rule(MEMBER, HIDE,  ALLOW, HIDE,  HIDE),
    "revoke_share":          Rule(MEMBER, HIDE,  ALLOW, HIDE,  HIDE),
    "show_recipient":        Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "show_profile":          Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "update_profile":        Rule(MEMBER, DENY,  ALLOW, ALLOW, ALLOW),
    "verify_profile":        Rule(MEMBER, ALLOW, DENY,  DENY,  DENY),
    "list_rules":            Rule(READER, ALLOW, ALLOW, ALLOW, ALLOW),
    "update_rules":          Rule(MEMBER, DENY,  ALLOW, ALLOW, ALLOW),
}  # fmt: skip

_OF_A_MEMBERSHIP: Final = frozenset({"show_member", "update_member", "delete_member"})

_RELATIONS: Final = {
    "admin": "An administrator",
    "owner": "The owner of an image",
    "member": "A member of an image",
    "other": "A project that neither owns an image nor is a member",
}


def require_role(action: str, caller: Caller) -> None:
    """Check that the caller's role is enough for *action*.

    Raises:
        Forbidden: The role is below what the action needs.
    """
    needed = RULES[action].role
    if caller.role < needed:
        role = needed.name.lower()
        raise Forbidden(f"The role {role} is required to {_describe(action)}.")


def authorize(action: str, caller: Caller, loaded: ImageAndMembership) -> Image:
    """Return the image if *caller* may do *action* to it.

    *loaded* holds the membership of the caller's own project.

    Raises:
        NotFound: The image does not exist, or is hidden; both read the same.
        Forbidden: The caller may see the image, but not do this to it.
    """
    image = _require_visible(action, caller, loaded)
    _require_allowed(action, caller, loaded, image)
    return image


def authorize_membership(
    action: str, caller: Caller, loaded: ImageAndMembership
) -> tuple[Image, Member]:
    """Return the image and the membership if *caller* may do *action* to the latter.

    *loaded* holds the membership that the request names. The caller's own is then
    missing only if the caller names another's, which it may not see.

    Raises:
        NotFound, Forbidden: As `authorize`; also not found where there is none.
    """
    image = _require_visible(action, caller, loaded)
    if loaded.membership is None:
        raise _hidden(action, loaded)
    _require_allowed(action, caller, loaded, image)
    return image, loaded.membership


def authorize_creation(caller: Caller, image: Image) -> None:
    """Check that *caller* may create *image*.

    Raises:
        Forbidden: The caller may create no image, no public one, or none for the
            owner.
    """
    require_role("create_image", caller)
    relation = "admin" if caller.is_admin else "owner"
    publish, transfer = RULES["publish_image"], RULES["transfer_image"]
    if image.visibility is Visibility.PUBLIC and _verdict(publish, relation) is DENY:
        raise Forbidden("The owner of an image may not publish it.")
    if image.owner != caller.project_id and _verdict(transfer, relation) is DENY:
        raise Forbidden("An image cannot be created for another project.")


def authorize_change(
    caller: Caller, loaded: ImageAndMembership, before: Image, after: Image
) -> None:
    """Check that *caller*, who may update *before*, may turn it into *after*.

    Publishing an image and transferring it to another project need more than the right
    to update it.

    Raises:
        Forbidden: The caller may not publish or transfer the image.
    """
    if after.visibility is Visibility.PUBLIC is not before.visibility:
        authorize("publish_image", caller, loaded)
    if after.owner != before.owner:
        authorize("transfer_image", caller, loaded)


def authorize_download(caller: Caller, loaded: ImageAndMembership) -> Image:
    """Return the image if *caller* may download its data.

    Raises:
        NotFound, Forbidden: As `authorize`; also forbidden to all but administrators
            while the image is deactivated.
    """
    image = authorize("download_image", caller, loaded)
    if image.status is ImageStatus.DEACTIVATED and not caller.is_admin:
        raise Forbidden(
            "The requested image has been deactivated. Image data download is"
            " forbidden."
        )
    return image


def act_on_side(action: str, caller: Caller, project_id: str | None = None) -> Caller:
    """Return the caller as the sharing extension knows it: as its project alone.

    There an administrator answers for nobody else; it may only read what another
    project sees, if the action's rule allows that.

    Raises:
        Forbidden: The caller's role is not enough, or *project_id* is another's.
    """
    require_role(action, caller)
    if project_id is None or project_id == caller.project_id:
        return caller._replace(role=min(caller.role, Role.MEMBER))
    if not caller.is_admin or RULES[action].admin is not ALLOW:
        raise Forbidden("Only administrators may read what another project sees.")
    return caller._replace(project_id=project_id, role=Role.READER)


def authorize_offer(
    action: str, caller: Caller, loaded: ImageAndMembership
) -> tuple[Image, Member]:
    """Return image and membership if *caller*, its member, may do *action* to it.

    A member's side stays its own while the image is not shared.

    Raises:
        NotFound: The image is not on that side of the caller.
        Forbidden: The image must be shared for this.
    """
    image, membership = loaded.image, loaded.membership
    if image is None or membership is None or not _is_allowed(action, caller, loaded):
        raise _hidden(action, loaded)
    if RULES[action].unshared is DENY and image.visibility is not Visibility.SHARED:
        raise Forbidden("The image is not shared at the moment.")
    return image, membership


def authorize_owner(
    action: str, caller: Caller, image: Image | None, image_id: str
) -> Image:
    """Return the image if *caller*, its owner, may do *action* to it.

    Raises:
        NotFound: The image is not on that side of the caller.
    """
    loaded = ImageAndMembership(image_id, caller.project_id, image, None)
    if image is None or not _is_allowed(action, caller, loaded):
        raise _hidden(action, loaded)
    return image


def _is_allowed(action: str, caller: Caller, loaded: ImageAndMembership) -> bool:
    """Return whether the rule of a side allows what the caller's project is to it."""
    image = loaded.image
    if image is not None and image.owner == caller.project_id:
        relation = "owner"
    else:
        relation = "member" if _is_member(caller, loaded) else "other"
    return _verdict(RULES[action], relation) is ALLOW


def require_administrator(action: str, caller: Caller) -> None:
    """Check that *caller* may do what is an administrator's alone.

    Raises:
        Forbidden: It is none.
    """
    require_role(action, caller)
    if _verdict(RULES[action], "admin" if caller.is_admin else "other") is not ALLOW:
        raise Forbidden(f"Only administrators may {_describe(action)}.")


def sees(caller: Caller, loaded: ImageAndMembership) -> bool:
    """Return whether the image exists for *caller*."""
    image = loaded.image
    if image is None:
        return False
    return (
        caller.is_admin
        or image.owner == caller.project_id
        or image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
        or (image.visibility is Visibility.SHARED and _is_member(caller, loaded))
    )


def sees_all_members(caller: Caller, image: Image) -> bool:
    """Return whether *caller* sees every member of an image, or itself alone."""
    return caller.is_admin or image.owner == caller.project_id


def sees_source(caller: Caller, upload: Upload) -> bool:
    """Return whether *caller* may read the URI that an import reads from.

    The URI may hold a secret of the project that sent it, which need not own the image
    any more.
    """
    return caller.is_admin or upload.project_id == caller.project_id


def listed(
    caller: Caller,
    loaded: ImageAndMembership,
    visibility: str | None,
    member_status: str,
) -> Image | None:
    """Return the image if it belongs in the caller's list, else None.

    `visibility` and `member_status` are the list's parameters. Without a visibility,
    community images are in their owner's list alone; a membership counts if its status
    is `member_status`, or any for `all` (recorded in `list-sharing.json`).
    """
    image, membership = loaded.image, loaded.membership
    if image is None or not sees(caller, loaded):
        return None
    own = image.owner == caller.project_id
    if visibility is None and image.visibility is Visibility.COMMUNITY and not own:
        return None
    by_membership = image.visibility is Visibility.SHARED and not own
    if (
        by_membership
        and not caller.is_admin
        and membership is not None
        and member_status not in (membership.status, "all")
    ):
        return None
    return image


def _require_visible(action: str, caller: Caller, loaded: ImageAndMembership) -> Image:
    if caller.role is Role.NONE:
        require_role(action, caller)
    image, unshared = loaded.image, RULES[action].unshared
    if image is None or not sees(caller, loaded):
        raise _hidden(action, loaded)
    if image.visibility is not Visibility.SHARED and unshared is not ALLOW:
        raise _refusal(unshared, action, loaded, "Only shared images have members.")
    return image


def _require_allowed(
    action: str, caller: Caller, loaded: ImageAndMembership, image: Image
) -> None:
    require_role(action, caller)
    if caller.is_admin:
        relation = "admin"
    elif image.owner == caller.project_id:
        relation = "owner"
    else:
        relation = "member" if _is_member(caller, loaded) else "other"
    verdict = _verdict(RULES[action], relation)
    if verdict is not ALLOW:
        message = f"{_RELATIONS[relation]} may not {_describe(action, image='it')}."
        raise _refusal(verdict, action, loaded, message)


def _verdict(rule: Rule, relation: str) -> Verdict:
    verdict: Verdict = getattr(rule, relation)
    return verdict


def _is_member(caller: Caller, loaded: ImageAndMembership) -> bool:
    membership = loaded.membership
    return membership is not None and membership.member_id == caller.project_id


def _hidden(action: str, loaded: ImageAndMembership) -> NotFound:
    if action in _OF_A_MEMBERSHIP:
        return NotFound(
            f"{loaded.member_id} not found in the member list"
            f" of the image {loaded.image_id}."
        )
    return NotFound(f"No image found with ID {loaded.image_id}")


def _refusal(
    verdict: Verdict, action: str, loaded: ImageAndMembership, message: str
) -> ApiError:
    return _hidden(action, loaded) if verdict is HIDE else Forbidden(message)


def _describe(action: str, image: str = "an image") -> str:
    """Return an action in words: `create_member` is `create a member`."""
    verb, _, noun = action.partition("_")
    nouns = {
        "image": image,
        "member": "a member",
        "offer": "an offer",
        "share": "a share",
        "profile": "a profile",
        "recipient": "a recipient",
    }
    return f"{verb} {nouns.get(noun, noun.replace('_', ' '))}"
