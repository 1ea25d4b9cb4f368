"""Public images in the order of names, which the index `by-name` has.

Names that share their first 900 bytes have no order there, and ties may be broken the
other way: both are put right without reading all that is public.
"""

from datetime import UTC, datetime, timedelta
from itertools import count, product
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, Visibility
from chalicelib.store import dynamodb, sorted_candidates
from chalicelib.store.items import ImageItem, Item, image_item
from chalicelib.store.keys import image_key, is_whole, name_in, name_prefix, name_sort
from tests.actors import Actor
from tests.aws_faults import on
from tests.configuring import configure

WAYS = ("asc", "desc")
LONG = "ü" * 255
NAMES = (
    *(None, "", " ", "!", "a", "a!", "a ", "a\t", "A", "ab", "b", "~", "é", "😀"),
    *(LONG[:-1], LONG, f"{LONG[:-1]}é", "😀" * 225, "😀" * 225 + "a", "😀" * 226),
    *("x" * 3 + "😀" * 224 + "b", "x" * 3 + "😀" * 224 + "ü", "x" * 3 + "😀" * 225),
)
BASE = datetime(2026, 11, 24, 8, tzinfo=UTC)
TEXTS = st.text(
    st.sampled_from('\0\t !"a~é\uffff😀\U0010ffff') | st.characters(codec="utf-8"),
    max_size=255,
)


def public(number: int, name: str | None, **fields: Any) -> Image:
    """Make a public image; two each are of the same second."""
    created_at = BASE + timedelta(seconds=number // 2)
    return Image(
        **{
            "id": f"{number:08x}-0000-4000-8000-000000000000",
            "owner": "producer",
            "name": name,
            "visibility": Visibility.PUBLIC,
            "created_at": created_at,
            "updated_at": created_at,
            "properties": {},
            **fields,
        }
    )


def fill(images: list[Image]) -> None:
    """Write images as fast as the emulator takes them."""
    changed = dynamodb.change_by(Caller("producer", "someone", Role.MEMBER, "x" * 40))
    with Item.batch_write() as batch:
        for image in images:
            item = image_item(image)
            item.changed = changed
            batch.save(item)


def in_order(images: list[Image], way: str, ties: str) -> list[str]:
    """Return the ids of images by name; null comes before everything."""
    ties_reversed, names_reversed = ties == "desc", way == "desc"
    images = sorted(images, key=lambda i: (i.created_at, i.id), reverse=ties_reversed)
    images.sort(
        key=lambda i: (i.name is not None, i.name or ""), reverse=names_reversed
    )
    return [image.id for image in images]


@given(TEXTS, TEXTS)
def test_keys_sort_as_names_do(one: str, other: str) -> None:
    """As far as they hold all of the name; no key is longer than DynamoDB takes."""
    image = public(0, one)
    keys = [name_prefix(name).encode() for name in (one, other)]

    assert len(name_sort(image).encode()) <= 1024
    assert name_prefix(None).encode() < keys[0]
    if keys[0] != keys[1]:
        assert (keys[0] < keys[1]) == (one < other)
    else:
        assert one == other or not is_whole(name_prefix(one))
    if is_whole(name_prefix(one)):
        assert name_in(name_sort(image)) == one


@pytest.mark.parametrize(("way", "ties"), list(product(WAYS, repeat=2)))
def test_public_images_are_listed_by_name(way: str, ties: str, consumer: Actor) -> None:
    """In pages of any size, both ways, ties broken the same or the other way."""
    images = [public(number, name) for number, name in enumerate(NAMES * 3)]
    own = public(500, "a ", owner="consumer", visibility=Visibility.PRIVATE)
    fill([*images, own])
    expected = in_order([*images, own], way, ties)

    for limit in (1000, 7):
        pages = consumer.pages(
            f"?limit={limit}&sort=name:{way},created_at:{ties},id:{ties}"
        )
        assert [image_id for page in pages for image_id in page] == expected


@pytest.mark.parametrize("name", [name for name in NAMES if name])
def test_a_public_image_is_found_by_name(name: str, consumer: Actor) -> None:
    """Whatever the name, and no other with it."""
    images = [public(number, one) for number, one in enumerate(NAMES)]
    fill(images)

    ids = [image.id for image in images if image.name == name]
    assert consumer.listed(f"?{urlencode({'name': name})}") == ids


def test_a_name_reads_no_other_public_image(consumer: Actor) -> None:
    """Of a thousand, the index is asked for the rows of the name alone."""
    fill([public(number, f"image-{number}") for number in range(200)])
    counted: list[int] = []

    with on(
        "after-call.dynamodb.Query",
        lambda parsed, **_: counted.append(parsed["ScannedCount"]),
    ):
        assert len(consumer.listed("?name=image-7")) == 1

    assert sum(counted) == 1


@pytest.mark.parametrize("sort", ["sort=name:asc", "sort=name:desc", "sort_dir=asc"])
def test_the_first_page_reads_no_more_rows_than_it_shows(
    sort: str, consumer: Actor
) -> None:
    """And one more; public images are not gathered to be sorted by name."""
    fill([public(number, f"image-{number}") for number in range(40)])
    counted: list[int] = []

    with on(
        "after-call.dynamodb.Query",
        lambda parsed, **_: counted.append(parsed["ScannedCount"]),
    ):
        assert len(consumer.listed(f"?{sort}&limit=10")) == 10

    assert sum(counted) == 11


@pytest.mark.parametrize(
    ("sort", "name", "rows"),
    [
        ("name:asc", "ubuntu", 3),
        ("name:desc", "ubuntu", 3),
        ("name:asc,id:desc", "ubuntu-{:02}", 9),
        ("name:desc,id:asc", "ubuntu-{:02}", 9),
    ],
)
def test_a_next_page_reads_nothing_before_its_marker(
    sort: str, name: str, rows: int, consumer: Actor
) -> None:
    """Nor more images than it shows, although many may have the marker's name."""
    images = [public(number, name.format(number)) for number in range(20)]
    fill(images)
    marker = images[9 if "name:desc" in sort else 8].id
    counted: list[int] = []
    read: list[str] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        items = parsed["Responses"][dynamodb.connection.table_name]
        read.extend(item["pk"]["S"].partition("#")[2] for item in items)

    with (
        on(
            "after-call.dynamodb.Query",
            lambda parsed, **_: counted.append(parsed["ScannedCount"]),
        ),
        on("after-call.dynamodb.BatchGetItem", note),
    ):
        listed = consumer.listed(f"?sort={sort}&limit=2&marker={marker}")

    following = images[8:6:-1] if "name:desc" in sort else images[9:11]
    assert listed == [image.id for image in following]
    assert sorted(read) == sorted([marker, *listed])
    assert sum(counted) == rows


def test_ties_of_a_name_are_broken_by_what_is_asked_for(consumer: Actor) -> None:
    """By the id before the time, which is not how the index has them."""
    images = [
        public(number, "ubuntu", id=f"{9 - number:08x}-0000-4000-8000-000000000000")
        for number in range(6)
    ]
    fill(images)

    for limit in (2, 10):
        pages = consumer.pages(f"?sort=name:asc,id:asc&limit={limit}")
        listed = [one for page in pages for one in page]
        assert listed == sorted(image.id for image in images)


def test_public_images_are_listed_in_any_other_order(consumer: Actor) -> None:
    """Which the index of names does not have."""
    images = [
        public(
            number, f"image-{number % 3}", id=f"{9 - number:08x}-0000-4000-8000-{0:012}"
        )
        for number in range(7)
    ]
    fill(images)

    by_id = sorted(image.id for image in images)
    assert consumer.listed("?sort=id:asc") == by_id
    assert consumer.listed("?sort=created_at:asc,id:desc") == by_id[::-1]
    assert consumer.listed("?sort=name:asc,status:asc") == in_order(
        images, "asc", "desc"
    )


def test_an_image_renamed_while_its_list_is_read_is_listed_once(
    consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is met again under the new name, where the image stands now."""
    monkeypatch.setattr(sorted_candidates, "_CHUNK", 4)
    images = [public(number, f"image-{number:02}") for number in range(10)]
    fill(images)
    renamed = images[0]._replace(name="image-99")
    turns = count()

    def rename(parsed: dict[str, Any], **_: Any) -> None:
        if parsed["Items"] and next(turns) == 0:
            fill([renamed])

    with on("after-call.dynamodb.Query", rename):
        listed = consumer.listed("?sort=name:asc&limit=1000")

    assert sorted(listed) == sorted(image.id for image in images)


def test_more_public_images_than_may_be_sorted_are_listed_by_name(
    consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is of what is gathered: one's own."""
    configure(monkeypatch, sort_images_max=3)
    images = [public(number, f"image-{number:02}") for number in range(20)]
    fill(images)

    pages = consumer.pages("?sort=name:asc&limit=6")
    assert [one for page in pages for one in page] == [image.id for image in images]


def test_an_image_that_was_renamed_stands_where_it_belongs(consumer: Actor) -> None:
    """Although its index row has the old name still; each image is listed once.

    One that belongs before a marker is not listed after it.
    """
    images = [public(number, f"image-{number:02}") for number in range(10)]
    fill(images)
    renamed = [
        images[2]._replace(name="image-075"),
        images[8]._replace(name="image-01"),
        images[3]._replace(name="image-99"),
    ]
    for image in renamed:
        item = ImageItem(*image_key(image.id))
        item.update(actions=[ImageItem.name.set(str(image.name))])  # The key stays.
    now = [image for image in images if image.id not in {one.id for one in renamed}]

    listed = consumer.listed("?sort=name:asc")

    assert listed == in_order([*now, *renamed], "asc", "asc")
    after = consumer.listed(f"?sort=name:asc&marker={images[4].id}")
    assert after == [images[number].id for number in (5, 6, 7, 9)]


def test_an_image_that_is_public_no_more_leaves_the_index(
    producer: Actor, admin: Actor
) -> None:
    """And stands in it again under its new name, once it is public again."""
    image_id = admin.make_image(name="one", owner="producer", visibility="public")
    path = f"/v2/images/{image_id}"

    def set_to(name: str, value: str) -> None:
        operation = {"op": "replace", "path": f"/{name}", "value": value}
        assert admin.patch(path, [operation]).status == 200

    def row() -> str | None:
        return ImageItem.get(*image_key(image_id)).name_sk

    first = row()
    set_to("visibility", "private")
    private = row()
    set_to("name", "two")
    set_to("visibility", "community")
    community = row()

    assert first is not None
    assert first.startswith("1one ")
    assert private is None
    assert community is not None
    assert community.startswith("1two ")
    assert producer.listed("?visibility=community&name=two") == [image_id]
