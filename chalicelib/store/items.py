"""The items of the table and its indexes: how each is written and read.

`infra/resources.yaml` defines the same table for AWS; a test compares the two.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pynamodb.attributes import (
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from chalicelib import settings
from chalicelib.domain.images import Image
from chalicelib.domain.members import ImageAndMembership, Member
from chalicelib.domain.profiles import Profile
from chalicelib.domain.sharing import Note
from chalicelib.domain.uploads import UPLOAD_KEPT, Upload, UploadState
from chalicelib.store.keys import (
    OPEN,
    PART_OF,
    UNFINISHED,
    Key,
    image_key,
    list_position,
    member_key,
    membership_sort,
    name_partition,
    name_sort,
    note_key,
    own_part,
    owner_partition,
    profile_key,
    project_partition,
    project_sort,
    touched_sort,
    upload_key,
    visibility_partition,
)
from chalicelib.store.mapping import ItemMapping, Raw

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

COPIED: Final = ("owner", "name", "os_hidden")
"""What a membership copies from its image."""


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


class ByProject(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call] # PynamoDB
    """Each image under its owner, each membership under its member, part by part."""

    class Meta:
        index_name = "by-project"
        projection = IncludeProjection(["name", "os_hidden", "owner", "offered_at"])

    project_pk = UnicodeAttribute(hash_key=True)
    project_sk = UnicodeAttribute(range_key=True)


class ByVisibilityOrOwner(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call] # PynamoDB
    """Each image under its visibility, each membership under its image's owner."""

    class Meta:
        index_name = "by-visibility-or-owner"
        projection = IncludeProjection(["name", "os_hidden", "owner"])

    group_pk = UnicodeAttribute(hash_key=True)
    group_sk = UnicodeAttribute(range_key=True)


class ByName(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call] # PynamoDB
    """Each public and each community image, by its name."""

    class Meta:
        index_name = "by-name"
        projection = IncludeProjection(["os_hidden", "owner"])

    name_pk = UnicodeAttribute(hash_key=True)
    name_sk = UnicodeAttribute(range_key=True)


class Item(Model):
    """What every item has: its key, its place in the indexes, and who changed it last.

    `changed` is {project_id, user_id, request_id, at}: a stream record does not say
    who made a change, and a repeated write must know its own work.
    """

    class Meta:
        table_name = settings.current.table_name
        # A request's deadline may end an attempt earlier.
        connect_timeout_seconds = 2
        read_timeout_seconds = 5
        max_retry_attempts = 3

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    project_pk = UnicodeAttribute(null=True)
    project_sk = UnicodeAttribute(null=True)
    group_pk = UnicodeAttribute(null=True)
    group_sk = UnicodeAttribute(null=True)
    name_pk = UnicodeAttribute(null=True)
    name_sk = UnicodeAttribute(null=True)
    changed = JSONAttribute(null=True)
    by_project = ByProject()
    by_visibility_or_owner = ByVisibilityOrOwner()
    by_name = ByName()


class ImageItem(Item):
    """An image, the one source of truth about it; or, once `deleted`, its tombstone."""

    image_id = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    name = UnicodeAttribute(null=True)
    visibility = UnicodeAttribute(null=True)
    status = UnicodeAttribute(null=True)
    protected = BooleanAttribute(null=True)
    os_hidden = BooleanAttribute(null=True)
    disk_format = UnicodeAttribute(null=True)
    container_format = UnicodeAttribute(null=True)
    min_disk = NumberAttribute(null=True)
    min_ram = NumberAttribute(null=True)
    size = NumberAttribute(null=True)
    virtual_size = NumberAttribute(null=True)
    checksum = UnicodeAttribute(null=True)
    os_hash_algo = UnicodeAttribute(null=True)
    os_hash_value = UnicodeAttribute(null=True)
    tags = ListAttribute(of=UnicodeAttribute, null=True)
    # One string: DynamoDB refuses an empty map key, which the API allows.
    properties = JSONAttribute(null=True)
    member_count = NumberAttribute(null=True)
    upload_id = UnicodeAttribute(null=True)
    staged = JSONAttribute(null=True)
    failed_import = UnicodeAttribute(null=True)
    version = NumberAttribute(null=True)
    created_at = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute(null=True)
    deleted = BooleanAttribute(null=True)


class MemberItem(Item):
    """A membership, in the part of its project's range that its status names.

    `owner`, `name` and `os_hidden` are copies of the image's, which index rows carry;
    `image_version` is the version of the image that they are of. They may lag, and the
    image is the truth. A membership without `image_version` has no copies. `offered_at`
    is `created_at` as microseconds since 1970, as a number: index rows are paid for by
    their size.
    """

    image_id = UnicodeAttribute(null=True)
    member_id = UnicodeAttribute(null=True)
    status = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    name = UnicodeAttribute(null=True)
    os_hidden = BooleanAttribute(null=True)
    image_version = NumberAttribute(null=True)
    offered_at = NumberAttribute(null=True)


class NoteItem(Item):
    """The owner's note on a membership, valid for the same `offered_at` and `owner`.

    `offered_at` is the membership's `created_at`: a note outlives its membership for a
    moment, and must not speak for the next one of the same project.
    """

    image_id = UnicodeAttribute(null=True)
    member_id = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    text = UnicodeAttribute(null=True)
    offered_at = UnicodeAttribute(null=True)


class ProfileItem(Item):
    """What a project says of itself."""

    display_name = UnicodeAttribute(null=True)
    contact = UnicodeAttribute(null=True)
    published = BooleanAttribute(null=True)
    verified = BooleanAttribute(null=True)
    updated_at = UnicodeAttribute(null=True)


class OfferRuleItem(Item):
    """What a project does with the offers of one producer, or of all others.

    One that was removed asks, for code that is older, and expires.
    """

    producer_id = UnicodeAttribute(null=True)
    effect = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class AnsweredItem(Item):
    """That a consumer once answered an offer of a producer: the two know each other."""


class UploadItem(Item):
    """An attempt to bring data into an image; it expires some days after its end.

    While it is not over it stands in `by-project`, by the time it was last touched;
    while its client sends parts, in a partition of its own.
    """

    upload_id = UnicodeAttribute(null=True)
    image_id = UnicodeAttribute(null=True)
    method = UnicodeAttribute(null=True)
    state = UnicodeAttribute(null=True)
    project_id = UnicodeAttribute(null=True)
    user_id = UnicodeAttribute(null=True)
    request_id = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute(null=True)
    begun_at = UnicodeAttribute(null=True)
    uri = UnicodeAttribute(null=True)
    size = NumberAttribute(null=True)
    part_size = NumberAttribute(null=True)
    sha512 = UnicodeAttribute(null=True)
    etag = UnicodeAttribute(null=True)
    multipart_id = UnicodeAttribute(null=True)
    progress = JSONAttribute(null=True)
    tries = NumberAttribute(null=True)
    reached = NumberAttribute(null=True)
    message = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class ClaimsItem(Item):
    """The imports of a project that are in progress: when each of their claims ends.

    `claims` has the seconds since 1970 for each upload's id. It expires with the last.
    """

    claims = JSONAttribute(null=True)
    version = NumberAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class UsageItem(Item):
    """What a project uses of each quota, in bytes or pieces, and its own limits.

    It stands in `by-project` by the time at which it was last recounted. `drift` has
    the differences that were found then, `recount` how far a recount has come. Or, with
    one quota and its drift, how many offers a project has with one consumer.
    """

    image_count_total = NumberAttribute(null=True)
    image_size_total = NumberAttribute(null=True)
    image_stage_total = NumberAttribute(null=True)
    image_count_uploading = NumberAttribute(null=True)
    offer_count_total = NumberAttribute(null=True)
    offer_count_per_consumer = NumberAttribute(null=True)
    image_count_total_most = NumberAttribute(null=True)
    image_size_total_most = NumberAttribute(null=True)
    image_stage_total_most = NumberAttribute(null=True)
    image_count_uploading_most = NumberAttribute(null=True)
    offer_count_total_most = NumberAttribute(null=True)
    offer_count_per_consumer_most = NumberAttribute(null=True)
    drift = JSONAttribute(null=True)
    recount = JSONAttribute(null=True)


class CountedItem(Item):
    """The mark that a record of the stream was counted; it expires."""

    expires_at = NumberAttribute(null=True)


class CursorsItem(Item):
    """Where the sweep's lists go on: the last place that was looked at, by their names.

    A list of the bucket also has the time at which its last round began.
    """

    cursors = JSONAttribute(null=True)


class RecentChangeItem(Item):
    """A recent change of a part of a project's list. Never truth; it expires.

    `created_at` is the image's, which its place in the list begins with.
    """

    created_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)


_IMAGE = ItemMapping(Image, id="image_id")
_MEMBER = ItemMapping(Member)
_NOTE = ItemMapping(Note)
_PROFILE = ItemMapping(Profile)
_UPLOAD = ItemMapping(Upload, id="upload_id")


def image_item(image: Image) -> ImageItem:
    """Return the item of a new image."""
    position = list_position(image.created_at, image.id)
    return ImageItem(
        *image_key(image.id),
        **_IMAGE.attributes(image),
        project_pk=project_partition(image.owner),
        project_sk=project_sort(own_part(image.visibility), position),
        group_pk=visibility_partition(image.visibility),
        group_sk=position,
        name_pk=name_partition(image),
        name_sk=name_sort(image) if name_partition(image) else None,
    )


def image_of(raw: Raw) -> Image | None:
    """Parse an image from its item; none from a tombstone."""
    return None if "deleted" in raw else _IMAGE.parse(raw)


def member_item(member: Member, image: Image) -> MemberItem:
    """Return the item of a new membership in *image*."""
    position = list_position(image.created_at, image.id)
    return MemberItem(
        *member_key(member.image_id, member.member_id),
        **_MEMBER.attributes(member),
        owner=image.owner,
        name=image.name,
        os_hidden=image.os_hidden,
        image_version=image.version,
        offered_at=_microseconds(member.created_at),
        project_pk=project_partition(member.member_id),
        project_sk=project_sort(PART_OF[member.status], position),
        group_pk=owner_partition(image.owner),
        group_sk=membership_sort(member.member_id, member.image_id),
    )


def member_of(raw: Raw) -> Member:
    """Parse a membership from its item."""
    return _MEMBER.parse(raw)


def note_item(note: Note) -> NoteItem:
    """Return the item of a note."""
    key = note_key(note.image_id, note.member_id)
    return NoteItem(*key, **_NOTE.attributes(note))


def note_of(raw: Raw | None, membership: Member, image: Image) -> str | None:
    """Parse the note of an image's owner on a membership, if it is about this very one.

    The word of an earlier owner is none of the present one.
    """
    if raw is None:
        return None
    note = _NOTE.parse(raw)
    same_offer = note.offered_at == membership.created_at
    return note.text if same_offer and note.owner == image.owner else None


def profile_item(project_id: str, profile: Profile) -> ProfileItem:
    """Return the item of a project's profile."""
    return ProfileItem(*profile_key(project_id), **_PROFILE.attributes(profile))


def profile_of(raw: Raw | None) -> Profile | None:
    """Parse a profile from its item, if there is one."""
    return None if raw is None else _PROFILE.parse(raw)


def upload_item(upload: Upload) -> UploadItem:
    """Return the item of an upload.

    One that is over is in no index, and expires after `UPLOAD_KEPT`.
    """
    item = UploadItem(
        *upload_key(upload.image_id, upload.id), **_UPLOAD.attributes(upload)
    )
    if upload.is_over:
        item.expires_at = int((upload.updated_at + UPLOAD_KEPT).timestamp())
    else:
        item.project_pk = OPEN if upload.state is UploadState.OPEN else UNFINISHED
        item.project_sk = touched_sort(upload.updated_at, upload.id)
    return item


def upload_of(raw: Raw) -> Upload:
    """Parse an upload from its item."""
    return _UPLOAD.parse(raw)


def cursors_of(raw: Raw | None) -> dict[str, str]:
    """Parse the sweep's cursors from their item."""
    cursors: dict[str, str] = json.loads(raw["cursors"]["S"]) if raw else {}
    return cursors


def claims_of(raw: Raw | None) -> tuple[int | None, dict[str, int]]:
    """Parse the version of a project's claims, and when each ends, from their item."""
    if raw is None:
        return None, {}
    return int(raw["version"]["N"]), json.loads(raw["claims"]["S"])


def found_in(
    items: Mapping[Key, Raw], image_id: str, member_id: str
) -> ImageAndMembership:
    """Find an image, and one project's membership in it, among items that were read."""
    image = items.get(image_key(image_id))
    member = items.get(member_key(image_id, member_id))
    return ImageAndMembership(
        image_id,
        member_id,
        image_of(image) if image else None,
        member_of(member) if member else None,
    )
