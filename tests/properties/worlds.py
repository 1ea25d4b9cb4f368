"""
Worlds: a few images of several projects, their members, and how they get into a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, ImageStatus, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.store import dynamodb
from chalicelib.store.items import (
    ImageItem,
    Item,
    RecentChangeItem,
    image_item,
    image_of,
    member_item,
    member_of,
)
from chalicelib.store.keys import (
    OWNED,
    PART_OF,
    image_key,
    list_position,
    moment,
    project_sort,
    recent_key,
)
from infra.local import backend
from tests.aws_faults import truth

NOW = datetime(2026, 11, 24, 8, 0, 1, tzinfo=UTC)
"""What the clock says: images of the world are as old as those that are made in it."""
TIMES = tuple(
    NOW - timedelta(microseconds=before) for before in (0, 1, 10**6, 10**6 - 1, 10**11)
)
IDS = tuple(
    f"{first}0000000-0000-4000-8000-00000000000{last}"
    for first in "0af"
    for last in "019abf"
)
"""Ids whose neighbours in a list differ at either end."""
NO_ID = "10000000-0000-4000-8000-000000000000"

PROJECTS = ("producer", "consumer", "operators")
CALLERS = (
    ("producer", "member"), ("consumer", "member"), ("consumer", "reader"),
    ("stranger", "member"), ("operators", "admin"), ("consumer", "admin"),
)  # fmt: skip
NAMES = (
    None, "", "a", "A", " a ", "a ", "b, c", "ubuntu:24.04", "in:a", "☃ ü", 'a "b"',
)  # fmt: skip
TAGS = ("x", "y", "x y", "ü")
PROPERTIES = ("os", "", "größe", "a/b~")
WORDS = ("x", "y", "")
NUMBERS = (0, 1, 2, 100)
DISK_FORMATS = (None, "raw", "iso")
CONTAINER_FORMATS = (None, "bare", "ovf")
STATUSES = (ImageStatus.ACTIVE, ImageStatus.QUEUED)

MAKER = Caller("makers", "someone", Role.MEMBER, "req-of-the-world")

Statuses = dict[tuple[str, str], MemberStatus]
"""Each membership's status, by image id and project."""


@dataclass(frozen=True)
class State:
    """All that is true at one time, as far as lists go."""

    images: tuple[Image, ...]
    statuses: Statuses


@dataclass(frozen=True)
class Hint:
    """
    A note that a project's list changed at a place; it may be wrong, or of no use.
    """

    project: str
    part: str
    image_id: str
    created_at: datetime
    seconds_ago: int

    def item(self) -> Item:
        """Return the hint as it is stored."""
        changed_at = NOW - timedelta(seconds=self.seconds_ago)
        return RecentChangeItem(
            *recent_key(self.project, self.part, changed_at, self.image_id),
            created_at=moment(self.created_at),
        )


@dataclass(frozen=True)
class World:
    """What a table holds: a state, hints, and memberships that the index has wrong.

    A membership of an image that is not there was left by its deletion.
    """

    state: State
    hints: tuple[Hint, ...]
    lagging: dict[tuple[str, str], str]


IMAGES = st.builds(
    lambda **fields: Image(**fields),  # noqa: PLW0108 - of an `Image` it draws all
    id=st.sampled_from(IDS),
    owner=st.sampled_from(PROJECTS),
    created_at=st.sampled_from(TIMES),
    updated_at=st.sampled_from(TIMES),
    name=st.sampled_from(NAMES),
    visibility=st.sampled_from((Visibility.SHARED, Visibility.SHARED, *Visibility)),
    status=st.sampled_from(STATUSES),
    protected=st.booleans(),
    os_hidden=st.sampled_from((False, False, False, True)),
    disk_format=st.sampled_from(DISK_FORMATS),
    container_format=st.sampled_from(CONTAINER_FORMATS),
    min_disk=st.sampled_from(NUMBERS),
    min_ram=st.sampled_from(NUMBERS),
    size=st.sampled_from((None, *NUMBERS)),
    virtual_size=st.sampled_from((None, *NUMBERS)),
    checksum=st.sampled_from((None, "c0", "c1")),
    os_hash_algo=st.sampled_from((None, "sha512")),
    tags=st.lists(st.sampled_from(TAGS), unique=True, max_size=3).map(tuple),
    properties=st.dictionaries(st.sampled_from(PROPERTIES), st.sampled_from(WORDS)),
)
HINTS = st.builds(
    Hint,
    st.sampled_from(PROJECTS),
    st.sampled_from((OWNED, *PART_OF.values())),
    st.sampled_from((*IDS, NO_ID)),
    st.sampled_from(TIMES),
    st.integers(0, 70),
)
PARTS = ("", *PART_OF.values())


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world of five to ten images."""
    images = draw(
        st.lists(IMAGES, min_size=5, max_size=10, unique_by=lambda image: image.id)
    )
    ids = [*(image.id for image in images), NO_ID]
    memberships = st.tuples(st.sampled_from(ids), st.sampled_from(PROJECTS))
    statuses = draw(
        st.dictionaries(
            memberships, st.sampled_from(MemberStatus), min_size=6, max_size=14
        )
    )
    lagging = draw(
        st.dictionaries(
            st.sampled_from(sorted(statuses)), st.sampled_from(PARTS), max_size=8
        )
    )
    hints = draw(st.lists(HINTS, max_size=4))
    return World(State(tuple(images), statuses), tuple(hints), lagging)


def put(world: World) -> None:
    """Recreate the table, with a world in it."""
    client, name = dynamodb.connection.connection.client, dynamodb.connection.table_name
    client.delete_table(TableName=name)
    backend.create_table(client, name)
    items = [
        *_images(world),
        *_memberships(world),
        *(one.item() for one in world.hints),
    ]
    with Item.batch_write() as batch:
        for item in {(item.pk, item.sk): item for item in items}.values():
            item.changed = dynamodb.change_by(MAKER)
            batch.save(item)


def _images(world: World) -> Iterator[Item]:
    for image in world.state.images:
        item = image_item(image)
        for name in ("size", "virtual_size", "checksum", "os_hash_algo"):
            setattr(item, name, getattr(image, name))
        item.member_count = sum(one == image.id for one, _ in world.state.statuses)
        yield item


def _memberships(world: World) -> Iterator[Item]:
    images = {image.id: image for image in world.state.images}
    for (image_id, project), status in world.state.statuses.items():
        image = images.get(image_id)
        if image is None:
            image = Image(
                id=image_id,
                owner="nobody",
                created_at=NOW,
                updated_at=NOW,
                properties={},
            )
            yield ImageItem(*image_key(image_id), deleted=True)
        member = Member(
            image_id=image_id,
            member_id=project,
            status=status,
            created_at=NOW,
            updated_at=NOW,
        )
        item = member_item(member, image)
        part = world.lagging.get((image_id, project))
        if part is not None:
            place = list_position(image.created_at, image_id)
            item.project_pk = item.project_pk if part else None
            item.project_sk = project_sort(part, place) if part else None
            yield Hint(project, PART_OF[status], image_id, image.created_at, 30).item()
        yield item


def state_now() -> State:
    """Read what is true from the table."""
    images: list[Image] = []
    statuses: Statuses = {}
    for raw in truth():
        if raw["sk"]["S"] == "IMAGE":
            image = image_of(raw)
            images += [image] if image else []
        else:
            member = member_of(raw)
            statuses[member.image_id, member.member_id] = member.status
    return State(tuple(images), statuses)
