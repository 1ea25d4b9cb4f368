"""Changes of items, as the table's stream has them: what follows from each.

A change is an item before and after it; one of them is none where the item is new, or
gone. Items are of any kind.
"""

import json

from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.uploads import Upload, UploadState
from chalicelib.store.items import COPIED, member_of, upload_of
from chalicelib.store.keys import DELETED, MEMBER, image_id_in
from chalicelib.store.mapping import Raw


def new_membership_of(old: Raw | None, new: Raw | None) -> tuple[str, Member] | None:
    """Return the membership that a change made, after its image's owner.

    None where its item does not name the owner: older versions wrote such ones.
    """
    if old is not None or new is None or not new["sk"]["S"].startswith(MEMBER):
        return None
    return (new["owner"]["S"], member_of(new)) if "owner" in new else None


def first_answer_of(old: Raw | None, new: Raw | None) -> tuple[str, str] | None:
    """Return which producer's offer a consumer answered first by a change, if it did.

    That of an administrator is no answer of the consumer. Returns the producer and the
    consumer.
    """
    if old is None or new is None or not new["sk"]["S"].startswith(MEMBER):
        return None
    before, after = member_of(old), member_of(new)
    changed = json.loads(new["changed"]["S"]) if "changed" in new else {}
    if (
        before.status is not MemberStatus.PENDING
        or after.status is MemberStatus.PENDING
        or changed.get("project_id") != after.member_id
        or "owner" not in changed
    ):
        return None
    return changed["owner"], after.member_id


def ended_membership_of(old: Raw | None, new: Raw | None) -> Member | None:
    """Return the membership that a change ended, if it ended one."""
    if old is None or new is not None or not old["sk"]["S"].startswith(MEMBER):
        return None
    return member_of(old)


def pending_upload_of(raw: Raw | None) -> Upload | None:
    """Parse an upload that waits for a run from an item of any kind, if it is one."""
    if raw is None or raw.get("state") != {"S": UploadState.PENDING}:
        return None
    return upload_of(raw)


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
