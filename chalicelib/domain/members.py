"""The membership: a project that an image is shared with, and its status."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from chalicelib.domain.images import Image


class MemberStatus(StrEnum):
    """Whether a consumer has accepted an image: its list depends on it, not access."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Member(NamedTuple):
    """A project that an image is shared with, and whether it accepted the image."""

    image_id: str
    member_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime


class ImageAndMembership(NamedTuple):
    """An image and one project's membership in it, as one read returned them.

    Either may be None: a hidden image gets the same response as one that never
    existed.
    """

    image_id: str
    member_id: str
    image: Image | None
    membership: Member | None
