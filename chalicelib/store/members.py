"""The access patterns of memberships: each write with the condition that it needs."""

import json
from collections.abc import Mapping
from typing import Final

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.transactions import TransactWrite

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.errors import Conflict, LimitExceeded, StaleError
from chalicelib.store.dynamodb import (
    PASSED,
    change_by,
    condition_failed,
    connection,
    get_item,
    is_ours,
    query_collection,
    reasons_of,
    with_retries,
)
from chalicelib.store.items import (
    ImageItem,
    MemberItem,
    image_of,
    member_item,
    member_of,
)
from chalicelib.store.keys import (
    PART_OF,
    image_key,
    list_position,
    member_key,
    moment,
    project_sort,
)
from chalicelib.store.notes import new_note
from chalicelib.store.recent_changes import write_and_record

ADDED_AT_ONCE: Final = 49
"""Maximum number of members that a transaction adds with their notes: 99 items."""


def list_members(image: Image) -> list[Member]:
    """AP-5: the members of an image, strongly consistent, by member id.

    It keeps read-your-writes: a list shows the member that was just added or removed.
    The image is read after them: they are its owner's to see only if it still is.

    Raises:
        StaleError: The image is no longer shared or owned as it was, or is gone.
    """
    *members, last = query_collection(image.id, backwards=True)
    latest = image_of(last)
    if latest is None or not _same_owner_and_shared(latest, image):
        raise StaleError
    return [member_of(raw) for raw in reversed(members)]


def add_member(image: Image, member_id: str, caller: Caller) -> Member:
    """Make a project a member, within the quota, if the image is still shared.

    Raises:
        Conflict: The project is a member already.
        LimitExceeded: The image has as many members as the quota allows.
        StaleError: The image is no longer shared, or changed what a membership copies.
    """
    (member,) = add_members(image, {member_id: None}, caller)
    return member


def add_members(
    image: Image, notes: Mapping[str, str | None], caller: Caller
) -> list[Member]:
    """AP-6: make projects members, each perhaps with a note; all of them or none.

    `ADDED_AT_ONCE` projects at most.

    Raises:
        Conflict, LimitExceeded, StaleError: As `add_member`, of any of them.
    """
    now = clock.now()
    members = [
        Member(
            image_id=image.id,
            member_id=member_id,
            status=MemberStatus.PENDING,
            created_at=now,
            updated_at=now,
        )
        for member_id in notes
    ]
    changed = change_by(caller)
    with_owner = changed | {"owner": image.owner}
    quota = settings.current.member_quota

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            for member in members:
                item = member_item(member, image)
                item.changed = with_owner
                transaction.save(
                    item,
                    condition=MemberItem.pk.does_not_exist(),
                    return_values="ALL_OLD",
                )
            for member in members:
                note = notes[member.member_id]
                if note is not None:
                    transaction.save(new_note(image, member, note, with_owner))
            transaction.update(
                ImageItem(*image_key(image.id)),
                actions=[
                    ImageItem.member_count.add(len(members)),
                    ImageItem.changed.set(changed),
                ],
                condition=_still_shared(image)
                & _still_copied(image)
                & (ImageItem.member_count <= quota - len(members)),
                return_values="ALL_OLD",
            )

    parts = [(member.member_id, PART_OF[member.status]) for member in members]
    try:
        write_and_record(write, image, parts, caller)
    except TransactWriteError as exc:
        written = len(members) + sum(note is not None for note in notes.values())
        *old_items, old_image = reasons_of(exc, written + 1)
        old_members = old_items[: len(members)]
        if all(old is not PASSED and is_ours(old, caller) for old in old_members):
            return members
        for member, old in zip(members, old_members, strict=True):
            if old_image is PASSED and old is not PASSED:
                raise Conflict(
                    f"Member {member.member_id} is duplicated for image {image.id}"
                ) from exc
        latest = image_of(old_image) if old_image else None
        copied = (image.name, image.os_hidden)
        if (
            latest
            and _same_owner_and_shared(latest, image)
            and (latest.name, latest.os_hidden) == copied
        ):
            raise LimitExceeded(
                f"Image member limit exceeded for image {image.id}: it has"
                f" {latest.member_count} of the {quota} members allowed."
            ) from exc
        raise StaleError from exc
    return members


def set_member_status(
    image: Image,
    member: Member,
    status: MemberStatus,
    caller: Caller,
    *,
    unanswered: bool = False,
) -> Member:
    """AP-7: record a consumer's answer, and move the image in its lists.

    The status stands twice, in the item and in its place in `by-project`; this is the
    only function that changes it.

    Raises:
        StaleError: The project is no longer a member, or was added again; or it has
            answered, where it must be *unanswered*.
    """
    condition = MemberItem.created_at == moment(member.created_at)
    if unanswered:
        condition &= MemberItem.status == MemberStatus.PENDING
        condition &= MemberItem.updated_at == moment(member.created_at)
    answer = member._replace(status=status, updated_at=clock.now())
    position = list_position(image.created_at, image.id)
    item = MemberItem(*member_key(image.id, member.member_id))
    try:
        write_and_record(
            lambda: item.update(
                actions=[
                    MemberItem.status.set(status),
                    MemberItem.project_sk.set(project_sort(PART_OF[status], position)),
                    MemberItem.updated_at.set(moment(answer.updated_at)),
                    MemberItem.changed.set(change_by(caller) | {"owner": image.owner}),
                ],
                condition=condition,
            ),
            image,
            [(member.member_id, PART_OF[status])],
            caller,
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        raise StaleError from exc
    return answer


def remove_member(image: Image, member: Member, caller: Caller) -> None:
    """AP-8: end a membership, if the image is still shared.

    Raises:
        StaleError: The project is no longer a member, or the image no longer shared.
    """
    _remove(image, member, caller, MemberItem.pk.exists(), _still_shared(image))


def revoke_member(image: Image, member: Member, caller: Caller) -> None:
    """AP-46: end the membership that the owner saw, whatever the image's visibility.

    Raises:
        StaleError: It is no longer there, or the image has another owner.
    """
    _remove(image, member, caller, _same_offer(member), ImageItem.owner == image.owner)


def leave_image(image: Image, member: Member, caller: Caller) -> None:
    """AP-47: end a membership by its consumer, whatever the image's visibility.

    Raises:
        StaleError: It is no longer there, or the image was deleted.
    """
    _remove(image, member, caller, _same_offer(member), ImageItem.owner.exists())


def _same_offer(member: Member) -> Condition:
    same: Condition = MemberItem.created_at == moment(member.created_at)
    return same


def _remove(
    image: Image,
    member: Member,
    caller: Caller,
    still_member: Condition,
    still_so: Condition,
) -> None:
    """End a membership, on a condition of its own item and one of the image's.

    The image's `changed` names the removed member and its status: what is gone cannot
    tell who did it.

    Raises:
        StaleError: A condition no longer holds.
    """
    changed = change_by(caller) | {
        "removed_member": member.member_id,
        "removed_status": member.status,
    }

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            transaction.delete(
                MemberItem(*member_key(image.id, member.member_id)),
                condition=still_member,
            )
            transaction.update(
                ImageItem(*image_key(image.id)),
                actions=[
                    ImageItem.member_count.add(-1),
                    ImageItem.changed.set(changed),
                ],
                condition=still_so,
            )

    try:
        with_retries(write)
    except TransactWriteError as exc:
        reasons_of(exc, 2)
        latest = get_item(image_key(image.id))
        # Not by the request alone: one may remove many members of an image.
        if latest is None or json.loads(latest["changed"]["S"]) != changed:
            raise StaleError from exc


def _still_copied(image: Image) -> Condition:
    """Return the condition that a new membership's copies are the image's still."""
    name = ImageItem.name
    same_name = name.does_not_exist() if image.name is None else name == image.name
    both: Condition = same_name & (ImageItem.os_hidden == image.os_hidden)
    return both


def _still_shared(image: Image) -> Condition:
    shared: Condition = ImageItem.visibility == Visibility.SHARED
    owned: Condition = ImageItem.owner == image.owner
    both: Condition = shared & owned
    return both


def _same_owner_and_shared(latest: Image, image: Image) -> bool:
    return latest.visibility is Visibility.SHARED and latest.owner == image.owner
