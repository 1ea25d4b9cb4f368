"""The access patterns of images: each write with the condition that it needs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib import clock
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, is_image_id
from chalicelib.domain.members import ImageAndMembership
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import Conflict, StaleError
from chalicelib.store.changes import unswept_image_of
from chalicelib.store.dynamodb import (
    change_by,
    condition_failed,
    delete_items,
    get_item,
    get_items,
    is_ours,
    query_collection,
    query_partition,
    query_untouched,
    with_retries,
)
from chalicelib.store.items import ImageItem, found_in, image_item
from chalicelib.store.keys import (
    DELETED,
    MEMBER,
    NOTE,
    OWNED,
    Key,
    image_id_in,
    image_key,
    list_position,
    member_key,
    name_partition,
    name_sort,
    note_partition,
    own_part,
    project_partition,
    project_sort,
    touched_sort,
    visibility_partition,
)
from chalicelib.store.mapping import stored
from chalicelib.store.recent_changes import ListPart, write_and_record

_NEVER_UPDATED: Final = {"created_at", "id", "member_count"}


def load_image(image_id: str, member_id: str) -> ImageAndMembership:
    """AP-1: an image with one project's membership in it, strongly consistent.

    It keeps all promises: read-your-writes, revocation at once, hidden = absent.
    """
    items = get_items(keys_of(image_id, member_id))
    return found_in(items, image_id, member_id)


def keys_of(image_id: str, member_id: str) -> list[Key]:
    """Return the keys of an image and of one project's membership, if they can be."""
    if not is_image_id(image_id):
        return []
    keys = [image_key(image_id)]
    if is_project_id(member_id):
        keys.append(member_key(image_id, member_id))
    return keys


def create_image(image: Image, caller: Caller) -> None:
    """AP-2: keep a new image, and record the change of its owner's list.

    Raises:
        Conflict: The id is in use, or was: a deleted image's id is never free again.
    """
    item = image_item(image)
    item.changed = change_by(caller)
    try:
        write_and_record(
            lambda: item.save(condition=ImageItem.pk.does_not_exist()),
            image,
            _parts_of(image, caller),
            caller,
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise Conflict(f"Image ID {image.id} already exists!") from exc


def update_image(before: Image, after: Image, caller: Caller) -> Image:
    """AP-3: make *before* into *after*, if nobody changed it meanwhile.

    Only attributes that differ are written, and that it was updated. What moves
    the image in its owner's lists is recorded.

    Raises:
        StaleError: The image was changed or deleted since *before* was read.
    """
    version = before.version + (after != before)
    after = after._replace(version=version, updated_at=clock.now())
    item = ImageItem(*image_key(before.id))
    actions = [*image_actions(before, after), ImageItem.changed.set(change_by(caller))]
    moved = any(
        getattr(before, name) != getattr(after, name)
        for name in ("name", "os_hidden", "visibility", "owner")
    )
    try:
        write_and_record(
            lambda: item.update(
                actions=actions, condition=ImageItem.version == before.version
            ),
            after,
            _parts_of(after, caller) if moved else [],
            caller,
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(before.id)), caller):
            raise StaleError from exc
    return after


def delete_image(image: Image, caller: Caller) -> None:
    """AP-4: put a tombstone in the image's place for good.

    What the image leaves, its members and its data, nobody sees any more; the stream's
    function removes it. Until then the tombstone stands in an index, for the sweep.

    Raises:
        StaleError: The image was changed or deleted since it was read.
    """
    tombstone = ImageItem(
        *image_key(image.id),
        deleted=True,
        changed=change_by(caller),
        project_pk=DELETED,
        project_sk=touched_sort(clock.now(), image.id),
    )
    try:
        with_retries(
            lambda: tombstone.save(condition=ImageItem.version == image.version)
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if not is_ours(get_item(image_key(image.id)), caller):
            raise StaleError from exc


def delete_members(image_id: str) -> None:
    """AP-19: remove the members that a deleted image left, and their notes."""
    raws = query_collection(image_id) + query_partition(note_partition(image_id))
    keys = [(raw["pk"]["S"], raw["sk"]["S"]) for raw in raws]
    delete_items([key for key in keys if key[1].startswith((MEMBER, NOTE))])


def query_deleted(until: datetime, after: str) -> Iterator[tuple[str, str]]:
    """AP-20: the images deleted before a time that may have left something.

    Each as its place in the index, and its id; the index may lag.
    """
    for place, (partition, _) in query_untouched(DELETED, until, after):
        yield place, image_id_in(partition)


def is_unswept(image_id: str) -> bool:
    """AP-23: return whether an image is deleted, and may have left something."""
    return unswept_image_of(get_item(image_key(image_id))) is not None


def touch_tombstone(image_id: str) -> None:
    """
    AP-21: write a tombstone again for the stream, if something may be left.
    """
    place = touched_sort(clock.now(), image_id)
    _change_tombstone(image_id, ImageItem.project_sk.set(place))


def finish_deletion(image_id: str) -> None:
    """AP-22: note that nothing is left of a deleted image."""
    _change_tombstone(
        image_id, ImageItem.project_pk.remove(), ImageItem.project_sk.remove()
    )


def _change_tombstone(image_id: str, *actions: Action) -> None:
    tombstone = ImageItem(*image_key(image_id))
    try:
        with_retries(
            lambda: tombstone.update(
                actions=list(actions), condition=ImageItem.project_pk == DELETED
            )
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise


def _parts_of(image: Image, caller: Caller) -> list[ListPart]:
    """Return the projects whose lists a change of an image alters, each with its part.

    An administrator's own list holds the images of others, too.
    """
    projects = {image.owner} | ({caller.project_id} if caller.is_admin else set())
    return [(project_id, OWNED) for project_id in sorted(projects)]


def image_actions(before: Image, after: Image) -> list[Action]:
    """Return what to write where two records of an image differ."""
    actions: list[Action] = []
    for name in Image._fields:
        value = getattr(after, name)
        if name in _NEVER_UPDATED or value == getattr(before, name):
            continue
        attribute = getattr(ImageItem, name)
        actions.append(
            attribute.remove() if value is None else attribute.set(stored(value))
        )
    if after.owner != before.owner:
        actions.append(ImageItem.project_pk.set(project_partition(after.owner)))
    if after.visibility != before.visibility:
        position = list_position(after.created_at, after.id)
        sort = project_sort(own_part(after.visibility), position)
        actions += [
            ImageItem.project_sk.set(sort),
            ImageItem.group_pk.set(visibility_partition(after.visibility)),
        ]
    if (after.visibility, after.name) != (before.visibility, before.name):
        actions += _name_actions(before, after)
    return actions


def _name_actions(before: Image, after: Image) -> list[Action]:
    """Return what to write to keep an image's place in `by-name`."""
    partition = name_partition(after)
    if partition is not None:
        return [
            ImageItem.name_pk.set(partition),
            ImageItem.name_sk.set(name_sort(after)),
        ]
    if name_partition(before) is None:
        return []
    return [ImageItem.name_pk.remove(), ImageItem.name_sk.remove()]
