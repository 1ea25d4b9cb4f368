"""
The nouns of image sharing: image, member, caller, and the words they use.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from math import ceil
from typing import Final


class Visibility(StrEnum):
    """
    Who sees an image, and whether it can have members (only `shared` can).
    """

    COMMUNITY = "community"
    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"


class ImageStatus(StrEnum):
    """
    Where an image's data stands.
    """

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    KILLED = "killed"
    DELETED = "deleted"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    PENDING_DELETE = "pending_delete"
    DEACTIVATED = "deactivated"


class MemberStatus(StrEnum):
    """
    A consumer's answer; it decides only whether the image is in its list.
    """

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class UploadState(StrEnum):
    """
    How far an upload has come; the words are those of the API's tasks, but `open`.
    """

    OPEN = "open"
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


class Role(IntEnum):
    """
    Keystone's roles; each includes those below it.
    """

    NONE = 0
    READER = 1
    MEMBER = 2
    ADMIN = 3


CONTAINER_FORMATS: Final = (
    "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed",
)  # fmt: skip
DISK_FORMATS: Final = (
    "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
)  # fmt: skip

GLANCE_DIRECT: Final = "glance-direct"
WEB_DOWNLOAD: Final = "web-download"
DIRECT_UPLOAD: Final = "direct-upload"
"""
The one way of upload that is not an import: parts that the client sends to S3.
"""

DATA_TYPE: Final = "application/octet-stream"
"""
The media type of all data: glanceclient, and so Nova, takes no other for a download.
"""

IMPORT_METHODS: Final = (GLANCE_DIRECT, WEB_DOWNLOAD)
STORE: Final = "file1"
"""
The one store that holds images' data, by the id that the recordings have.
"""

UPLOAD_KEPT: Final = timedelta(hours=48)
"""
How long an upload that is over can still be looked at, as the reference's tasks.
"""

UUID: Final = "([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}"  # noqa: E501 - the pattern as the recorded schema spells it
_UUID = re.compile(UUID)
_UNADDRESSABLE = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PROJECT_ID_CHARACTERS = 255
_PROJECT_ID_BYTES = 1000


def is_image_id(text: str) -> bool:
    """
    Tell whether *text* can be an image's id: a UUID with its hyphens.
    """
    return _UUID.fullmatch(text) is not None


def is_project_id(text: str) -> bool:
    """
    Tell whether *text* can be a project's id, and so a member's.

    1 to 255 characters, at most 1,000 bytes of UTF-8 (a DynamoDB sort key ends at
    1,024), no `/`, no control characters and no halves of such as need two, nor `.` and
    `..`: another could not be addressed by a URL.
    """
    return (
        text not in (".", "..")
        and 0 < len(text) <= _PROJECT_ID_CHARACTERS
        and _UNADDRESSABLE.search(text) is None
        and len(text.encode()) <= _PROJECT_ID_BYTES
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Whoever makes the request, as a validated token tells it.

    The project is empty where the token is for none; the role is then `NONE`.
    """

    project_id: str
    user_id: str
    role: Role
    request_id: str

    @property
    def is_admin(self) -> bool:
        """
        Whether the caller may see and change every project's images.
        """
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """
    What is told of data: its size in bytes, and its hashes in hex.
    """

    size: int
    md5: str
    sha512: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """
    An image's record; its data is elsewhere.

    Sizes are bytes, `min_disk` GiB, `min_ram` MiB. `version` counts the changes that
    PATCH, tags, actions and uploads made, not members coming and going. `upload_id`
    names the upload that the image waits for or whose data it has, `staged` describes
    data that an import is to take, `failed_import` tells why the last upload failed.
    """

    id: str
    owner: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    visibility: Visibility = Visibility.SHARED
    status: ImageStatus = ImageStatus.QUEUED
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str]
    upload_id: str | None = None
    staged: Content | None = None
    failed_import: str | None = None
    member_count: int = 0
    version: int = 1

    def with_data(self, upload_id: str, content: Content) -> "Image":
        """
        Give what the image becomes by an upload's data, which is never looked into.
        """
        return replace(
            self,
            status=ImageStatus.ACTIVE,
            upload_id=upload_id,
            staged=None,
            failed_import=None,
            size=content.size,
            # As recorded: of no data it is not known.
            virtual_size=(content.size or None) if self.disk_format == "raw" else None,
            checksum=content.md5,
            os_hash_algo="sha512",
            os_hash_value=content.sha512,
        )

    @property
    def has_data(self) -> bool:
        """
        Whether there is data to download, were it not for a deactivation.
        """
        return self.status in (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    One membership: a project that an image is shared with, and its answer.
    """

    image_id: str
    member_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    How much of an upload's data was moved and hashed, so that another run can go on.

    `parts` counts the parts that S3 has, `digests` and `etags` are put down (see
    `digests`): of all bytes so far, and of the parts' MD5s. `validator` tells whether
    the source still is the same, `whole` that all of the data is in S3.
    """

    parts: int = 0
    whole: bool = False
    digests: str | None = None
    etags: str | None = None
    validator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """
    One attempt to bring data into an image, by one method; and a task of the API.

    `size` and `part_size` are bytes, `sha512` is what the client says of the whole,
    `etag` the tag that S3 must give to what it puts together,
    `multipart_id` names the upload in S3, `tries` counts runs that got no further than
    to the byte that was `reached` before.
    """

    id: str
    image_id: str
    method: str
    state: UploadState
    project_id: str
    user_id: str
    request_id: str
    created_at: datetime
    updated_at: datetime
    uri: str | None = None
    size: int | None = None
    part_size: int | None = None
    sha512: str | None = None
    etag: str | None = None
    multipart_id: str | None = None
    progress: Progress = field(default_factory=Progress)
    tries: int = 0
    reached: int = 0
    message: str = ""

    @property
    def part_count(self) -> int:
        """
        How many parts a direct upload has; of each the size is known beforehand.
        """
        return ceil((self.size or 0) / (self.part_size or 1))

    def part_bytes(self, number: int) -> int:
        """
        Give the size of one part of a direct upload: only the last may be smaller.
        """
        size, part_size = self.size or 0, self.part_size or 0
        return min(part_size, size - (number - 1) * part_size)

    @property
    def is_over(self) -> bool:
        """
        Whether it ended, well or not.
        """
        return self.state in (UploadState.SUCCESS, UploadState.FAILURE)


@dataclass(frozen=True, slots=True)
class Found:
    """
    What one read found: an image, and the membership of one project in it.

    Either may be missing: for a caller who may not see it, an image that is there is
    answered as one that never was.
    """

    image_id: str
    member_id: str
    image: Image | None
    membership: Member | None

    def own_membership(self) -> Member:
        """
        Give the membership, where the rules promise that there is one.
        """
        if self.membership is None:
            raise LookupError(self.image_id)
        return self.membership
