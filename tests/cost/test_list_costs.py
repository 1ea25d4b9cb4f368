"""What lists cost those who have many images: docs/costs.md has what is measured.

One table for all: consumers with 10, 200 and 10,000 accepted images, each with 1,000
of its own, 1,000 offers that are older than all else, 1,000 rejected, beside 10,000
public images. Ids of projects have 32 characters, names 30 bytes, images some 4 KB.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

import app as service
from chalicelib import clock, settings
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.store import dynamodb, lists
from chalicelib.store.items import Item, RecentChangeItem, image_item, member_item
from chalicelib.store.keys import moment, recent_key
from infra.local import backend
from tests.actors import Actor, in_process
from tests.cost import dynamodb_local
from tests.cost.meter import Bill, counting
from tests.readme import table as table_of

pytestmark = [pytest.mark.java, pytest.mark.xdist_group("dynamodb-local-lists")]

PRODUCER: Final = "p" * 32
OWNER: Final = f"{'owner-of-200':x<32}"
SIZES: Final = (10, 200, 10_000)
OFFERS: Final = 1_000
OWN: Final = 1_000
REJECTED: Final = 1_000
PUBLIC: Final = 10_000
BASE: Final = datetime(2026, 1, 1, tzinfo=UTC)
RUNS: Final = (
    (MemberStatus.PENDING, OFFERS, 0),
    (MemberStatus.REJECTED, REJECTED, 100_000),
    (MemberStatus.ACCEPTED, max(SIZES), 200_000),
)
"""The memberships of the largest consumer: status, number, and place of the first."""

PENDING: Final = "visibility=shared&member_status=pending"


def _name(kind: str, number: int) -> str:
    """Return a name of 30 bytes."""
    return f"{kind}-{number:0{29 - len(kind)}d}"


LISTS: Final = {
    "default": "",
    "pending": PENDING,
    "rejected": "visibility=shared&member_status=rejected",
    "pending, of one producer": f"{PENDING}&owner={PRODUCER}",
    "by the name of one's own": f"name={_name('own', 7)}",
    "by the name of an accepted image": f"name={_name('accepted', 7)}",
    "by the name of a public image": f"name={_name('public', 7)}",
    "sorted by name": "sort=name:asc",
}
"""The lists that are measured, each on its first page of 25."""

TABLE: Final = table_of("Lists of projects that have many images", "docs/costs.md")


def consumer(accepted: int) -> str:
    """Return the project that accepted so many images."""
    return f"{f'consumer-of-{accepted}':x<32}"


def _image_id(number: int, at: int) -> str:
    return f"{at:08x}-0000-4000-8000-{number:012d}"


def _image(number: int, owner: str, kind: str, visibility: str, at: int) -> Image:
    created_at = BASE + timedelta(seconds=at + number)
    return Image(
        id=_image_id(number, at),
        owner=owner,
        name=_name(kind, number),
        visibility=Visibility(visibility),
        created_at=created_at,
        updated_at=created_at,
        properties={"os_distro": "x" * 2_800},
    )


def _membership(image: Image, project: str, status: MemberStatus) -> Item:
    return member_item(
        Member(
            image_id=image.id,
            member_id=project,
            status=status,
            created_at=image.created_at,
            updated_at=image.created_at,
        ),
        image,
    )


def _items() -> Iterator[Item]:
    projects = [consumer(size) for size in SIZES]
    for status, count, at in RUNS:
        for number in range(count):
            image = _image(number, PRODUCER, status, "shared", at)
            yield image_item(image)
            for size, project in zip(SIZES, projects, strict=True):
                if status is not MemberStatus.ACCEPTED or number < size:
                    yield _membership(image, project, status)
    for which, project in enumerate((*projects, OWNER)):
        for number in range(200 if project == OWNER else OWN):
            visibility = "shared" if number % 2 else "private"
            at = 300_000 + 10_000 * which
            yield image_item(_image(number, project, "own", visibility, at))
    for number in range(PUBLIC):
        yield image_item(_image(number, PRODUCER, "public", "public", 400_000))


@pytest.fixture(scope="module")
def crowd() -> Iterator[Any]:
    """Fill a table on DynamoDB Local once; return its client."""
    changed = dynamodb.change_by(Caller(PRODUCER, "someone", Role.MEMBER, "x" * 40))
    connection = dynamodb.connection.connection
    with dynamodb_local.running() as client, pytest.MonkeyPatch.context() as patched:
        backend.create_table(client, dynamodb.connection.table_name)
        patched.setattr(connection, "_client", client)
        with Item.batch_write() as batch:
            for item in _items():
                item.changed = changed
                batch.save(item)
        patched.undo()
        yield client


@pytest.fixture
def on_crowd(crowd: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the service on the table that was filled."""
    assert table == dynamodb.connection.table_name
    monkeypatch.setattr(dynamodb.connection.connection, "_client", crowd)
    return crowd


def _ask(project: str, query: str) -> tuple[Bill, list[str], str]:
    actor = Actor(in_process(service.app), project)
    with counting() as bill:
        response = actor.get(f"/v2/images?{query}")
    assert response.status == 200, response.body
    names = [image["name"] for image in response.document["images"]]
    return bill, names, response.document.get("next", "")


@pytest.mark.usefixtures("on_crowd")
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["list"])
def test_a_long_list_costs_what_the_document_says(row: dict[str, str]) -> None:
    """In read units, for each size."""
    bills = [_ask(consumer(size), LISTS[row["list"]])[0] for size in SIZES]

    measured = [f"{bill.read_units:g}" for bill in bills]
    assert measured == [row[f"{size:,} accepted"] for size in SIZES]


def test_the_document_has_each_list() -> None:
    """Nothing is measured that the document leaves out, and the other way round."""
    assert [row["list"] for row in TABLE] == list(LISTS)


@pytest.mark.usefixtures("on_crowd")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["default", "pending", "rejected"])
def test_a_page_costs_the_same_at_every_size(which: str, size: int) -> None:
    """The first and a deep one: 60 units, two round trips, and one for a marker."""
    project, query = consumer(size), LISTS[which]
    bill, names, target = _ask(project, query)
    deep = {"default": (5_000, 400_000), "pending": (700, 0), "rejected": (50, 100_000)}
    marker = _image_id(*deep[which])
    deep_bill, deep_names, _ = _ask(project, f"{query}&marker={marker}")

    assert len(names) == len(deep_names) == 25
    assert target
    assert bill.read_units <= 60
    assert bill.round_trips <= 2
    assert deep_bill.read_units <= 60 + 2
    assert deep_bill.round_trips <= 3
    if which != "default":
        assert all(name.startswith(which) for name in deep_names)


@pytest.mark.usefixtures("on_crowd")
def test_a_name_among_200_of_ones_own_costs_little() -> None:
    """Ten units, and one more for each 25 index rows beyond."""
    bill, names, _ = _ask(OWNER, LISTS["by the name of one's own"])
    assert names == [_name("own", 7)]
    assert bill.read_units <= 10

    for size in SIZES:
        beyond = OWN + size - 200
        for which in LISTS:
            if which.startswith("by the name"):
                bill, names, _ = _ask(consumer(size), LISTS[which])
                assert len(names) == 1
                assert bill.read_units <= 10 + beyond / 25
                assert bill.round_trips == 2


@pytest.mark.usefixtures("on_crowd")
@pytest.mark.parametrize("size", SIZES)
def test_a_sort_by_name_costs_ones_own_rows_and_the_page(size: int) -> None:
    """Whatever is public: the first page, and one in the middle of it."""
    rows = OWN + size
    bill, names, _ = _ask(consumer(size), LISTS["sorted by name"])
    marker = _image_id(5_000, 400_000)
    deep, deep_names, _ = _ask(
        consumer(size), f"{LISTS['sorted by name']}&marker={marker}"
    )

    assert len(names) == len(deep_names) == 25
    assert deep_names[0] == _name("public", 5_001)
    assert bill.read_units <= rows / 25 + 2 * 25 + 5
    assert deep.read_units <= rows / 25 + 2 * 25 + 5 + 2


def test_recent_offers_are_paid_for_by_the_list_that_shows_them(on_crowd: Any) -> None:
    """A unit for each 20 of the last minute; other lists cost what they did."""
    project = consumer(10)
    before = {which: _ask(project, LISTS[which])[0].read_units for which in LISTS}
    now, keys = clock.now(), []
    with RecentChangeItem.batch_write() as batch:
        for number in range(500):
            image = _image(number, PRODUCER, "pending", "shared", 0)
            item = RecentChangeItem(
                *recent_key(project, "PENDING", now, image.id),
                created_at=moment(image.created_at),
                expires_at=int(now.timestamp()) + 60,
            )
            batch.save(item)
            keys.append({"pk": {"S": item.pk}, "sk": {"S": item.sk}})
    try:
        after = {which: _ask(project, LISTS[which])[0].read_units for which in LISTS}
    finally:
        for key in keys:
            on_crowd.delete_item(TableName=dynamodb.connection.table_name, Key=key)

    dearer = {which: after[which] - before[which] for which in LISTS}
    of_offers = {which for which in LISTS if which.startswith("pending")}
    assert {which for which, units in dearer.items() if units} == of_offers
    assert all(0 < dearer[which] <= 500 / 20 for which in of_offers)


@pytest.mark.usefixtures("on_crowd")
def test_500_of_the_largest_offers_raise_the_default_list_by_10_units_at_most() -> None:
    """And a page of the offers reads no more than the bytes that it may hold."""
    default = [which for which in LISTS if which in ("default", "sorted by name")]
    before = [_ask(OWNER, LISTS[which])[0] for which in default]
    now = clock.now()
    with Item.batch_write() as batch:
        for number in range(500):
            image = _image(number, "attacker", "attack", "shared", 500_000)._replace(
                properties={"notes": "x" * (settings.current.property_bytes_max - 13)},
            )
            hint = RecentChangeItem(
                *recent_key(OWNER, "PENDING", now, image.id),
                created_at=moment(image.created_at),
            )
            offer = _membership(image, OWNER, MemberStatus.PENDING)
            for item in (image_item(image), offer, hint):
                batch.save(item)

    after = [_ask(OWNER, LISTS[which])[0] for which in default]
    offers, names, _ = _ask(OWNER, f"{PENDING}&limit=1000")

    for old, new in zip(before, after, strict=True):
        assert new.read_units <= old.read_units + 10
        assert new.calls == old.calls
    fit = lists.PAGE_BYTES_MAX // settings.current.property_bytes_max
    rows_and_hints = 1_000 / 25 + 500 / 20
    assert 100 < len(names) <= fit
    assert offers.read_units <= (9 + 1) * fit + rows_and_hints


@pytest.mark.usefixtures("on_crowd")
def test_each_list_among_thousands_is_what_the_statuses_made_it() -> None:
    """Any sequence of statuses and removals: a page anywhere, and each list to its end.

    The module's last test on the crowd, as it changes memberships.
    """
    project, drawn = consumer(max(SIZES)), random.Random(15)  # noqa: S311 - no secret
    send = in_process(service.app)
    actor, producer = Actor(send, project), Actor(send, PRODUCER)
    # By place: the status of a membership, none of an image of one's own.
    statuses: dict[tuple[int, str], MemberStatus | None] = {
        (at + number, _image_id(number, at)): status
        for status, count, at in RUNS
        for number in range(count)
    }
    at = 300_000 + 10_000 * SIZES.index(max(SIZES))
    own = [(at + number, _image_id(number, at)) for number in range(1, OWN, 2)]
    statuses |= dict.fromkeys(own)

    def wanted(status: str) -> list[str]:
        fits = (None, status)
        places = [
            place for place, held in statuses.items() if status == "all" or held in fits
        ]
        return [image_id for _, image_id in sorted(places, reverse=True)]

    def page(status: str, limit: int, marker: str = "") -> list[str]:
        query = f"visibility=shared&member_status={status}&limit={limit}"
        target = f"/v2/images?{query}" + (f"&marker={marker}" if marker else "")
        response = actor.get(target)
        assert response.status == 200, response.body
        return [image["id"] for image in response.document["images"]]

    for _ in range(40):
        shared = [place for place, held in statuses.items() if held]
        place = drawn.choice(shared)
        if drawn.random() < 0.2:
            target = f"/v2/images/{place[1]}/members/{project}"
            assert producer.delete(target).status == 204
            del statuses[place]
        else:
            status = drawn.choice(list(MemberStatus))
            actor.set_status(place[1], status)
            statuses[place] = status
        which = drawn.choice([*MemberStatus, "all"])
        ids, limit = wanted(which), drawn.choice([1, 25, 100])
        start = drawn.randrange(len(ids))
        assert ids[start + 1 : start + 1 + limit] == page(which, limit, ids[start])
        assert ids[:limit] == page(which, limit)

    for which in ("pending", "rejected", "accepted"):
        walked = page(which, 1_000)
        while len(more := page(which, 1_000, walked[-1])) == 1_000:
            walked += more
        assert walked + more == wanted(which)


def test_an_item_of_the_crowd_has_the_promised_size() -> None:
    """The units above are not those of small images."""
    image = _image(7, PRODUCER, "pending", "shared", 0)
    text = json.dumps({**image_item(image).serialize(), "changed": "x" * 150})

    assert 3_500 < len(text) < 4_600
    assert len(image.name or "") == 30


@pytest.mark.usefixtures("on_crowd")
def test_a_page_of_offers_with_counts_costs_little() -> None:
    """60 units and 4 for each 100 offers, in two round trips."""
    actor = Actor(in_process(service.app), consumer(10))
    with counting() as bill:
        response = actor.get("/ext/v1/incoming")

    assert response.document["counts"]["pending"] == OFFERS
    assert len(response.document["memberships"]) == 25
    assert bill.round_trips == 2
    assert bill.read_units <= 60 + 4 * OFFERS / 100
