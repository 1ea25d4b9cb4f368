"""
The access patterns: every call to DynamoDB, each write with the condition it needs.
"""

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib import dynamo, environment
from chalicelib.domain import (
    Caller,
    Found,
    Image,
    Member,
    MemberStatus,
    Visibility,
    is_image_id,
    is_project_id,
)
from chalicelib.dynamo import (
    PASSED,
    change_by,
    condition_failed,
    connection,
    get_item,
    get_items,
    is_ours,
    query_page,
    reasons_of,
    settle,
)
from chalicelib.errors import Conflict, LimitExceeded, StaleError, Unavailable
from chalicelib.table import (
    LIST_OF,
    MEMBER,
    ImageItem,
    MemberItem,
    Raw,
    RecentItem,
    image_item,
    image_key,
    image_of,
    list_position,
    member_item,
    member_key,
    member_of,
    moment,
    project_partition,
    project_sort,
    recent_key,
    stored,
    visibility_partition,
)

log = logging.getLogger("cloud-images")

_HINT_KEPT: Final = timedelta(hours=1)
_DERIVED: Final = {"created_at", "id", "member_count"}


def load_image(image_id: str, member_id: str) -> Found:
    """
    AP-1: an image with one project's membership in it, strongly consistent.
    """
    if not is_image_id(image_id):
        return Found(image_id, member_id, None, None)
    keys = [image_key(image_id)]
    if is_project_id(member_id):
        keys.append(member_key(image_id, member_id))
    items = get_items(keys)
    image = items.get(image_key(image_id))
    member = items.get(member_key(image_id, member_id))
    return Found(
        image_id,
        member_id,
        image_of(image) if image else None,
        member_of(member) if member else None,
    )


def create_image(image: Image, caller: Caller) -> None:
    """
    AP-2: keep a new image, and hint at it in its owner's list.

    Raises:
        Conflict: The id is in use, or was: a deleted image's id is never free again.
    """
    item = image_item(image)
    item.changed = change_by(caller)
    try:
        _with_hints(
            lambda: item.save(condition=ImageItem.pk.does_not_exist()),
            _image_hints(image, caller),
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise Conflict(f"Image ID {image.id} already exists!") from exc


def update_image(before: Image, after: Image, caller: Caller) -> Image:
    """
    AP-3: make *before* into *after*, if nobody changed it meanwhile.

    Only attributes that differ are written; where none does, nothing is. A hint goes
    with what moves the image in its owner's lists.

    Raises:
        StaleError: The image was changed or deleted since *before* was read.
    """
    if after == before:
        return before
    after = replace(after, version=before.version + 1, updated_at=environment.now())
    item = ImageItem(*image_key(before.id))
    actions = [*_image_actions(before, after), ImageItem.changed.set(change_by(caller))]
    moved = any(
        getattr(before, name) != getattr(after, name)
        for name in ("name", "os_hidden", "visibility", "owner")
    )
    try:
        _with_hints(
            lambda: item.update(
                actions=actions, condition=ImageItem.version == before.version
            ),
            _image_hints(after, caller) if moved else [],
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        latest = get_item(image_key(before.id))
        if latest is None or not is_ours(latest, caller):
            raise StaleError from exc
    return after


def delete_image(image: Image, caller: Caller) -> None:
    """
    AP-4: put a tombstone in the image's place for good, and remove its members.

    The members are looked up meanwhile, and again only if one came or went just then.

    Raises:
        StaleError: The image was changed or deleted since it was read.
    """
    tombstone = ImageItem(*image_key(image.id), deleted=True, changed=change_by(caller))
    before: Raw | None = None
    seen: list[Raw] = []

    def bury() -> None:
        nonlocal before
        before = _replace(tombstone, image.version)

    def look() -> None:
        seen.extend(_query(image.id))

    try:
        dynamo.together(bury, *([look] if image.member_count else []))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc
    if _may_have_missed(seen, before):
        seen = _query(image.id)
    _settle_or_log(
        partial(_remove_members, seen), f"Memberships of {image.id} were left over"
    )


def list_members(image_id: str) -> list[Member]:
    """
    AP-5: the members of an image, strongly consistent, by member id.
    """
    return [member_of(raw) for raw in _query(image_id, MEMBER)]


def add_member(image: Image, member_id: str, caller: Caller) -> Member:
    """
    AP-6: make a project a member, within the quota, if the image is still shared.

    Raises:
        Conflict: The project is a member already.
        LimitExceeded: The image has as many members as the quota allows.
        StaleError: The image is no longer shared or owned as it was, or is gone.
    """
    now = environment.now()
    member = Member(
        image_id=image.id,
        member_id=member_id,
        status=MemberStatus.PENDING,
        created_at=now,
        updated_at=now,
    )
    item = member_item(member, image)
    item.changed = change_by(caller)
    quota = environment.settings.member_quota

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
                condition=_still_shared(image) & (ImageItem.member_count < quota),
                return_values="ALL_OLD",
            )

    try:
        _with_hints(write, [_hint(member_id, image)])
    except TransactWriteError as exc:
        old_member, old_image = reasons_of(exc, 2)
        if old_member is not PASSED and is_ours(old_member, caller):
            return member
        if old_image is PASSED:
            raise Conflict(
                f"Member {member_id} is duplicated for image {image.id}"
            ) from exc
        latest = image_of(old_image) if old_image else None
        if latest and _same_owner_and_shared(latest, image):
            raise LimitExceeded(
                f"Image member limit exceeded for image {image.id}: it has"
                f" {latest.member_count} members, and {quota} are allowed."
            ) from exc
        raise StaleError from exc
    return member


def set_member_status(
    image: Image, member: Member, status: MemberStatus, caller: Caller
) -> Member:
    """
    AP-7: record a consumer's answer, and move the image in its lists.

    The status stands twice, in the item and in its place in `by-project`; this is the
    only function that changes it.

    Raises:
        StaleError: The project is no longer a member.
    """
    answer = replace(member, status=status, updated_at=environment.now())
    position = list_position(image.created_at, image.id)
    item = MemberItem(*member_key(image.id, member.member_id))
    try:
        _with_hints(
            lambda: item.update(
                actions=[
                    MemberItem.status.set(status),
                    MemberItem.project_sk.set(project_sort(LIST_OF[status], position)),
                    MemberItem.updated_at.set(moment(answer.updated_at)),
                    MemberItem.changed.set(change_by(caller)),
                ],
                condition=MemberItem.pk.exists(),
            ),
            [_hint(member.member_id, image)],
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        raise StaleError from exc
    return answer


def remove_member(image: Image, member: Member, caller: Caller) -> None:
    """
    AP-8: end a membership, if the image is still shared.

    The image's `changed` names the removed member: what is gone cannot tell who did it.

    Raises:
        StaleError: The project is no longer a member, or the image no longer shared.
    """
    changed = change_by(caller) | {"removed_member": member.member_id}

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
        settle(write)
    except TransactWriteError as exc:
        reasons_of(exc, 2)
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc


def _query(image_id: str, prefix: str = "") -> list[Raw]:
    """
    Read an image's item and its members', or those whose sort key starts so.
    """
    partition, _ = image_key(image_id)
    raws: list[Raw] = []
    start: Raw | None = None
    while True:
        answer = query_page(
            partition,
            range_key_condition=MemberItem.sk.startswith(prefix) if prefix else None,
            consistent_read=True,
            exclusive_start_key=start,
        )
        raws += answer["Items"]
        start = answer.get("LastEvaluatedKey")
        if not start:
            return raws


def _replace(tombstone: ImageItem, version: int) -> Raw:
    """
    Put a tombstone in the place of an image that has a version; give its last item.
    """
    answer = settle(
        lambda: connection.put_item(
            tombstone.pk,
            tombstone.sk,
            attributes=tombstone.serialize(),
            condition=ImageItem.version == version,
            return_values="ALL_OLD",
        )
    )
    last: Raw = answer["Attributes"]
    return last


def _may_have_missed(seen: list[Raw], last: Raw | None) -> bool:
    """
    Tell whether an image got a member after its item collection was seen.

    Adding or removing one changes the image's `changed`, and nothing does so once the
    tombstone is there: members seen between two equal ones are all there are.
    """
    if last is None:
        return True
    if not seen:
        return int(last["member_count"]["N"]) > 0
    image, *_ = seen
    return "deleted" not in image and image["changed"]["S"] != last["changed"]["S"]


def _remove_members(raws: list[Raw]) -> None:
    with MemberItem.batch_write() as batch:
        for raw in raws:
            if raw["sk"]["S"].startswith(MEMBER):
                batch.delete(MemberItem(raw["pk"]["S"], raw["sk"]["S"]))


def _image_hints(image: Image, caller: Caller) -> list[Callable[[], Any]]:
    projects = {image.owner} | ({caller.project_id} if caller.is_admin else set())
    return [_hint(project_id, image) for project_id in sorted(projects)]


def _hint(project_id: str, image: Image) -> Callable[[], Any]:
    now = environment.now()
    lag = timedelta(seconds=environment.settings.index_lag_seconds)
    item = RecentItem(
        *recent_key(project_id, now, image.id),
        position=list_position(image.created_at, image.id),
        expires_at=int((now + lag + _HINT_KEPT).timestamp()),
    )
    return partial(
        _settle_or_log, item.save, f"The hint for the list of {project_id} was lost"
    )


def _settle_or_log(write: Callable[[], Any], loss: str) -> None:
    """
    Write what the answer does not depend on; what fails does no harm but is told.
    """
    try:
        settle(write)
    except (PynamoDBException, Unavailable):
        log.exception(loss)


def _with_hints(write: Callable[[], Any], hints: list[Callable[[], Any]]) -> None:
    dynamo.together(lambda: settle(write), *hints)


def _still_shared(image: Image) -> Condition:
    shared: Condition = ImageItem.visibility == Visibility.SHARED
    owned: Condition = ImageItem.owner == image.owner
    both: Condition = shared & owned
    return both


def _same_owner_and_shared(latest: Image, image: Image) -> bool:
    return latest.visibility is Visibility.SHARED and latest.owner == image.owner


def _image_actions(before: Image, after: Image) -> list[Action]:
    actions: list[Action] = []
    for name in (field.name for field in fields(Image) if field.name not in _DERIVED):
        value = getattr(after, name)
        if value == getattr(before, name):
            continue
        attribute = getattr(ImageItem, name)
        actions.append(
            attribute.remove() if value is None else attribute.set(stored(value))
        )
    if after.owner != before.owner:
        actions.append(ImageItem.project_pk.set(project_partition(after.owner)))
    if after.visibility != before.visibility:
        actions.append(
            ImageItem.visibility_pk.set(visibility_partition(after.visibility))
        )
    return actions
