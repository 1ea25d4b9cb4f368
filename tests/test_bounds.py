"""
What one request may read and answer: bounds that are settings, and each an error.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib import clock, ids, settings
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.store import dynamodb, lists, sorted_candidates
from chalicelib.store.items import Item, image_item, member_item
from infra.local.worker import Pump
from tests.actors import Actor
from tests.aws_faults import on
from tests.configuring import configure
from tests.scene import error

Bound = Callable[..., None]

TOO_MANY_TO_SORT = error(
    400,
    "Bad Request",
    "More than 5 images, or 10 index rows, are too many to sort. Narrow the list by"
    " name, owner or visibility, or sort by created_at alone.",
)


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Bound:
    """Set settings to other values."""
    return partial(configure, monkeypatch)


def fill(*items: Item) -> None:
    """Write items as fast as the emulator takes them."""
    changed = dynamodb.change_by(Caller("producer", "someone", Role.MEMBER, "x" * 40))
    with Item.batch_write() as batch:
        for item in items:
            item.changed = changed
            batch.save(item)


def images(count: int, **fields: Any) -> list[Image]:
    """Make images of the producer's, the first one the oldest."""
    now = clock.now()
    return [
        Image(
            **{
                "id": ids.new_id(),
                "owner": "producer",
                "name": f"image-{number}",
                "created_at": now - timedelta(hours=1, seconds=count - number),
                "updated_at": now,
                "properties": {},
                **fields,
            }
        )
        for number in range(count)
    ]


@contextmanager
def rows_looked_at() -> Iterator[list[int]]:
    """Note how many rows each query looks at."""
    counts: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        counts.append(parsed["ScannedCount"])

    with on("after-call.dynamodb.Query", note):
        yield counts


@pytest.mark.behaviour("L5")
def test_a_page_has_a_usual_size_and_a_largest(producer: Actor, bound: Bound) -> None:
    """The one without a limit, the other for any above it."""
    fill(*map(image_item, images(5)))
    bound(page_size=2, page_size_max=3)

    assert len(producer.listed()) == 2
    assert len(producer.listed("?limit=1")) == 1
    assert len(producer.listed("?limit=4")) == 3
    assert len(producer.listed("?limit=1000000")) == 3


def test_the_usual_sizes_are_those_of_the_reference(producer: Actor) -> None:
    """25, and 1,000 at most."""
    fill(*map(image_item, images(30)))

    assert len(producer.listed()) == 25
    assert settings.current.page_size_max == 1000


def test_a_filter_that_matches_little_gives_short_pages(
    producer: Actor, bound: Bound
) -> None:
    """None of them empty; together they hold each match once."""
    some = images(40)
    rare = some[3:40:12]
    for image in rare:
        some[some.index(image)] = image._replace(tags=("rare",))
    fill(*map(image_item, some))
    bound(page_reads_max=20)

    pages = producer.pages("?tag=rare&limit=5")

    found = [image_id for page in pages for image_id in page]
    assert [image.id for image in reversed(rare)] == found
    assert len(pages) > 1
    assert all(pages)


def test_a_page_that_ends_early_goes_on_where_it_stopped(
    producer: Actor, bound: Bound
) -> None:
    """`next` names the last image looked at, not the last one that matched."""
    some = images(30)
    some[-1] = some[-1]._replace(tags=("rare",))
    fill(*map(image_item, some))
    bound(page_reads_max=10)

    page = producer.get("/v2/images?tag=rare&limit=5").document

    assert [some[-1].id] == [image["id"] for image in page["images"]]
    marker = page["next"].rpartition("marker=")[2]
    assert marker in {image.id for image in some[10:21]}


@pytest.mark.parametrize("most", [6, 10, 15])
def test_a_filter_that_matches_nothing_is_told_to_be_narrowed(
    most: int, producer: Actor, bound: Bound
) -> None:
    """
    400 that names the filter; an empty page with `next` would end a client's list.
    """
    fill(*map(image_item, images(30)))
    bound(page_reads_max=most)

    response = producer.get("/v2/images?tag=rare&protected=true&limit=5")

    words = (
        "No image that matches tag, protected was found within 15 images, the limit of"
        " one request. Narrow the list by name, owner or visibility, or reverse its"
        " order."
    )
    assert error(400, "Bad Request", words) == (response.status, response.document)


@pytest.mark.parametrize(
    ("size", "most", "read"), [(4_096, 10, 5), (4_095, 10, 15), (4_095, 6, 15)]
)
def test_a_large_image_counts_as_several_reads(
    size: int, most: int, read: int, producer: Actor, bound: Bound
) -> None:
    """One for each 4 KB of its tags and of its properties' names and values."""
    fields = {"tags": ("x" * 2_000,), "properties": {"n" * 90: "x" * (size - 2_090)}}
    fill(*map(image_item, images(30, **fields)))
    bound(page_reads_max=most)

    response = producer.get("/v2/images?tag=rare&limit=5")

    assert f" was found within {read} images, " in response.document["message"]


def test_index_rows_are_bounded_as_well(producer: Actor, bound: Bound) -> None:
    """A page looks at so many of them, and one query more at most."""
    fill(*map(image_item, images(60, name="other")))
    bound(page_rows_max=20)

    with rows_looked_at() as counts:
        response = producer.get("/v2/images?os_hidden=true&limit=5")

    words = (
        f"No image that matches os_hidden was found within {sum(counts)} index rows,"
        " the limit of one request. Narrow the list by name, owner or visibility, or"
        " reverse its order."
    )
    assert error(400, "Bad Request", words) == (response.status, response.document)
    assert 20 <= sum(counts) <= 20 + 2 * 20


def test_index_rows_in_order_of_names_are_bounded_as_well(
    consumer: Actor, bound: Bound
) -> None:
    """Those of public images, which are not gathered."""
    fill(*map(image_item, images(70, visibility=Visibility.PUBLIC)))
    bound(page_rows_max=30)

    with rows_looked_at() as counts:
        response = consumer.get("/v2/images?os_hidden=true&sort=name:asc&limit=5")

    assert response.status == 400
    assert " within 36 index rows, " in response.document["message"]
    assert [number for number in counts if number] == [6, 12, 24]


@pytest.mark.parametrize("sort", ["sort=name:asc", "sort=name:desc", ""])
def test_of_ones_own_images_no_more_are_read_than_a_page_shows(
    sort: str, producer: Actor
) -> None:
    """What index rows tell is enough to sort them."""
    fill(*map(image_item, images(6)))
    read: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        read.extend(map(len, parsed["Responses"].values()))

    with on("after-call.dynamodb.BatchGetItem", note):
        assert len(producer.listed(f"?limit=1&{sort}")) == 1

    assert sum(read) == 1


def test_a_name_is_looked_up_in_the_index(producer: Actor) -> None:
    """Of many own images only the one that has the name is read."""
    some = images(150)
    fill(*map(image_item, some))
    read = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        read.extend(parsed["Responses"][dynamodb.connection.table_name])

    with rows_looked_at() as counts, on("after-call.dynamodb.BatchGetItem", note):
        found = producer.listed("?name=image-7")

    assert [some[7].id] == found
    assert len(read) == 1
    assert len(counts) == 6


def test_a_quota_that_was_lowered_freezes_nothing(
    producer: Actor, bound: Bound
) -> None:
    """What is above it may change and shrink, and only not grow."""
    names = [f"p{number}" for number in range(5)]
    image_id = producer.make_image(tags=names, **dict.fromkeys(names, "x"))
    bound(tag_quota=3, property_quota=3)
    path = f"/v2/images/{image_id}"

    def patch(op: str, name: str, value: Any = "") -> int:
        return producer.patch(
            path, [{"op": op, "path": f"/{name}", "value": value}]
        ).status

    statuses = [
        patch("replace", "visibility", "private"),
        patch("replace", "p1", "y"),
        patch("remove", "p0"),
        producer.delete(f"{path}/tags/p0").status,
        patch("replace", "tags", names[:4]),
        patch("add", "new", "x"),
        patch("replace", "tags", [*names, "new"]),
        producer.put(f"{path}/tags/new").status,
    ]

    assert statuses == [200, 200, 200, 204, 200, 413, 413, 413]


def test_tags_and_properties_are_bounded_in_bytes(
    producer: Actor, bound: Bound
) -> None:
    """
    32 KiB together, wherever they enter; an image above that changes without growing.
    """
    most = settings.current.property_bytes_max
    text = "x" * (most - len('{"a": ""}') - 2)
    image_id = producer.make_image(tags=["ü"], a=text)
    path = f"/v2/images/{image_id}"

    def patch(**values: str) -> int:
        some = [
            {"op": "add", "path": f"/{name}", "value": value}
            for name, value in values.items()
        ]
        return producer.patch(path, some).status

    refused = producer.post("/v2/images", {"tags": ["üa"], "a": text})
    grown = [
        patch(a=text + "x"),
        patch(b=""),
        producer.put(f"{path}/tags/a").status,
    ]
    bound(property_bytes_max=100)
    above = [
        patch(name="renamed"),
        patch(a="y" * len(text)),
        producer.put(f"{path}/tags/a").status,
        producer.delete(f"{path}/tags/ü").status,
        patch(a="y" * 200),
        patch(a="y" * 201),
    ]

    assert most == 32 * 1024
    assert refused.status == 413
    words = f"An image can have at most {most} bytes of tags and properties, not "
    assert refused.document["message"] == f"{words}{most + 1}."
    assert grown == [413, 413, 413]
    assert above == [200, 200, 413, 204, 200, 413]


def test_too_many_images_are_not_sorted(producer: Actor, bound: Bound) -> None:
    """Never a partial order: 400 says how to narrow the list."""
    fill(*map(image_item, images(6)))
    bound(sort_images_max=5)

    response = producer.get("/v2/images?sort=name:asc")

    assert (response.status, response.document) == TOO_MANY_TO_SORT
    assert len(producer.listed("?sort=name:asc&name=image-1")) == 1
    assert len(producer.listed()) == 6
    bound(sort_images_max=6)
    assert len(producer.listed("?sort=name:asc")) == 6


@pytest.mark.parametrize(("slice_max", "reads"), [(250, 1), (3, 1), (2, 2)])
def test_what_is_read_for_its_place_is_read_once(
    slice_max: int, reads: int, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless there are more images than are read at once: all may not fit in memory."""
    for module in (lists, sorted_candidates):
        monkeypatch.setattr(module, "SLICE_MAX", slice_max)
    fill(*map(image_item, images(3)))
    read: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        read.extend(map(len, parsed["Responses"].values()))

    with on("after-call.dynamodb.BatchGetItem", note):
        assert len(producer.listed("?sort=status,id:asc")) == 3

    assert sum(read) == 3 * reads
    assert max(read) <= slice_max


def test_too_many_index_rows_are_not_sorted(
    producer: Actor, bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of them fit: those that were not looked at might."""
    monkeypatch.setattr(sorted_candidates, "_CHUNK", 5)
    shown, hidden = images(2), images(40, os_hidden=True)
    fill(*map(image_item, [*hidden, *shown]))
    bound(sort_images_max=5)

    response = producer.get("/v2/images?sort=name:asc")

    assert (response.status, response.document) == TOO_MANY_TO_SORT


def test_a_page_of_large_images_ends_early(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda's answer ends at 6 MB; following `next` still reaches each image once."""
    monkeypatch.setattr(lists, "PAGE_BYTES_MAX", 100_000)
    some = images(9, properties={"notes": 'a "quoted" ü' * 2_000})
    fill(*map(image_item, some))

    for sort in ("", "&sort=status,id:asc"):
        pages = producer.pages(f"?limit=100{sort}")

        found = [image_id for page in pages for image_id in page]
        assert {image.id for image in some} == set(found)
        assert len(found) == 9
        assert len(pages) > 1
    document = producer.get("/v2/images?limit=100").document
    assert len(json.dumps(json.dumps(document, ensure_ascii=False))) < 101_000


def test_of_large_images_no_more_is_read_than_a_page_may_hold(
    producer: Actor, bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor, where a filter matches none of them, than a request may read in all."""
    monkeypatch.setattr(lists, "PAGE_BYTES_MAX", 50_000)
    bound(property_bytes_max=10_000)
    fill(*map(image_item, images(20, properties={"notes": "x" * 9_900})))
    read: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        read.extend(map(len, map(json.dumps, *parsed["Responses"].values())))

    with on("after-call.dynamodb.BatchGetItem", note):
        for sort in ("", "&sort=name:asc"):
            read.clear()
            assert len(producer.listed(f"?limit=1000{sort}")) == 4
            assert sum(read) <= 50_000
        read.clear()
        bound(page_reads_max=20)
        refused = producer.get("/v2/images?tag=rare&limit=1000")

    assert "No image that matches tag was found within" in refused.document["message"]
    assert sum(read) <= 20 * 4_096 + 50_000


def test_an_image_larger_than_a_page_is_a_page(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page holds one image at least, or the list would never end."""
    monkeypatch.setattr(lists, "PAGE_BYTES_MAX", 10)
    some = images(3)
    fill(*map(image_item, some))

    wanted = [[image.id] for image in reversed(some)]
    assert wanted == producer.pages("?limit=3")


def shared_with(count: int) -> Image:
    """Write an image with many members; their ids have the length of a UUID."""
    (image,) = images(1)
    image = image._replace(member_count=count, visibility=Visibility.SHARED)
    members = [
        Member(
            image_id=image.id,
            member_id=f"{number:032}",
            status=MemberStatus.PENDING,
            created_at=image.created_at,
            updated_at=image.updated_at,
        )
        for number in range(count)
    ]
    fill(image_item(image), *(member_item(member, image) for member in members))
    return image


@pytest.mark.parametrize(("count", "reads"), [(128, 1), (5_000, 4)])
def test_all_members_of_an_image_are_listed(
    count: int, reads: int, producer: Actor, bound: Bound
) -> None:
    """The usual quota and the largest that is tried; each read stays below 1 MB."""
    bound(member_quota=count)
    image = shared_with(count)

    with rows_looked_at() as counts:
        response = producer.get(f"/v2/images/{image.id}/members")
    refused = producer.post(f"/v2/images/{image.id}/members", {"member": "one more"})

    members = response.document["members"]
    assert [f"{number:032}" for number in range(count)] == [
        member["member_id"] for member in members
    ]
    assert len(response.body) < 6_000_000
    assert len(counts) == reads
    assert sum(counts) == count + 1  # The image is read with them.
    assert refused.status == 413


def test_an_image_of_many_members_is_deleted_with_all_of_them(
    producer: Actor, bound: Bound, pump: Pump
) -> None:
    """However many reads and writes that takes."""
    bound(member_quota=300)
    image = shared_with(300)

    deleted = producer.delete(f"/v2/images/{image.id}")
    pump.drain()

    client = dynamodb.connection.connection.client
    left = client.scan(TableName=dynamodb.connection.table_name)["Items"]
    assert deleted.status == 204
    assert [item["sk"]["S"] for item in left] == ["IMAGE"]
