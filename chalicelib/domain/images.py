"""The image: its visibility, its status, its formats and its record."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple


class Visibility(StrEnum):
    """Who sees an image, and whether it can have members (only `shared` can)."""

    COMMUNITY = "community"
    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"


class ImageStatus(StrEnum):
    """Where an image's data stands."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    KILLED = "killed"
    DELETED = "deleted"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    PENDING_DELETE = "pending_delete"
    DEACTIVATED = "deactivated"


CONTAINER_FORMATS: Final = (
    "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed",
)  # fmt: skip
DISK_FORMATS: Final = (
    "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
)  # fmt: skip
DATA_TYPE: Final = "application/octet-stream"
"""
The media type of all data: glanceclient, and so Nova, takes no other for a download.
"""

STORE: Final = "file1"
"""The one store that holds images' data, by the id that the recordings have."""

UUID: Final = "([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}"  # noqa: E501 - the pattern as the recorded schema spells it
_UUID = re.compile(UUID)


def is_image_id(text: str) -> bool:
    """Return whether *text* can be an image's id: a UUID with its hyphens."""
    return _UUID.fullmatch(text) is not None


def with_lower_case_ids(text: str) -> str:
    """Return *text* with its UUIDs in lower case: one UUID is one image."""
    return _UUID.sub(lambda match: match[0].lower(), text)


class Content(NamedTuple):
    """The description of data: its size, that of the disk in it, its hashes in hex.

    `refusal` says why it cannot be an image's data, where it cannot.
    """

    size: int
    md5: str
    sha512: str
    virtual_size: int | None = None
    refusal: str | None = None


class Image(NamedTuple):
    """An image's record; its data is elsewhere.

    Sizes are bytes, `min_disk` GiB, `min_ram` MiB. `version` counts the changes that
    PATCH, tags, actions and uploads made, not members coming and going. `upload_id`
    names the upload that the image waits for or whose data it has, `staged` describes
    data that an import is to take, `failed_import` tells why the last upload failed.
    """

    id: str
    owner: str
    created_at: datetime
    updated_at: datetime
    properties: Mapping[str, str]
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
    upload_id: str | None = None
    staged: Content | None = None
    failed_import: str | None = None
    member_count: int = 0
    version: int = 1

    def with_data(self, upload_id: str, content: Content) -> "Image":
        """
        Return what the image becomes by an upload's data.
        """
        return self._replace(
            status=ImageStatus.ACTIVE,
            upload_id=upload_id,
            staged=None,
            failed_import=None,
            size=content.size,
            virtual_size=content.virtual_size,
            checksum=content.md5,
            os_hash_algo="sha512",
            os_hash_value=content.sha512,
        )

    @property
    def has_data(self) -> bool:
        """Whether there is data to download, were it not for a deactivation."""
        return self.status in (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)
