"""The items of the table and its indexes: how each is written and read.

`infra/resources.yaml` defines the same table for AWS; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

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
from chalicelib.domain.images import Content, Image, ImageStatus, Visibility
from chalicelib.domain.members import ImageAndMembership, Member, MemberStatus
from chalicelib.domain.uploads import UPLOAD_KEPT, Progress, Upload, UploadState
from chalicelib.store.keys import (
    DELETED,
    PART_OF,
    UNFINISHED,
    Key,
    image_id_in,
    image_key,
    list_position,
    member_key,
    membership_sort,
    moment,
    name_partition,
    name_sort,
    own_part,
    owner_partition,
    project_partition,
    project_sort,
    touched_sort,
    upload_key,
    upload_partition,
    visibility_partition,
)

_T = TypeVar("_T")
Raw = dict[str, dict[str, Any]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

COPIED: Final = ("owner", "name", "os_hidden")
"""What a membership copies from its image."""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
        # A call's four attempts end before API Gateway's 29 s.
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


class UploadItem(Item):
    """An attempt to bring data into an image; it expires some days after its end.

    While it is not over it stands in `by-project`, by the time it was last touched.
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


class RecentChangeItem(Item):
    """A recent change of a part of a project's list. Never truth; it expires.

    `created_at` is the image's, which its place in the list begins with.
    """

    created_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)


def stored(value: Any) -> Any:  # noqa: ANN401 - whatever an image's field holds
    """Return the form in which a field of an image is stored."""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Content):
        return asdict(value)
    return dict(value) if isinstance(value, Mapping) else value


def image_item(image: Image) -> ImageItem:
    """Return the item of a new image."""
    position = list_position(image.created_at, image.id)
    return ImageItem(
        *image_key(image.id),
        image_id=image.id,
        owner=image.owner,
        name=image.name,
        visibility=image.visibility,
        status=image.status,
        protected=image.protected,
        os_hidden=image.os_hidden,
        disk_format=image.disk_format,
        container_format=image.container_format,
        min_disk=image.min_disk,
        min_ram=image.min_ram,
        tags=stored(image.tags),
        properties=stored(image.properties),
        member_count=image.member_count,
        version=image.version,
        created_at=moment(image.created_at),
        updated_at=moment(image.updated_at),
        project_pk=project_partition(image.owner),
        project_sk=project_sort(own_part(image.visibility), position),
        group_pk=visibility_partition(image.visibility),
        group_sk=position,
        name_pk=name_partition(image),
        name_sk=name_sort(image) if name_partition(image) else None,
    )


def image_of(raw: Raw) -> Image | None:
    """Parse an image from its item; none from a tombstone."""
    item = ImageItem.from_raw_data(raw)
    if item.deleted:
        return None
    return Image(
        id=item.image_id,
        owner=item.owner,
        name=item.name,
        visibility=Visibility(item.visibility),
        status=ImageStatus(item.status),
        protected=item.protected,
        os_hidden=item.os_hidden,
        disk_format=item.disk_format,
        container_format=item.container_format,
        min_disk=int(item.min_disk),
        min_ram=int(item.min_ram),
        size=None if item.size is None else int(item.size),
        virtual_size=None if item.virtual_size is None else int(item.virtual_size),
        checksum=item.checksum,
        os_hash_algo=item.os_hash_algo,
        os_hash_value=item.os_hash_value,
        tags=tuple(str(tag) for tag in item.tags or ()),
        properties=item.properties,
        upload_id=item.upload_id,
        staged=_read(Content, item.staged) if item.staged else None,
        failed_import=item.failed_import,
        member_count=int(item.member_count),
        version=int(item.version),
        created_at=_time(item.created_at),
        updated_at=_time(item.updated_at),
    )


def member_item(member: Member, image: Image) -> MemberItem:
    """Return the item of a new membership in *image*."""
    position = list_position(image.created_at, image.id)
    return MemberItem(
        *member_key(member.image_id, member.member_id),
        image_id=member.image_id,
        member_id=member.member_id,
        status=member.status,
        created_at=moment(member.created_at),
        updated_at=moment(member.updated_at),
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
    item = MemberItem.from_raw_data(raw)
    return Member(
        image_id=item.image_id,
        member_id=item.member_id,
        status=MemberStatus(item.status),
        created_at=_time(item.created_at),
        updated_at=_time(item.updated_at),
    )


def upload_item(upload: Upload) -> UploadItem:
    """Return the item of an upload.

    One that is over is in no index, and expires after `UPLOAD_KEPT`.
    """
    item = UploadItem(
        *upload_key(upload.image_id, upload.id),
        upload_id=upload.id,
        image_id=upload.image_id,
        method=upload.method,
        state=upload.state,
        project_id=upload.project_id,
        user_id=upload.user_id,
        request_id=upload.request_id,
        created_at=moment(upload.created_at),
        updated_at=moment(upload.updated_at),
        uri=upload.uri,
        size=upload.size,
        part_size=upload.part_size,
        sha512=upload.sha512,
        etag=upload.etag,
        multipart_id=upload.multipart_id,
        progress=asdict(upload.progress),
        tries=upload.tries,
        reached=upload.reached,
        message=upload.message,
    )
    if upload.is_over:
        item.expires_at = int((upload.updated_at + UPLOAD_KEPT).timestamp())
    else:
        item.project_pk = UNFINISHED
        item.project_sk = touched_sort(upload.updated_at, upload.id)
    return item


def upload_of(raw: Raw) -> Upload:
    """Parse an upload from its item."""
    item = UploadItem.from_raw_data(raw)
    return Upload(
        id=item.upload_id,
        image_id=item.image_id,
        method=item.method,
        state=UploadState(item.state),
        project_id=item.project_id,
        user_id=item.user_id,
        request_id=item.request_id,
        created_at=_time(item.created_at),
        updated_at=_time(item.updated_at),
        uri=item.uri,
        size=None if item.size is None else int(item.size),
        part_size=None if item.part_size is None else int(item.part_size),
        sha512=item.sha512,
        etag=item.etag,
        multipart_id=item.multipart_id,
        progress=_read(Progress, item.progress),
        tries=int(item.tries),
        reached=int(item.reached),
        message=item.message or "",
    )


def pending_upload_of(raw: Raw | None) -> Key | None:
    """Parse which upload waits for a worker from an item of any kind, if it is one.

    Returns the image's id and the upload's.
    """
    if raw is None or raw.get("state") != {"S": UploadState.PENDING}:
        return None
    return raw["pk"]["S"].removeprefix(upload_partition("")), raw["sk"]["S"]


def recopied_image_of(old: Raw | None, new: Raw | None) -> str | None:
    """Return which image's memberships have old copies now, if a change left any.

    A member that comes later copies what the image is then.
    """
    if old is None or new is None or "member_count" not in new or "deleted" in new:
        return None
    if int(new["member_count"]["N"]) == 0:
        return None
    if all(old.get(name) == new.get(name) for name in COPIED):
        return None
    return image_id_in(new["pk"]["S"])


def _read(kind: type[_T], document: dict[str, Any]) -> _T:
    """
    Read what was stored as one document; what a later version added is left alone.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type] # one of ours
    return kind(**{name: document[name] for name in document if name in names})


def image_id_of_tombstone(raw: Raw | None) -> str | None:
    """Parse which image was deleted from an item of any kind, if it is a tombstone."""
    if raw is None or "deleted" not in raw:
        return None
    return image_id_in(raw["pk"]["S"])


def unswept_image_of(raw: Raw | None) -> str | None:
    """Parse which deleted image may have left something from an item of any kind."""
    if raw is None or raw.get("project_pk") != {"S": DELETED}:
        return None
    return image_id_of_tombstone(raw)


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
