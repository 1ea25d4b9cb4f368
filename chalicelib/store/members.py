"""The access patterns of memberships: each write with the condition that it needs."""

from dataclasses import replace
from functools import partial
from typing import Final

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib import clock, settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.errors import Conflict, LimitExceeded, StaleError
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import (
    PASSED,
    change_by,
    condition_failed,
    connection,
    get_item,
    is_ours,
    query_collection,
    query_page,
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
    MEMBER,
    PART_OF,
    image_key,
    list_position,
    member_key,
    moment,
    owner_partition,
    project_sort,
)
from chalicelib.store.mapping import Raw
from chalicelib.store.recent_changes import write_and_record

COPIES_AT_ONCE: Final = 500
"""Maximum number of memberships that a job copies an image to."""


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
    """AP-6: make a project a member, within the quota, if the image is still shared.

    Raises:
        Conflict: The project is a member already.
        LimitExceeded: The image has as many members as the quota allows.
        StaleError: The image is no longer shared, or changed what a membership copies.
    """
    now = clock.now()
    member = Member(
        image_id=image.id,
        member_id=member_id,
        status=MemberStatus.PENDING,
        created_at=now,
        updated_at=now,
    )
    item = member_item(member, image)
    item.changed = change_by(caller) | {"owner": image.owner}
    quota = settings.current.member_quota

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            transaction.save(
                item, condition=MemberItem.pk.does_not_exist(), return_values="ALL_OLD"
            )
            transaction.update(
                ImageItem(*image_key(image.id)),
                actions=[
                    ImageItem.member_count.add(1),
                    ImageItem.changed.set(change_by(caller)),
                ],
                condition=_still_shared(image)
                & _still_copied(image)
                & (ImageItem.member_count < quota),
                return_values="ALL_OLD",
            )

    try:
        write_and_record(write, image, [(member_id, PART_OF[member.status])], caller)
    except TransactWriteError as exc:
        old_member, old_image = reasons_of(exc, 2)
        if old_member is not PASSED and is_ours(old_member, caller):
            return member
        if old_image is PASSED:
            raise Conflict(
                f"Member {member_id} is duplicated for image {image.id}"
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
    return member


def set_member_status(
    image: Image, member: Member, status: MemberStatus, caller: Caller
) -> Member:
    """AP-7: record a consumer's answer, and move the image in its lists.

    The status stands twice, in the item and in its place in `by-project`; this is the
    only function that changes it.

    Raises:
        StaleError: The project is no longer a member, or was added again.
    """
    answer = replace(member, status=status, updated_at=clock.now())
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
                condition=MemberItem.created_at == moment(member.created_at),
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

    The image's `changed` names the removed member and its status: what is gone cannot
    tell who did it.

    Raises:
        StaleError: The project is no longer a member, or the image no longer shared.
    """
    changed = change_by(caller) | {
        "removed_member": member.member_id,
        "removed_status": member.status,
    }

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            transaction.delete(
                MemberItem(*member_key(image.id, member.member_id)),
                condition=MemberItem.pk.exists(),
            )
            transaction.update(
                ImageItem(*image_key(image.id)),
                actions=[
                    ImageItem.member_count.add(-1),
                    ImageItem.changed.set(changed),
                ],
                condition=_still_shared(image),
            )

    try:
        with_retries(write)
    except TransactWriteError as exc:
        reasons_of(exc, 2)
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc


def update_copies(image_id: str, after: str = "") -> str | None:
    """AP-25: copy an image's name, `os_hidden` and owner to its next memberships.

    Those after a project's id, `COPIES_AT_ONCE` at most; return the last one's, if more
    may follow. The image is read after them: a membership that came later copied it as
    late. No version is written over a newer one, `changed` stays, and no event follows.
    Strongly consistent, as a membership that this job misses is not copied to again.
    """
    partition, _ = image_key(image_id)
    page = query_page(
        partition,
        range_key_condition=MemberItem.sk.startswith(MEMBER),
        consistent_read=True,
        exclusive_start_key=_raw_key(image_id, after) if after else None,
        limit=COPIES_AT_ONCE,
    )
    raw_image = get_item(image_key(image_id))
    image = image_of(raw_image) if raw_image else None
    if image is None:
        return None
    items = [MemberItem.from_raw_data(raw) for raw in page["Items"]]
    dynamodb.in_parallel(
        *[
            partial(_copy, image, item)
            for item in items
            if item.image_version is None or item.image_version < image.version
        ]
    )
    return items[-1].member_id if page.get("LastEvaluatedKey") else None


def _copy(image: Image, item: MemberItem) -> None:
    older = MemberItem.image_version.does_not_exist() | (
        MemberItem.image_version < image.version
    )
    name = MemberItem.name
    actions: list[Action] = [
        name.remove() if image.name is None else name.set(image.name),
        MemberItem.os_hidden.set(image.os_hidden),
        MemberItem.owner.set(image.owner),
        MemberItem.group_pk.set(owner_partition(image.owner)),
        MemberItem.image_version.set(image.version),
    ]
    try:
        with_retries(
            lambda: MemberItem(item.pk, item.sk).update(
                actions=actions,
                condition=older & (MemberItem.created_at == item.created_at),
            )
        )
    except PynamoDBException as exc:
        # Refused, it has a newer version, or is no longer the same membership.
        if not condition_failed(exc):
            raise


def _raw_key(image_id: str, member_id: str) -> Raw:
    pk, sk = member_key(image_id, member_id)
    return {"pk": {"S": pk}, "sk": {"S": sk}}


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
