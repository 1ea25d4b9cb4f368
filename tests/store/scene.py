"""What the tests of the store stand on: one image of one owner, and who calls."""

from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image
from chalicelib.domain.list_queries import ListQuery, Sort
from chalicelib.domain.members import Member
from chalicelib.store import images, members
from chalicelib.store.mapping import Raw
from tests.aws_faults import stored

TIME = datetime(2026, 11, 24, 8, 0, 0, 1, tzinfo=UTC)
NOW, LATER = "2026-11-24T09:00:00.000002Z", "2026-11-24T10:00:00.000003Z"
ID = "6b1f0d7c-0000-4000-8000-000000000001"
IMAGE = Image(
    id=ID,
    owner="producer",
    created_at=TIME,
    updated_at=TIME,
    properties={"k": "v"},
    name="ubuntu",
)
PRODUCER = Caller("producer", "alice", Role.MEMBER, "req-1")
OTHER = Caller("other", "bob", Role.MEMBER, "req-2")
ADMIN = Caller("operators", "carol", Role.ADMIN, "req-3")
DEFAULT_QUERY = ListQuery(
    visibility=None,
    member_status="accepted",
    owner=None,
    name=None,
    ids=None,
    os_hidden=False,
    tests=(),
    filters=(),
    sort=(Sort("created_at", descending=True), Sort("id", descending=True)),
    limit=25,
    marker=None,
)


def load(member_id: str = "consumer") -> tuple[Image, Member | None]:
    """Return the image as it is now, and a membership in it."""
    found = images.load_image(ID, member_id)
    assert found.image is not None
    return found.image, found.membership


def change(**fields: Any) -> Image:
    """Change fields of the image by another request."""
    before, _ = load()
    return images.update_image(before, before._replace(**fields), OTHER)


def share(*projects: str) -> list[Member]:
    """Make projects members of the image by another request."""
    return members.add_members(load()[0], dict.fromkeys(projects), OTHER)


def unshare(project: str = "consumer") -> None:
    """End a membership by another request."""
    image, member = load(project)
    assert member is not None
    members.remove_member(image, member, OTHER)


def kept() -> list[Raw]:
    """Return every item but the hints of lists, which are never truth."""
    return [item for item in stored() if not item["sk"]["S"].startswith("RECENT#")]
