"""
The access patterns of images: each write with the condition that it needs.
"""

import logging
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from typing import Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib import dynamo, environment
from chalicelib.domain import (
    Caller,
    Found,
    Image,
    is_image_id,
    is_project_id,
)
from chalicelib.dynamo import (
    change_by,
    condition_failed,
    connection,
    get_item,
    get_items,
    is_ours,
    query_collection,
    settle,
    settle_or_log,
)
from chalicelib.errors import Conflict, StaleError
from chalicelib.hints import write_with_hints
from chalicelib.table import (
    MEMBER,
    ImageItem,
    MemberItem,
    Raw,
    image_item,
    image_key,
    image_of,
    member_key,
    member_of,
    project_partition,
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
        write_with_hints(
            lambda: item.save(condition=ImageItem.pk.does_not_exist()),
            image,
            _lists_of(image, caller),
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
        write_with_hints(
            lambda: item.update(
                actions=actions, condition=ImageItem.version == before.version
            ),
            after,
            _lists_of(after, caller) if moved else [],
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
        seen.extend(query_collection(image.id))

    def sweep() -> None:
        missed = _may_have_missed(seen, before)
        _remove_members(query_collection(image.id) if missed else seen)

    left_over = f"Memberships of {image.id} were left over"
    looks = [partial(settle_or_log, look, left_over)] if image.member_count else []
    try:
        dynamo.together(bury, *looks)
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc
    settle_or_log(sweep, left_over)


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


def _lists_of(image: Image, caller: Caller) -> list[str]:
    """
    Give the projects whose lists a change of an image alters.
    """
    return sorted({image.owner} | ({caller.project_id} if caller.is_admin else set()))


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
