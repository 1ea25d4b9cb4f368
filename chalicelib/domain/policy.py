"""Who may do what: one table, and the three questions asked of it."""

from enum import Enum
from typing import Final, NamedTuple

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, ImageStatus, Visibility
from chalicelib.domain.members import ImageAndMembership, Member
from chalicelib.errors import ApiError, Forbidden, NotFound


class Verdict(Enum):
    """What a caller gets: the action, a refusal, or the look of an empty place."""

    ALLOW = "yes"
    DENY = "403"
    HIDE = "404"


class Rule(NamedTuple):
    """One action's row: the role it needs, and the verdict by what the caller is.

    `other` is another project that sees the image because it is public or community.
    `unshared` is the answer where the image cannot have members, for member calls.
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
}  # fmt: skip

OF_A_MEMBERSHIP: Final = frozenset({"show_member", "update_member", "delete_member"})

_WHO: Final = {
    "owner": "The owner of an image",
    "member": "A member of an image",
    "other": "A project that only sees an image",
}


def require_role(action: str, caller: Caller) -> None:
    """Let *caller* do *action*, as far as its role goes.

    Raises:
        Forbidden: The role is below what the action needs.
    """
    needed = RULES[action].role
    if caller.role < needed:
        role = needed.name.lower()
        raise Forbidden(f"The role {role} is needed to {_words(action)}.")


def authorize(action: str, caller: Caller, found: ImageAndMembership) -> Image:
    """Let *caller* do *action* to the image that was *found*, and give the image.

    `found` holds the caller's own membership, or the addressed one for the actions
    on a membership; the caller's own is then missing exactly when it addresses
    another's, which it may not see.

    Raises:
        NotFound: The image does not exist, or must look so; both read the same.
        Forbidden: The caller may see the image, but not do this to it.
    """
    image = found.image
    if caller.role is Role.NONE:
        require_role(action, caller)
    if image is None or not sees(caller, found):
        raise _hidden(action, found)
    rule = RULES[action]
    if image.visibility is not Visibility.SHARED and rule.unshared is not ALLOW:
        raise _refusal(rule.unshared, action, found, "Only shared images have members.")
    if action in OF_A_MEMBERSHIP and found.membership is None:
        raise _hidden(action, found)
    require_role(action, caller)
    relation = _relation(caller, found)
    verdict: Verdict = getattr(rule, relation)
    if verdict is not ALLOW:
        message = f"{_WHO[relation]} may not {_words(action, image='it')}."
        raise _refusal(verdict, action, found, message)
    return image


def authorize_change(
    caller: Caller, found: ImageAndMembership, before: Image, after: Image
) -> None:
    """Let *caller*, who may update *before*, make it into *after*.

    To make an image public, and to give it to another project, is more than to update
    it.

    Raises:
        Forbidden: The caller may not do that much.
    """
    if after.visibility is Visibility.PUBLIC is not before.visibility:
        authorize("publish_image", caller, found)
    if after.owner != before.owner:
        authorize("transfer_image", caller, found)


def authorize_download(caller: Caller, found: ImageAndMembership) -> Image:
    """Let *caller* download the image that was *found*, and give the image.

    Raises:
        NotFound, Forbidden: As `authorize`; and forbidden to all but administrators
            while the image is deactivated.
    """
    image = authorize("download_image", caller, found)
    if image.status is ImageStatus.DEACTIVATED and not caller.is_admin:
        raise Forbidden(
            "The requested image has been deactivated. Image data download is"
            " forbidden."
        )
    return image


def authorize_membership(
    action: str, caller: Caller, found: ImageAndMembership
) -> tuple[Image, Member]:
    """Let *caller* do *action* to the membership that was *found*, and give it.

    Raises:
        NotFound, Forbidden: As `authorize`; also not found where there is none.
    """
    image = authorize(action, caller, found)
    if found.membership is None:
        raise _hidden(action, found)
    return image, found.membership


def sees(caller: Caller, found: ImageAndMembership) -> bool:
    """Tell whether the image that was *found* exists for *caller*."""
    if found.image is None:
        return False
    return (
        caller.is_admin
        or found.image.owner == caller.project_id
        or found.image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
        or (found.image.visibility is Visibility.SHARED and _is_member(caller, found))
    )


def sees_all_members(caller: Caller, image: Image) -> bool:
    """Tell whether *caller* sees every member of an image, or itself alone."""
    return caller.is_admin or image.owner == caller.project_id


def listed(
    caller: Caller,
    found: ImageAndMembership,
    visibility: str | None,
    member_status: str,
) -> Image | None:
    """Give the image that was *found* if it belongs in the caller's list, else none.

    `visibility` and `member_status` are what was asked for: without a visibility,
    community images are left to their owner's list; a membership counts if its status
    is the one asked for, or any for `all` (recorded in `list-sharing.json`).
    """
    image, membership = found.image, found.membership
    if image is None or not sees(caller, found):
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


def _is_member(caller: Caller, found: ImageAndMembership) -> bool:
    return (
        found.membership is not None and found.membership.member_id == caller.project_id
    )


def _relation(caller: Caller, found: ImageAndMembership) -> str:
    if caller.is_admin:
        return "admin"
    if found.image is not None and found.image.owner == caller.project_id:
        return "owner"
    return "member" if _is_member(caller, found) else "other"


def _hidden(action: str, found: ImageAndMembership) -> NotFound:
    if action in OF_A_MEMBERSHIP:
        return NotFound(
            f"{found.member_id} not found in the member list"
            f" of the image {found.image_id}."
        )
    return NotFound(f"No image found with ID {found.image_id}")


def _refusal(
    verdict: Verdict, action: str, found: ImageAndMembership, message: str
) -> ApiError:
    return _hidden(action, found) if verdict is HIDE else Forbidden(message)


def _words(action: str, image: str = "an image") -> str:
    verb, what = action.split("_")
    return f"{verb} {({'image': image, 'member': 'a member'}).get(what, what)}"
