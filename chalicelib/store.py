"""
The access patterns of images: each write with the condition that it needs.
"""

from dataclasses import fields, replace
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
    delete_items,
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
    Raw,
    found_in,
    image_item,
    image_key,
    member_key,
    project_partition,
    stored,
    visibility_partition,
)

_NEVER_UPDATED: Final = {"created_at", "id", "member_count"}


def load_image(image_id: str, member_id: str) -> Found:
    """
    AP-1: an image with one project's membership in it, strongly consistent.
    """
    if not is_image_id(image_id):
        return Found(image_id, member_id, None, None)
    keys = [image_key(image_id)]
    if is_project_id(member_id):
        keys.append(member_key(image_id, member_id))
    return found_in(get_items(keys), image_id, member_id)


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
            caller,
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise Conflict(f"Image ID {image.id} already exists!") from exc


def update_image(before: Image, after: Image, caller: Caller) -> Image:
    """
    AP-3: make *before* into *after*, if nobody changed it meanwhile.

    Only attributes that differ are written, and that it was updated. A hint goes with
    what moves the image in its owner's lists.

    Raises:
        StaleError: The image was changed or deleted since *before* was read.
    """
    version = before.version + (after != before)
    after = replace(after, version=version, updated_at=environment.now())
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
            caller,
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
    seen: list[Raw] | None = None

    def bury() -> None:
        nonlocal before
        before = _replace(tombstone, image.version)

    def look() -> None:
        nonlocal seen
        seen = query_collection(image.id) if image.member_count else []

    def sweep() -> None:
        missed = _may_have_missed(seen or [], before)
        raws = query_collection(image.id) if missed else seen or []
        keys = [(raw["pk"]["S"], raw["sk"]["S"]) for raw in raws]
        delete_items([key for key in keys if key[1].startswith(MEMBER)])

    left_over = f"Memberships of {image.id} were left over"
    try:
        dynamo.together(bury, partial(settle_or_log, look, left_over, caller))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc
    if seen is not None:
        settle_or_log(sweep, left_over, caller)


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
    tombstone is there: members seen between two equal ones are all there are, unless a
    transaction was seen in part.
    """
    if last is None:
        return True
    if not seen:
        return int(last["member_count"]["N"]) > 0
    image, *members = seen
    same = "deleted" in image or image["changed"]["S"] == last["changed"]["S"]
    return not same or len(members) != int(last["member_count"]["N"])


def _lists_of(image: Image, caller: Caller) -> list[str]:
    """
    Give the projects whose lists a change of an image alters.
    """
    return sorted({image.owner} | ({caller.project_id} if caller.is_admin else set()))


def _image_actions(before: Image, after: Image) -> list[Action]:
    actions: list[Action] = []
    for field in fields(Image):
        value = getattr(after, field.name)
        if field.name in _NEVER_UPDATED or value == getattr(before, field.name):
            continue
        attribute = getattr(ImageItem, field.name)
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
