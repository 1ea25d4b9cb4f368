"""The access patterns of uploads: each attempt to bring data into an image.

What an upload makes of its image is written with it in one transaction. `updated_at`,
to the microsecond, tells whether another run has touched an upload meanwhile.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib import clock, ids
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, is_image_id
from chalicelib.domain.quotas import (
    IMAGE_QUOTAS,
    IMAGE_SIZE,
    STAGE_SIZE,
    UPLOADING,
    check,
    is_limited,
)
from chalicelib.domain.uploads import WEB_DOWNLOAD, Upload, UploadState
from chalicelib.errors import Conflict, StaleError
from chalicelib.store import usage as usage_store
from chalicelib.store.dynamodb import (
    PASSED,
    change_by,
    condition_failed,
    connection,
    delete_items,
    get_item,
    query_page,
    query_untouched,
    reasons_of,
    with_retries,
)
from chalicelib.store.images import image_actions
from chalicelib.store.items import (
    ImageItem,
    UploadItem,
    image_of,
    upload_item,
    upload_of,
)
from chalicelib.store.keys import (
    OPEN,
    UNFINISHED,
    image_key,
    moment,
    upload_key,
    upload_partition,
)

_TRIES = 5
_NEVER_CHANGED = {"pk", "sk", "group_pk", "group_sk", "name_pk", "name_sk"}
_LISTED_MAX = 100


def new_upload(image: Image, method: str, state: UploadState, caller: Caller) -> Upload:
    """Make an upload into an image by a method; nothing is kept of it yet."""
    now = clock.now()
    return Upload(
        id=ids.new_ordered_id(),
        image_id=image.id,
        method=method,
        state=state,
        project_id=caller.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        created_at=now,
        updated_at=now,
    )


def load_upload(image_id: str, upload_id: str) -> Upload | None:
    """AP-12: one upload, strongly consistent.

    It keeps read-your-writes: a worker finds the upload that it is sent.
    """
    if not (is_image_id(image_id) and is_image_id(upload_id)):
        return None
    raw = get_item(upload_key(image_id, upload_id))
    return upload_of(raw) if raw else None


def list_uploads(image_id: str) -> list[Upload]:
    """AP-13: the latest uploads of an image, the newest first; one that goes on is it.

    Strongly consistent, as it keeps read-your-writes: what just began is listed.
    """
    answer = query_page(
        upload_partition(image_id),
        consistent_read=True,
        scan_index_forward=False,
        limit=_LISTED_MAX,
    )
    return [upload_of(raw) for raw in answer["Items"]]


def begin_upload(before: Image, after: Image, upload: Upload, caller: Caller) -> None:
    """AP-14: store a new upload and its change of the image, if that was not changed.

    One that is in progress then is counted for the image's owner, within its quotas; an
    administrator's in a project of others is counted, but not limited.

    Raises:
        LimitExceeded: The owner is over a quota.
        StaleError: The image was changed or deleted since *before* was read.
    """
    after = _changed(before, after)
    is_counted = is_limited(IMAGE_QUOTAS) and usage_store.is_begun(before, after)
    deltas = {UPLOADING: 1, IMAGE_SIZE: 0}
    if upload.method == WEB_DOWNLOAD:
        deltas[STAGE_SIZE] = 0
    is_own = before.owner == caller.project_id
    within = usage_store.within_limits(deltas) if is_own else None

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            transaction.save(
                upload_item(upload),
                condition=UploadItem.pk.does_not_exist(),
            )
            transaction.update(
                ImageItem(*image_key(before.id)),
                actions=[
                    *image_actions(before, after),
                    ImageItem.changed.set(change_by(caller)),
                ],
                condition=ImageItem.version == before.version,
            )
            if is_counted:
                usage_store.change_uploading(transaction, before.owner, 1, within)

    try:
        with_retries(write)
    except TransactWriteError as exc:
        reasons = reasons_of(exc, 2 + is_counted)
        if load_upload(upload.image_id, upload.id) == upload:
            return
        *others, usage = reasons if is_counted else [*reasons, PASSED]
        if all(one is PASSED for one in others):
            check(before.owner, usage_store.usage_of(usage), deltas)
        raise StaleError from exc


def save_upload(before: Upload, after: Upload) -> Upload:
    """AP-15: record an upload's progress, if no other run has touched it.

    Raises:
        StaleError: Another run has, or the upload is gone.
    """
    after = after._replace(updated_at=clock.now())
    item = upload_item(after)
    try:
        with_retries(
            lambda: UploadItem(item.pk, item.sk).update(
                actions=_upload_actions(item),
                condition=UploadItem.updated_at == moment(before.updated_at),
            )
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if load_upload(after.image_id, after.id) != after:
            raise StaleError from exc
    return after


def end_upload(
    before: Upload, after: Upload, change: Callable[[Image], Image]
) -> Image | None:
    """AP-16: end an upload, and return its image with what that brings.

    None is given where no image waits for this upload any more: nothing was written.

    Raises:
        StaleError: Another run has touched the upload.
        Conflict: The image was changed each time.
    """
    by = Caller(before.project_id, before.user_id, Role.NONE, before.request_id)
    after = after._replace(updated_at=clock.now())
    for _ in range(_TRIES):
        image = _waiting_image(before)
        if image is None:
            return None
        changed = _changed(image, change(image))
        try:
            with_retries(partial(_end, before, after, image, changed, by))
        except TransactWriteError as exc:
            reasons_of(exc, 2 + is_limited(IMAGE_QUOTAS))
            latest = load_upload(before.image_id, before.id)
            if latest == after:
                return changed
            if latest != before:
                raise StaleError from exc
        else:
            return changed
    raise Conflict("The image was modified concurrently; retry.")


def forget_uploads(image_id: str) -> None:
    """AP-17: remove the records of a deleted image's uploads."""
    while some := list_uploads(image_id):
        delete_items([upload_key(image_id, upload.id) for upload in some])


Idle = tuple[str, tuple[str, str]]
"""An idle upload: its place in the index, and the ids of its image and its own."""


def query_unfinished(until: datetime, after: str) -> Iterator[Idle]:
    """AP-18: the uploads whose run was last heard of before a time, the oldest first.

    After a place; the index may lag.
    """
    return _query_idle(UNFINISHED, until, after)


def query_open(until: datetime, after: str) -> Iterator[Idle]:
    """AP-57: the uploads whose client was last heard of before a time.

    The oldest first, after a place; the index may lag.
    """
    return _query_idle(OPEN, until, after)


def _query_idle(partition: str, until: datetime, after: str) -> Iterator[Idle]:
    for place, (pk, upload_id) in query_untouched(partition, until, after):
        yield place, (pk.removeprefix(upload_partition("")), upload_id)


def _end(
    before: Upload, after: Upload, image: Image, changed: Image, by: Caller
) -> None:
    item = upload_item(after)
    with TransactWrite(connection=connection.connection) as transaction:
        if is_limited(IMAGE_QUOTAS):
            usage_store.change_uploading(transaction, image.owner, -1, None)
        transaction.update(
            UploadItem(item.pk, item.sk),
            actions=_upload_actions(item),
            condition=UploadItem.updated_at == moment(before.updated_at),
        )
        transaction.update(
            ImageItem(*image_key(image.id)),
            actions=[
                *image_actions(image, changed),
                ImageItem.changed.set(change_by(by)),
            ],
            condition=ImageItem.version == image.version,
        )


def _waiting_image(upload: Upload) -> Image | None:
    """Return the image of an upload, if it still waits for this one."""
    raw = get_item(image_key(upload.image_id))
    image = image_of(raw) if raw else None
    waits = image and image.upload_id == upload.id and not image.has_data
    return image if waits else None


def _changed(before: Image, after: Image) -> Image:
    return after._replace(version=before.version + 1, updated_at=clock.now())


def _upload_actions(item: UploadItem) -> list[Action]:
    actions: list[Action] = []
    for name, attribute in UploadItem.get_attributes().items():
        if name in _NEVER_CHANGED:
            continue
        value = getattr(item, name)
        actions.append(attribute.remove() if value is None else attribute.set(value))
    return actions
