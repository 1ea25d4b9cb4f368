"""A recount: what a project's items use, and what its usage is mended by."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

from chalicelib.domain.images import Image, ImageStatus, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.store import recounts
from chalicelib.store.dynamodb import get_item
from chalicelib.store.items import UsageItem, image_item, member_item
from chalicelib.store.keys import Key, offers_key, touched_sort, usage_key
from tests.aws_faults import recording
from tests.interleaving import act_before
from tests.scene import at

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATE = datetime(2029, 12, 31, tzinfo=UTC)
MINE = usage_key("producer")
PENDING, ACCEPTED = MemberStatus.PENDING, MemberStatus.ACCEPTED
USED: dict[str, Any] = {
    "image_count_total": 5,
    "image_size_total": 7,
    "image_stage_total": 4,
    "image_count_uploading": 3,
    "offer_count_total": 4,
}


def save_image(number: int, owner: str = "producer", **fields: Any) -> Image:
    """Save the item of an image."""
    image = Image(
        f"{number:08}-0000-4000-8000-000000000000",
        *(owner, NOW + timedelta(seconds=number), NOW, {}),
        **fields,
    )
    image_item(image).save()
    return image


def save_member(image: Image, name: str, status: MemberStatus = PENDING) -> None:
    """Save the item of a membership."""
    member_item(Member(image.id, name, status, NOW, NOW), image).save()


def save_usage(key: Key = MINE, **values: Any) -> None:
    """Save the item of a usage that was never recounted."""
    if key[1] == "USAGE":
        values |= {"project_pk": "USAGE", "project_sk": touched_sort(LATE)}
    UsageItem(*key, **values).save()


def found(key: Key = MINE) -> dict[str, Any]:
    """Return what an item of usage has besides its keys, and when it was recounted."""
    raw = get_item(key) or {}
    values: dict[str, Any] = {
        name: int(value["N"]) if "N" in value else value["S"]
        for name, value in raw.items()
        if name not in {"pk", "sk", "project_pk"}
    }
    if "drift" in values:
        values["drift"] = json.loads(values["drift"])
    return values


@pytest.fixture(autouse=True)
def _at(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "2030-01-01T00:00:00Z")


@pytest.fixture
def images() -> list[Image]:
    """Five images of the producer's and one of another's, with memberships."""
    private = Visibility.PRIVATE
    images = [
        save_image(1),
        save_image(2, status=ImageStatus.ACTIVE, size=7, visibility=private),
        save_image(3, status=ImageStatus.SAVING, size=9),
        save_image(4, status=ImageStatus.IMPORTING, visibility=Visibility.PUBLIC),
        save_image(5, status=ImageStatus.UPLOADING, size=4, visibility=private),
    ]
    theirs = save_image(6, "other", status=ImageStatus.SAVING)
    for image in (images[0], images[2]):
        save_member(image, "a")
    save_member(images[0], "a#b")
    save_member(images[2], "a#b", ACCEPTED)
    save_member(images[2], "b", ACCEPTED)
    save_member(images[0], "c")
    save_member(theirs, "a")
    save_member(theirs, "producer")
    return images


AS_COUNTED: dict[Key, dict[str, Any]] = {
    MINE: {**USED, "project_sk": touched_sort(NOW)},
    offers_key("producer", "a"): {"offer_count_per_consumer": 2},
    offers_key("producer", "a#b"): {"offer_count_per_consumer": 1},
    offers_key("producer", "c"): {"offer_count_per_consumer": 1},
    offers_key("producer", "b"): {},
}


@pytest.mark.usefixtures("images")
def test_a_recount_notes_what_differs_and_the_next_one_mends_it() -> None:
    """In each item of usage; then nothing differs any more."""
    save_usage()

    assert not recounts.recount("producer")
    assert {key: found(key) for key in AS_COUNTED} == {
        key: {"drift": {n: c for n, c in values.items() if n != "project_sk"}}
        | ({"project_sk": touched_sort(LATE)} if key == MINE else {})
        if values
        else {}
        for key, values in AS_COUNTED.items()
    }
    assert not recounts.recount("producer")
    assert {key: found(key) for key in AS_COUNTED} == AS_COUNTED
    assert recounts.recount("producer")
    assert {key: found(key) for key in AS_COUNTED} == AS_COUNTED


@pytest.mark.usefixtures("images")
def test_a_recount_of_many_pages_goes_on_in_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However few rows a page has, it counts the same; no run reads more pages."""
    monkeypatch.setattr(recounts, "ROWS", 1)
    monkeypatch.setattr(recounts, "PAGES_MAX", 2)
    save_usage()

    for _ in range(100):
        with recording() as calls:
            recounts.recount("producer")
        assert [name for name, _ in calls].count("Query") <= 4
        if found() == AS_COUNTED[MINE]:
            break

    assert {key: found(key) for key in AS_COUNTED} == AS_COUNTED


@pytest.mark.usefixtures("images")
def test_a_run_says_whether_a_difference_was_found_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that is to go on; the recount has one result for all of its runs."""
    monkeypatch.setattr(recounts, "PAGES_MAX", 1)
    save_usage(**USED)
    save_usage(offers_key("producer", "c"), offer_count_per_consumer=1)

    runs = [recounts.recount("producer") for _ in range(5)]
    unfinished = [found().get("project_sk")]
    again = [recounts.recount("producer") for _ in range(5)]

    assert runs == [True, True, False, False, False]
    assert unfinished == [touched_sort(LATE)]
    assert again == [True, True, False, False, False]
    assert {key: found(key) for key in AS_COUNTED} == AS_COUNTED
    assert [recounts.recount("producer") for _ in range(5)] == [True] * 5


def test_a_project_without_usage_is_not_recounted() -> None:
    """Nothing was ever counted for it, and no item appears."""
    save_image(1)

    assert recounts.recount("producer")
    assert get_item(MINE) is None


@pytest.mark.usefixtures("images")
def test_a_difference_that_ended_is_forgotten() -> None:
    """It was a record on its way, or the noted one is not the same any more."""
    save_usage(**{**USED, "image_size_total": 8})
    for key, values in AS_COUNTED.items():
        if key != MINE and values:
            save_usage(key, **values)
    assert not recounts.recount("producer")
    assert found()["drift"] == {"image_size_total": -1}

    UsageItem(*MINE).update([UsageItem.image_size_total.add(1)])
    assert not recounts.recount("producer")
    assert found()["drift"] == {"image_size_total": -2}
    UsageItem(*MINE).update([UsageItem.image_size_total.add(-2)])
    with recording() as calls:
        assert recounts.recount("producer")
    assert found() == AS_COUNTED[MINE]
    assert [name for name, _ in calls].count("UpdateItem") == 2

    with recording() as calls:
        assert recounts.recount("producer")
    assert [name for name, _ in calls].count("UpdateItem") == 1


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("is_noted", [False, True])
@pytest.mark.parametrize(
    "name", ["image_count_total", "image_size_total", "offer_count_total"]
)
def test_what_is_counted_while_a_recount_writes_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, name: str, *, is_noted: bool
) -> None:
    """Its write is conditional on each number that it compared, or on its absence."""
    save_usage(image_size_total=1, offer_count_total=1)
    if is_noted:
        recounts.recount("producer")
    before = found()

    def count() -> None:
        UsageItem(*MINE).update([getattr(UsageItem, name).add(1)])

    # The counts of offers to three consumers are written before.
    act_before(monkeypatch, recounts, "_update", count, 3)
    assert not recounts.recount("producer")

    after = {**before, name: before.get(name, 0) + 1}
    if is_noted:
        after["project_sk"] = touched_sort(NOW)
    assert found() == after


def test_what_was_counted_during_a_recount_and_agrees_is_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record of an image was on its way when the recount began."""
    save_image(1)
    save_usage()

    def count() -> None:
        UsageItem(*MINE).update([UsageItem.image_count_total.add(1)])

    act_before(monkeypatch, recounts, "_count_page", count)

    assert recounts.recount("producer")
    assert found() == {"image_count_total": 1, "project_sk": touched_sort(NOW)}


def test_a_usage_that_is_gone_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does the recount fail that was to write it."""
    save_usage()

    act_before(monkeypatch, recounts, "_update", lambda: UsageItem(*MINE).delete())

    assert recounts.recount("producer")
    assert get_item(MINE) is None


def test_a_usage_of_0_with_nothing_counted_is_no_difference() -> None:
    """It is what is left when the last image is deleted."""
    save_usage(image_count_total=0)

    assert recounts.recount("producer")
    assert found() == {"image_count_total": 0, "project_sk": touched_sort(NOW)}


def test_a_count_of_offers_without_memberships_is_mended() -> None:
    """Of a consumer that has none any more, whatever ids begin like its own.

    The count of 0 comes first, and ends nothing.
    """
    image = save_image(1)
    for name in ("a#b", "ab"):
        save_member(image, name)
        save_usage(offers_key("producer", name), offer_count_per_consumer=1)
    save_usage(image_count_total=1, offer_count_total=2)
    save_usage(offers_key("producer", "a"), offer_count_per_consumer=7)
    save_usage(offers_key("producer", "0"), offer_count_per_consumer=0)
    save_usage(offers_key("producer", "below"), offer_count_per_consumer=-2)
    save_usage(offers_key("other", "a"), offer_count_per_consumer=5)

    assert not recounts.recount("producer")
    assert found(offers_key("producer", "a"))["drift"] == {
        "offer_count_per_consumer": -7
    }
    assert not recounts.recount("producer")
    assert recounts.recount("producer")

    counts = {
        name: found(offers_key("producer", name)) for name in ("0", "a", "a#b", "ab")
    }
    assert counts == {
        name: {"offer_count_per_consumer": number}
        for name, number in (("0", 0), ("a", 0), ("a#b", 1), ("ab", 1))
    }
    assert found(offers_key("other", "a")) == {"offer_count_per_consumer": 5}


def test_memberships_behind_a_page_of_another_consumers_are_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The places of one begin like those of the other, and come first."""
    monkeypatch.setattr(recounts, "ROWS", 1)
    image = save_image(1)
    for name in ("a", "a#0", "b"):
        save_member(image, name)
        save_usage(offers_key("producer", name), offer_count_per_consumer=1)
    save_usage(image_count_total=1, offer_count_total=3)

    assert recounts.recount("producer")
    assert found(offers_key("producer", "a")) == {"offer_count_per_consumer": 1}


def test_the_projects_that_were_not_recounted_since_are_found() -> None:
    """The oldest first, after a place."""
    times = {"b": -2, "a": -1, "c": 0, "d": 1}
    for name, hours in times.items():
        place = touched_sort(NOW + timedelta(hours=hours))
        UsageItem(*usage_key(name), project_pk="USAGE", project_sk=place).save()

    def uncounted(after: str) -> Iterator[tuple[str, str]]:
        return recounts.query_uncounted(NOW, after)

    everything = list(uncounted(""))
    assert [name for _, name in everything] == ["b", "a", "c"]
    place = touched_sort(NOW - timedelta(hours=2))
    assert everything[0][0] == place
    assert list(uncounted(place)) == everything[1:]


def test_an_error_of_dynamodb_ends_a_recount(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no sign that something was counted meanwhile."""
    save_usage()

    def fail(_: object) -> None:
        raise UpdateError("down")

    monkeypatch.setattr(recounts, "with_retries", fail)

    with pytest.raises(UpdateError, match="down"):
        recounts.recount("producer")
