"""The keys of the table and of its indexes; no other module spells one."""

from datetime import UTC, datetime
from typing import Final

from chalicelib.domain.images import Visibility
from chalicelib.domain.members import MemberStatus

Key = tuple[str, str]
IMAGE: Final = "IMAGE"
MEMBER: Final = "MEMBER#"
RECENT: Final = "RECENT#"
OWNED: Final = "LISTED"
LIST_OF: Final = {
    MemberStatus.ACCEPTED: OWNED,
    MemberStatus.PENDING: "PENDING",
    MemberStatus.REJECTED: "REJECTED",
}
"""
The part of a project's range that a membership stands in; owned images are `LISTED`.
"""

UNFINISHED: Final = "UNFINISHED"
"""The partition of `by-project` in which uploads stand that are not over."""

DELETED: Final = "DELETED"
"""The partition of `by-project` in which tombstones stand until nothing is left."""


def image_key(image_id: str) -> Key:
    """Give an image's key: `IMAGE#6b1f…`, `IMAGE`."""
    return f"IMAGE#{image_id}", IMAGE


def member_key(image_id: str, member_id: str) -> Key:
    """Give a membership's key: `IMAGE#6b1f…`, `MEMBER#consumer`."""
    return f"IMAGE#{image_id}", f"{MEMBER}{member_id}"


def upload_key(image_id: str, upload_id: str) -> Key:
    """Give an upload's key: `UPLOAD#6b1f…`, `9c27…`."""
    return upload_partition(image_id), upload_id


def upload_partition(image_id: str) -> str:
    """Give the partition of an image's uploads: `UPLOAD#6b1f…`."""
    return f"UPLOAD#{image_id}"


def recent_key(project_id: str, changed_at: datetime, image_id: str) -> Key:
    """
    Give a hint's key: `PROJECT#consumer`, `RECENT#2026-11-24T08:00:00.000001Z#6b1f…`.
    """
    return project_partition(project_id), f"{RECENT}{moment(changed_at)}#{image_id}"


def project_partition(project_id: str) -> str:
    """Give the partition of one project, in the table and in `by-project`."""
    return f"PROJECT#{project_id}"


def touched_sort(touched_at: datetime, item_id: str = "") -> str:
    """Give the place of an upload in `UNFINISHED`, or of a tombstone in `DELETED`."""
    return f"{moment(touched_at)}#{item_id}"


def visibility_partition(visibility: Visibility) -> str:
    """Give the partition of one visibility in `by-visibility`: `VISIBILITY#public`."""
    return f"VISIBILITY#{visibility}"


def list_position(created_at: datetime, image_id: str) -> str:
    """Give an image's place in every list: `2026-11-24T08:00:00.000001Z#6b1f…`.

    It never changes, so that memberships may copy it; the id makes it unique.
    """
    return f"{moment(created_at)}#{image_id}"


def project_sort(part: str, position: str) -> str:
    """Give a sort key of `by-project`: `PENDING#2026-11-24T08:00:00.000001Z#6b1f…`."""
    return f"{part}#{position}"


def moment(time: datetime) -> str:
    """Write a time so that text sorts as time does: always UTC, always microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def image_id_in(partition: str) -> str:
    """Read an image's id from its items' partition."""
    return partition.removeprefix(image_key("")[0])
