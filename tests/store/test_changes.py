"""What follows from a change of an item, by the item before and after it."""

import json
from typing import Any

import pytest

from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.uploads import Upload, UploadState
from chalicelib.store import changes
from chalicelib.store.items import image_item, member_item, upload_item
from chalicelib.store.mapping import Raw
from tests.store.scene import ID, IMAGE, TIME

PENDING = Member(ID, "consumer", MemberStatus.PENDING, TIME, TIME)
ACCEPTED = PENDING._replace(status=MemberStatus.ACCEPTED)
UPLOAD = Upload(
    id="9c27",
    image_id=ID,
    method="glance-direct",
    state=UploadState.PENDING,
    project_id="producer",
    user_id="alice",
    request_id="req-1",
    created_at=TIME,
    updated_at=TIME,
)


def membership(member: Member, **changed: str) -> Raw:
    """Return the item of a membership, and who changed it last."""
    raw: Raw = member_item(member, IMAGE).serialize()
    return raw | {"changed": {"S": json.dumps(changed)}} if changed else raw


def without(raw: Raw, *names: str) -> Raw:
    """Return an item as a version that had no such attributes wrote it."""
    return {name: value for name, value in raw.items() if name not in names}


IMAGE_RAW: Raw = image_item(IMAGE).serialize()
TOMBSTONE = {**without(IMAGE_RAW, "version"), "deleted": {"BOOL": True}}
UNSWEPT = TOMBSTONE | {"project_pk": {"S": "DELETED"}}
OWN = {"project_id": "consumer", "owner": "producer"}
ANSWERED = membership(ACCEPTED, **OWN)
OFFERED = membership(PENDING)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, OFFERED, ("producer", PENDING)),
        (None, without(OFFERED, "owner"), None),
        (OFFERED, OFFERED, None),
        (OFFERED, None, None),
        (None, None, None),
        (None, IMAGE_RAW, None),
    ],
)
def test_a_membership_is_new_where_there_was_none(
    old: Raw | None, new: Raw | None, expected: Any
) -> None:
    """It comes with its image's owner, where its item has one."""
    assert expected == changes.new_membership_of(old, new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (OFFERED, ANSWERED, ("producer", "consumer")),
        (ANSWERED, ANSWERED, None),
        (OFFERED, membership(PENDING, **OWN), None),
        (OFFERED, membership(ACCEPTED, **OWN | {"project_id": "operators"}), None),
        (OFFERED, membership(ACCEPTED, project_id="consumer"), None),
        (OFFERED, membership(ACCEPTED, owner="producer"), None),
        (OFFERED, membership(ACCEPTED), None),
        (None, ANSWERED, None),
        (OFFERED, None, None),
        (None, None, None),
        (IMAGE_RAW, IMAGE_RAW, None),
    ],
)
def test_a_first_answer_is_the_consumers_own_to_a_pending_offer(
    old: Raw | None, new: Raw | None, expected: Any
) -> None:
    """It names the producer and the consumer, and is none where either is unknown."""
    assert expected == changes.first_answer_of(old, new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ANSWERED, None, ACCEPTED),
        (ANSWERED, ANSWERED, None),
        (None, ANSWERED, None),
        (None, None, None),
        (IMAGE_RAW, None, None),
    ],
)
def test_a_membership_has_ended_where_there_is_none_any_more(
    old: Raw | None, new: Raw | None, expected: Any
) -> None:
    """It is told as it was last."""
    assert expected == changes.ended_membership_of(old, new)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (upload_item(UPLOAD).serialize(), UPLOAD),
        (upload_item(UPLOAD._replace(state=UploadState.OPEN)).serialize(), None),
        (IMAGE_RAW, None),
        (None, None),
    ],
)
def test_only_an_upload_that_is_pending_waits_for_a_run(
    raw: Raw | None, expected: Any
) -> None:
    """Items of other kinds, and none at all, are no such upload."""
    assert expected == changes.pending_upload_of(raw)


SHARED = image_item(IMAGE._replace(member_count=1)).serialize()
RENAMED = image_item(IMAGE._replace(member_count=1, name="new")).serialize()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SHARED, RENAMED, ID),
        (SHARED, RENAMED | {"member_count": {"N": "2"}}, ID),
        (SHARED, SHARED | {"os_hidden": {"BOOL": True}}, ID),
        (SHARED, SHARED | {"owner": {"S": "other"}}, ID),
        (SHARED, without(SHARED, "name"), ID),
        (SHARED, SHARED | {"min_ram": {"N": "9"}}, None),
        (SHARED, RENAMED | {"member_count": {"N": "0"}}, None),
        (SHARED, RENAMED | {"deleted": {"BOOL": True}}, None),
        (SHARED, TOMBSTONE, None),
        (OFFERED, OFFERED | {"name": {"S": "new"}}, None),
        (None, RENAMED, None),
        (SHARED, None, None),
        (None, None, None),
    ],
)
def test_memberships_are_copied_to_where_what_they_copy_changed(
    old: Raw | None, new: Raw | None, expected: str | None
) -> None:
    """Of an image that has members and is there before and after."""
    assert expected == changes.recopied_image_of(old, new)


@pytest.mark.parametrize(
    ("raw", "deleted", "unswept"),
    [
        (UNSWEPT, ID, ID),
        (TOMBSTONE, ID, None),
        (IMAGE_RAW, None, None),
        (IMAGE_RAW | {"project_pk": {"S": "DELETED"}}, None, None),
        (None, None, None),
    ],
)
def test_a_tombstone_tells_what_was_deleted_and_whether_something_may_be_left(
    raw: Raw | None, deleted: str | None, unswept: str | None
) -> None:
    """Something may be left while it stands in the index for the sweep."""
    assert deleted == changes.image_id_of_tombstone(raw)
    assert unswept == changes.unswept_image_of(raw)
