"""
The nouns of image sharing: image, member, caller, and the words they use.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
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

IMPORT_METHODS: Final = ("glance-direct", "web-download")
STORE: Final = "file1"
"""
The one store that holds images' data, by the id that the recordings have.
"""

UUID: Final = "([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}"  # noqa: E501 - the pattern as the recorded schema spells it
_UUID = re.compile(UUID)
_UNADDRESSABLE = re.compile(r"[/\x00-\x1f\x7f-\x9f]")
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
    1,024), no `/` and no control characters, nor `.` and `..`: another could not be
    addressed by a URL.
    """
    return (
        text not in (".", "..")
        and 0 < len(text) <= _PROJECT_ID_CHARACTERS
        and _UNADDRESSABLE.search(text) is None
        and len(text.encode(errors="replace")) <= _PROJECT_ID_BYTES
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
class Image:
    """
    An image's record; its data is elsewhere.

    Sizes are bytes, `min_disk` GiB, `min_ram` MiB. `version` counts the changes that
    PATCH, tags and actions made, not members coming and going.
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
    member_count: int = 0
    version: int = 1


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
