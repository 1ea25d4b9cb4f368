"""Lists of images: what is in them, in which order, page by page (L)."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.actors import Actor
from tests.scene import at, error, make_active


def make_some(actor: Actor, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Create images of these names, a minute apart."""
    ids = []
    for minute, name in enumerate(names):
        at(monkeypatch, f"2026-11-24T08:{minute:02}:00Z")
        ids.append(actor.make_image(name=name))
    return ids


@pytest.mark.behaviour("L1")
def test_a_default_list_holds_what_is_mine_accepted_or_public(
    producer: Actor, consumer: Actor, admin: Actor, stranger: Actor
) -> None:
    """Newest first; neither hidden ones nor the community's of others."""
    own = consumer.make_image(name="own")
    accepted = producer.make_image(name="accepted")
    pending = producer.make_image(name="pending")
    public = admin.make_image(name="public", visibility="public")
    community = stranger.make_image(name="community", visibility="community")
    mine = consumer.make_image(name="mine", visibility="community")
    consumer.make_image(name="hidden", os_hidden=True)
    producer.make_image(name="private", visibility="private")
    for image_id in (accepted, pending):
        producer.share(image_id, "consumer")
    consumer.set_status(accepted, "accepted")

    assert [mine, public, accepted, own] == consumer.listed()
    assert [community, public] == stranger.listed()
    assert [mine, community] == consumer.listed("?visibility=community")
    everyones = consumer.listed("?visibility=all")
    assert [mine, community, public, accepted, own] == everyones


@pytest.mark.behaviour("L2")
def test_a_list_tells_its_first_page_and_the_next(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links are paths that keep every parameter; a full page has a next one."""
    ids = make_some(producer, monkeypatch, "a", "b", "c")
    parameters = [("name", "in:a,b,c"), ("limit", "2"), ("status", "queued")]

    query = "&".join(f"{key}={value}" for key, value in parameters)
    page = producer.get(f"/v2/images?{query}").document
    last = producer.get(page["next"]).document

    def link(text: str) -> tuple[str, list[tuple[str, str]]]:
        parts = urlsplit(text)
        return parts.path, parse_qsl(parts.query)

    assert link(page["first"]) == link(last["first"]) == ("/v2/images", parameters)
    assert link(page["next"]) == ("/v2/images", [*parameters, ("marker", ids[1])])
    assert [image["id"] for image in page["images"]] == ids[:0:-1]
    assert [image["id"] for image in last["images"]] == ids[:1]
    assert {"images", "first", "schema"} == set(last)
    assert last["schema"] == "/v2/schemas/images"


@pytest.mark.behaviour("L3")
@pytest.mark.parametrize("sort", ["", "&sort=name:asc", "&sort=size,name:desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
def test_following_next_reaches_each_image_once(
    limit: int, sort: str, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page comes only last, after a full one."""
    make_some(producer, monkeypatch, *"bacbca")

    pages = producer.pages(f"?limit={limit}{sort}")

    whole = producer.listed(f"?limit=100{sort}")
    assert whole == [image_id for page in pages for image_id in page]
    assert all(len(page) == limit for page in pages[:-1])
    assert len(whole) == 6


@pytest.mark.behaviour("L4")
def test_a_page_starts_after_its_marker_and_ends_at_its_limit(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of nothing is an empty page; a marker that was never there is refused."""
    a, b, c = make_some(producer, monkeypatch, "a", "b", "c")
    absent = "00000000-0000-4000-8000-000000000000"

    refused = producer.get(f"/v2/images?marker={absent}")

    assert [c, b] == producer.listed("?limit=2")
    assert [a] == producer.listed(f"?limit=2&marker={b}")
    assert producer.listed(f"?limit=2&marker={a}") == []
    assert producer.listed("?limit=0") == []
    words = f"marker must be the ID of an image, not '{absent}'."
    assert error(400, "Bad Request", words) == (refused.status, refused.document)


@pytest.mark.behaviour("L6")
def test_a_list_is_filtered_by_any_attribute_or_property(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown key is that of a custom property; all filters must hold."""
    at(monkeypatch, "2026-11-24T08:00:00Z")
    plain = producer.make_image(name="plain")
    rich = producer.make_image(
        name="rich, with a comma",
        tags=["lts", "cloud"],
        protected=True,
        disk_format="qcow2",
        container_format="bare",
        min_disk=10,
        min_ram=512,
        os_distro="ubuntu",
    )
    hidden = producer.make_image(name="hidden", os_hidden=True)

    wanted = {
        "name=plain": [plain],
        'name=in:plain,"rich, with a comma"': [plain, rich],
        "name=nobody": [],
        "owner=producer": [plain, rich],
        "owner=consumer": [],
        "status=queued": [plain, rich],
        "status=in:active,queued": [plain, rich],
        "visibility=shared": [plain, rich],
        "visibility=private": [],
        "tag=lts": [rich],
        "tag=lts&tag=cloud": [rich],
        "tag=lts&tag=other": [],
        "protected=true": [rich],
        "protected=false": [plain],
        "disk_format=qcow2": [rich],
        "container_format=in:bare,ovf": [rich],
        "min_disk=10": [rich],
        "min_ram_max=511": [plain],
        "os_hidden=true": [hidden],
        "os_distro=ubuntu": [rich],
        "os_distro=debian": [],
        "os_distro=ubuntu&disk_format=raw": [],
        f"id={rich}": [rich],
        f"id=in:{plain},{rich}": [plain, rich],
        "created_at=gte:2026-11-24T08:00:00Z": [plain, rich],
        "created_at=lt:2026-11-24T08:00:00Z": [],
        "updated_at=2026-11-24T08:00:00%2B00:00": [plain, rich],
    }
    found = {
        query: sorted(producer.listed(f"?{query.replace(' ', '%20')}"))
        for query in wanted
    }

    assert {query: sorted(ids) for query, ids in wanted.items()} == found


@pytest.mark.behaviour("L7", "L11", "L12")
def test_a_consumer_finds_what_one_producer_shared(
    producer: Actor, consumer: Actor, stranger: Actor
) -> None:
    """By its owner; with any other filter; the image says whose it is."""
    first, second = (producer.make_image(name=name) for name in ("a", "b"))
    other = stranger.make_image(name="a")
    for owner, image_id in ((producer, first), (producer, second), (stranger, other)):
        owner.share(image_id, "consumer")
    for image_id in (first, other):
        consumer.set_status(image_id, "accepted")
    pending = "?visibility=shared&member_status=pending"

    shown = consumer.get("/v2/images?owner=producer").document["images"]

    assert [first] == [image["id"] for image in shown]
    assert (shown[0]["owner"], shown[0]["visibility"]) == ("producer", "shared")
    assert [other] == consumer.listed("?owner=stranger&visibility=shared")
    assert [other, first] == consumer.listed("?name=a")
    assert [second] == consumer.listed(f"{pending}&owner=producer&name=b")
    assert consumer.listed(f"{pending}&name=a") == []


@pytest.mark.behaviour("L8")
def test_sizes_are_bounds_in_bytes(producer: Actor) -> None:
    """Both inclusive; an image without data has no size."""
    sizes = {}
    for size in (10, 20, 30):
        sizes[size] = producer.make_image(disk_format="raw")
        make_active(sizes[size], b"x" * size)
    producer.make_image(name="queued")

    assert [sizes[30], sizes[20]] == producer.listed("?size_min=20")
    assert [sizes[20], sizes[10]] == producer.listed("?size_max=20")
    assert [sizes[20]] == producer.listed("?size_min=11&size_max=29")
    assert [sizes[20]] == producer.listed("?size=20")
    assert producer.listed("?size=None") == []
    refused = producer.get("/v2/images?size_min=big")
    words = "size_min must be a whole number."
    assert error(400, "Bad Request", words) == (refused.status, refused.document)


@pytest.mark.behaviour("L9")
def test_a_list_is_sorted_by_what_is_asked_for(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descending without a word; ties are broken by time and id, the same way."""
    b1, a, b2 = make_some(producer, monkeypatch, "b", "a", "b")
    at(monkeypatch, "2026-11-24T09:00:00Z")
    null = producer.make_image()
    by_id = sorted([b1, a, b2, null])

    wanted = {
        "": [null, b2, a, b1],
        "?sort_dir=asc": [b1, a, b2, null],
        "?sort_key=name": [b2, b1, a, null],
        "?sort_key=name&sort_dir=asc": [null, a, b1, b2],
        "?sort=name:asc": [null, a, b1, b2],
        "?sort=name": [b2, b1, a, null],
        "?sort=name:asc,created_at:desc": [null, a, b2, b1],
        "?sort_key=id&sort_dir=asc": by_id,
        "?sort_key=status&sort_key=name&sort_dir=desc&sort_dir=asc": [null, a, b2, b1],
    }

    assert wanted == {query: producer.listed(query) for query in wanted}


@pytest.mark.behaviour("L10")
@pytest.mark.parametrize("key", ["self", "file", "schema"])
def test_a_link_is_nothing_to_filter_on(key: str, producer: Actor) -> None:
    """It matches no image: the key is that of a custom property that none can have."""
    image_id = producer.make_image()
    shown: Any = producer.get(f"/v2/images/{image_id}").document

    assert producer.listed(f"?{key}={shown[key]}") == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=a&name=b", {"b"}),
        ("name=b&name=a", {"a"}),
        ("status=active&status=queued", {"a", "b"}),
        ("os_hidden=maybe&os_hidden=true", {"c"}),
        ("os_hidden=true&os_hidden=false", {"a", "b"}),
        ("created_at=gt:2099-01-01&created_at=lt:2099-01-01", {"a", "b"}),
        ("size_min=junk&tag=x&tag=y&size_min=0", set()),
        ("tag=x&tag=y", {"b"}),
        ("tag=y&tag=x", {"b"}),
    ],
)
def test_the_last_of_a_repeated_filter_counts(
    query: str, names: set[str], producer: Actor
) -> None:
    """As in the reference; a tag is no such filter: each must be there."""
    producer.make_image(name="a", tags=["x"])
    producer.make_image(name="b", tags=["x", "y"])
    producer.make_image(name="c", os_hidden=True)

    images = producer.get(f"/v2/images?{query}").document["images"]

    assert {image["name"] for image in images} == names
