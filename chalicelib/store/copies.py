"""What memberships copy from their images, brought up to date in jobs."""

from functools import partial
from typing import Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib.domain.images import Image
from chalicelib.store import dynamodb
from chalicelib.store.dynamodb import (
    condition_failed,
    get_item,
    query_page,
    with_retries,
)
from chalicelib.store.items import MemberItem, image_of
from chalicelib.store.keys import (
    MEMBER,
    image_key,
    member_key,
    membership_sort,
    owner_partition,
)
from chalicelib.store.mapping import Raw

COPIES_AT_ONCE: Final = 500
"""Maximum number of memberships that a job copies an image to."""


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
        MemberItem.group_sk.set(membership_sort(item.member_id, image.id)),
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
