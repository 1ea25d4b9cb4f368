"""The mapping between a record and its item, beside what PynamoDB reads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.domain.images import Content, Image, ImageStatus, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.uploads import Progress, Upload, UploadState
from chalicelib.store.items import (
    ImageItem,
    Item,
    MemberItem,
    UploadItem,
    image_item,
    image_of,
    member_item,
    member_of,
    upload_item,
    upload_of,
)
from chalicelib.store.mapping import ItemMapping

TIME = datetime(2026, 11, 24, 8, 0, 0, 1, tzinfo=UTC)
SMALL = Image(id="6b1f", owner="p", created_at=TIME, updated_at=TIME, properties={})
FULL = Image(
    id="6b1f",
    owner="producer",
    created_at=TIME,
    updated_at=TIME,
    name="ubuntu",
    visibility=Visibility.PUBLIC,
    status=ImageStatus.ACTIVE,
    protected=True,
    os_hidden=True,
    disk_format="raw",
    container_format="bare",
    min_disk=1,
    min_ram=2**31 - 1,
    size=2**62,
    virtual_size=3,
    checksum="c",
    os_hash_algo="sha512",
    os_hash_value="h",
    tags=("a", "b"),
    properties={"": "empty", "k": "v"},
    upload_id="9c27",
    staged=Content(size=1, md5="m", sha512="s"),
    failed_import="why",
    member_count=4,
    version=5,
)
MEMBER = Member(
    image_id="6b1f",
    member_id="consumer",
    status=MemberStatus.REJECTED,
    created_at=TIME,
    updated_at=TIME,
)
UPLOAD = Upload(
    id="9c27",
    image_id="6b1f",
    method="web-download",
    state=UploadState.OPEN,
    project_id="producer",
    user_id="alice",
    request_id="req-1",
    created_at=TIME,
    updated_at=TIME,
    uri="http://example.org/",
    size=10,
    part_size=3,
    progress=Progress(parts=2, digests="d"),
    tries=1,
    reached=9,
    message="later",
)


@pytest.mark.parametrize("image", [SMALL, FULL], ids=["small", "full"])
def test_an_image_is_read_as_it_was_written(image: Image) -> None:
    """Each field, and what is null or has its default."""
    assert image_of(image_item(image).serialize()) == image


def test_memberships_and_uploads_are_read_as_they_were_written() -> None:
    """Each field, nested documents included."""
    assert member_of(member_item(MEMBER, FULL).serialize()) == MEMBER
    assert upload_of(upload_item(UPLOAD).serialize()) == UPLOAD


@pytest.mark.parametrize(
    ("thing", "item", "renamed"),
    [
        (SMALL, image_item(SMALL), {"id": "image_id"}),
        (FULL, image_item(FULL), {"id": "image_id"}),
        (MEMBER, member_item(MEMBER, FULL), {}),
        (UPLOAD, upload_item(UPLOAD), {"id": "upload_id"}),
    ],
)
def test_type_hints_say_how_a_record_is_stored_and_read(
    thing: Any, item: Item, renamed: dict[str, str]
) -> None:
    """A mapping of the record's class is all that its items need."""
    mapping = ItemMapping(type(thing), **renamed)
    attributes = mapping.attributes(thing)

    assert thing == mapping.parse(item.serialize())
    assert attributes == {name: getattr(item, name) for name in attributes}
    assert len(attributes) == len(thing._fields)


@pytest.mark.parametrize(
    ("kind", "thing", "item", "renamed"),
    [
        (ImageItem, FULL, image_item(FULL), {"id": "image_id"}),
        (MemberItem, MEMBER, member_item(MEMBER, FULL), {}),
        (UploadItem, UPLOAD, upload_item(UPLOAD), {"id": "upload_id"}),
    ],
    ids=["image", "member", "upload"],
)
def test_each_field_is_an_attribute_of_the_model(
    kind: type[Item], thing: Any, item: Item, renamed: dict[str, str]
) -> None:
    """The models define the items: PynamoDB reads of a field what was written."""
    again = kind.from_raw_data(item.serialize())

    for field in thing._fields:
        name = renamed.get(field, field)
        assert name in kind.get_attributes()
        assert getattr(again, name) == getattr(item, name)
