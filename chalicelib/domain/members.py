"""The membership: a project that an image is shared with, and its status."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.images import Image


class MemberStatus(StrEnum):
    """A consumer's answer; it decides only whether the image is in its list."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One membership: a project that an image is shared with, and its answer."""

    image_id: str
    member_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ImageAndMembership:
    """What one read found: an image, and the membership of one project in it.

    Either may be missing: for a caller who may not see it, an image that is there is
    answered as one that never was.
    """

    image_id: str
    member_id: str
    image: Image | None
    membership: Member | None

    def own_membership(self) -> Member:
        """Give the membership, where the rules promise that there is one."""
        if self.membership is None:
            raise LookupError(self.image_id)
        return self.membership
