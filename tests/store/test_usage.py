"""What projects use of their quotas: counted from items, and compared in conditions."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from pynamodb.exceptions import TransactWriteError, UpdateError

from chalicelib import clock
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.quotas import Usage
from chalicelib.store import usage
from chalicelib.store.dynamodb import get_item
from chalicelib.store.items import UsageItem, image_item, member_item
from chalicelib.store.keys import counted_key, offers_key, touched_sort, usage_key
from chalicelib.store.mapping import Raw
from tests.actors import Actor
from tests.aws_faults import recording
from tests.configuring import configure
from tests.scene import at
from tests.test_quotas import UNSET

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINE, OTHERS = usage_key("producer"), usage_key("heir")
ALL = dict.fromkeys(UNSET, 9)
IMAGE = Image("6b1f", "producer", NOW, NOW, {}, size=7)
SAVING, IMPORTING = ImageStatus.SAVING, ImageStatus.IMPORTING


def image(status: ImageStatus = ImageStatus.QUEUED, **changes: Any) -> Raw:
    """Return the item of an image of the producer's, of 7 bytes."""
    return image_item(IMAGE._replace(status=status, **changes)).to_dynamodb_dict()


def offer(status: MemberStatus = MemberStatus.PENDING) -> Raw:
    """Return the item of a membership of the consumer's."""
    member = Member("6b1f", "consumer", status, NOW, NOW)
    return member_item(member, IMAGE).to_dynamodb_dict()


def limit(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """Set some quotas, and no others."""
    configure(monkeypatch, **{**UNSET, **limits})


@pytest.mark.parametrize(
    ("raw", "used"),
    [
        (None, {}),
        (image(), {"image_count_total": 1}),
        (image(SAVING), {"image_count_total": 1}),
        (
            image(ImageStatus.UPLOADING),
            {
                "image_count_total": 1,
                "image_stage_total": 7,
                "image_count_uploading": 1,
            },
        ),
        (image(IMPORTING), {"image_count_total": 1, "image_stage_total": 7}),
        (image(IMPORTING, size=None), {"image_count_total": 1}),
        (image(ImageStatus.ACTIVE), {"image_count_total": 1, "image_size_total": 7}),
        (
            image(ImageStatus.DEACTIVATED),
            {"image_count_total": 1, "image_size_total": 7},
        ),
        (image(ImageStatus.ACTIVE, size=None), {"image_count_total": 1}),
        ({**image(ImageStatus.ACTIVE), "deleted": {"BOOL": True}}, {}),
        (offer(), {"offer_count_total": 1, "offer_count_per_consumer": 1}),
        (offer(MemberStatus.ACCEPTED), {}),
        (offer(MemberStatus.REJECTED), {}),
        ({"pk": {"S": "PROJECT#producer"}, "sk": {"S": "PROFILE"}}, {}),
        ({**image(), "sk": {"S": "NOTE#consumer"}}, {}),
    ],
)
def test_an_item_uses_quotas_of_its_owner(
    raw: Raw | None, used: dict[str, int]
) -> None:
    """An image's, and a pending membership's; a tombstone uses nothing."""
    to_one = offers_key("producer", "consumer")

    assert {key: count for key, count in usage.used_by(raw).items() if count} == {
        (to_one if name.endswith("per_consumer") else MINE, name): count
        for name, count in used.items()
    }


@pytest.mark.parametrize(
    ("raw", "owner"),
    [
        (None, None),
        (image(), None),
        (image(ImageStatus.UPLOADING), None),
        (image(ImageStatus.ACTIVE), None),
        (image(SAVING), "producer"),
        (image(IMPORTING, owner="heir"), "heir"),
        ({**image(SAVING), "deleted": {"BOOL": True}}, None),
        (offer(), None),
    ],
)
def test_an_upload_is_in_progress_as_its_image_says(
    raw: Raw | None, owner: str | None
) -> None:
    """From its begin to its end."""
    assert usage.in_progress_of(raw) == owner


TOMBSTONE = {**image(SAVING), "deleted": {"BOOL": True}}
UPLOADING_LESS = {MINE: {"image_count_uploading": -1}}


@pytest.mark.parametrize(
    ("old", "new", "deltas"),
    [
        (None, image(), {MINE: {"image_count_total": 1}}),
        (image(), image(name="new"), {}),
        (image(), None, {MINE: {"image_count_total": -1}}),
        (image(), image(SAVING), {}),
        (image(SAVING), image(SAVING, name="new"), {}),
        (image(SAVING), image(), {}),
        (image(SAVING), image(ImageStatus.ACTIVE), {MINE: {"image_size_total": 7}}),
        (
            image(SAVING),
            TOMBSTONE,
            {MINE: {"image_count_total": -1, "image_count_uploading": -1}},
        ),
        (
            image(SAVING),
            None,
            {MINE: {"image_count_total": -1, "image_count_uploading": -1}},
        ),
        (
            image(SAVING),
            image(SAVING, owner="heir"),
            {
                MINE: {"image_count_total": -1, "image_count_uploading": -1},
                OTHERS: {"image_count_total": 1, "image_count_uploading": 1},
            },
        ),
        (TOMBSTONE, None, {}),
        (
            None,
            offer(),
            {
                MINE: {"offer_count_total": 1},
                offers_key("producer", "consumer"): {"offer_count_per_consumer": 1},
            },
        ),
        (
            offer(),
            offer(MemberStatus.ACCEPTED),
            {
                MINE: {"offer_count_total": -1},
                offers_key("producer", "consumer"): {"offer_count_per_consumer": -1},
            },
        ),
    ],
)
def test_a_change_is_what_it_makes_of_usage(
    monkeypatch: pytest.MonkeyPatch,
    old: Raw | None,
    new: Raw | None,
    deltas: usage.Deltas,
) -> None:
    """The begin and the end of an upload are none: its transaction counts those."""
    limit(monkeypatch, **ALL)

    assert usage.deltas_of(old, new) == deltas


def test_only_quotas_that_are_set_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of images and those of offers, each kind where one of it is set."""
    changes = ((None, image()), (None, offer()))
    counted = []
    for name in ("image_size_total", "offer_count_total", "offer_count_per_consumer"):
        limit(monkeypatch, **{name: 0})
        counted.append([bool(usage.deltas_of(*change)) for change in changes])
    limit(monkeypatch)

    assert counted == [[True, False], [False, True], [False, True]]
    assert not any(usage.deltas_of(*change) for change in changes)


M = 2**20


@pytest.mark.parametrize(
    ("limits", "item", "deltas", "passes"),
    [
        ({"image_count_uploading": 2}, {}, {"image_count_uploading": 1}, True),
        *(
            (
                {"image_count_uploading": most},
                {"image_count_uploading": used},
                {"image_count_uploading": delta},
                used + delta <= most,
            )
            for most, used, delta in (
                *((2, 1, 1), (2, 2, 1), (2, 2, 0), (2, 3, 0), (0, 0, 1), (0, 0, 0)),
            )
        ),
        ({"image_count_uploading": 0}, {}, {"image_count_uploading": 1}, False),
        ({"image_count_uploading": 0}, {}, {"image_count_uploading": 0}, True),
        ({"image_size_total": 1}, {"image_size_total": 2 * M - 1}, {}, True),
        ({"image_size_total": 1}, {"image_size_total": 2 * M}, {}, False),
        ({}, {"image_size_total": 2 * M}, {}, True),
        (
            {"image_size_total": 1},
            {"image_size_total": 2 * M},
            {"image_count_uploading": 1},
            False,
        ),
        (
            {"image_size_total": 1, "image_count_uploading": 1},
            {"image_count_uploading": 1},
            {"image_count_uploading": 1},
            False,
        ),
        (
            {"image_size_total": 1, "image_count_uploading": 1},
            {"image_size_total": 2 * M},
            {"image_count_uploading": 1},
            False,
        ),
        (
            {"image_size_total": 1, "image_count_uploading": 1},
            {"image_size_total": 2 * M - 1, "image_count_uploading": 0},
            {"image_count_uploading": 1},
            True,
        ),
        *(
            (
                {"image_count_uploading": general},
                {"image_count_uploading": used, "image_count_uploading_most": own},
                {"image_count_uploading": delta},
                used + delta <= own,
            )
            for general, own, used, delta in (
                *((0, 5, 4, 1), (0, 5, 5, 1), (9, 1, 0, 1), (9, 1, 1, 1)),
                *((9, 1, 1, 0), (9, 1, 2, 0), (1, 3, 3, 0)),
            )
        ),
    ],
)
def test_a_write_compares_the_limits(
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    item: dict[str, int],
    deltas: dict[str, int],
    *,
    passes: bool,
) -> None:
    """The project's own where it has one, else the settings'; -1 compares nothing."""
    limit(monkeypatch, **limits)
    attributes: dict[str, Any] = {**item}
    UsageItem(*MINE, **attributes).save()
    condition = usage.within_limits({"image_size_total": 0, **deltas})

    with nullcontext() if passes else pytest.raises(UpdateError, match="conditional"):
        UsageItem(*MINE).update([UsageItem.drift.set({})], condition)


def test_without_limits_a_write_has_no_condition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit of a project's own needs the setting."""
    limit(monkeypatch)

    assert usage.within_limits({"image_size_total": 0}) is None


def counts(key: tuple[str, str]) -> Mapping[str, Any]:
    """Return what an item of usage has besides its key."""
    raw = get_item(key) or {}
    return {
        name: next(iter(value.values()))
        for name, value in raw.items()
        if name not in {"pk", "sk"}
    }


def test_a_record_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mark lasts two days; a new item of usage is to be recounted first of all."""
    at(monkeypatch, "2030-01-01T00:00:00Z")
    to_one = offers_key("producer", "consumer")
    deltas = {
        MINE: {"image_count_total": 1, "image_size_total": 7},
        to_one: {"offer_count_per_consumer": 1},
    }

    for _ in range(2):
        usage.count_record("100", deltas)

    first = {
        "project_pk": "USAGE",
        "project_sk": touched_sort(datetime(1970, 1, 1, tzinfo=UTC)),
    }
    assert counts(MINE) == {
        "image_count_total": "1",
        "image_size_total": "7",
        **first,
    }
    assert counts(to_one) == {"offer_count_per_consumer": "1"}
    two_days = str(int(clock.now().timestamp()) + 2 * 86_400)
    assert counts(counted_key("100")) == {"expires_at": two_days}
    UsageItem(*MINE).update([UsageItem.project_sk.set("later")])
    usage.count_record("101", {MINE: {"image_count_total": -1}})
    assert counts(MINE) == {
        "image_count_total": "0",
        "image_size_total": "7",
        **first,
        "project_sk": "later",
    }


def test_what_cannot_be_counted_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record comes again."""

    def fail(_: object) -> None:
        raise TransactWriteError("down")

    monkeypatch.setattr(usage, "with_retries", fail)

    with pytest.raises(TransactWriteError, match="down"):
        usage.count_record("100", {MINE: {"image_count_total": 1}})


def test_usage_is_read_with_the_image(
    monkeypatch: pytest.MonkeyPatch, producer: Actor, consumer: Actor
) -> None:
    """In one read, where a quota of the kind is set; else without it."""
    image_id = producer.make_image()
    producer.share(image_id, consumer.project)
    UsageItem(
        *usage_key("consumer"), image_count_total=3, image_count_total_most=4
    ).save()
    UsageItem(*offers_key("consumer", "other"), offer_count_per_consumer=2).save()

    def load(**limits: int) -> tuple[Usage, Usage]:
        limit(monkeypatch, **limits)
        both = []
        for load, more in (
            (usage.load_image_and_usage, ()),
            (usage.load_image_and_offers, ("other",)),
        ):
            with recording() as calls:
                found, used = load(image_id, "consumer", *more)
            assert len(calls) == 1
            assert found.image is not None
            assert found.membership is not None
            assert (found.image_id, found.image.id) == (image_id, image_id)
            assert (found.member_id, found.membership.member_id) == ("consumer",) * 2
            both.append(used)
        return both[0], both[1]

    own = {"image_count_total": 4}
    images = Usage({"image_count_total": 3}, own)
    offers = Usage({"image_count_total": 3, "offer_count_per_consumer": 2}, own)
    assert load() == (Usage(), Usage())
    assert load(image_count_total=9) == (images, Usage())
    assert load(offer_count_per_consumer=9) == (Usage(), offers)
    assert usage.load_usage("consumer") == images
    assert usage.load_usage("producer") == Usage()


def test_usage_is_not_read_for_what_is_no_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is, as no image can have the id."""
    limit(monkeypatch, **ALL)

    with recording() as calls:
        found, _ = usage.load_image_and_usage("6b1f", "consumer")

    assert (found.image, calls) == (None, [])


def test_an_upload_begins_where_none_is_in_progress() -> None:
    """And goes on from one such status to the other."""
    statuses = (ImageStatus.QUEUED, ImageStatus.UPLOADING, SAVING, IMPORTING)
    begun = [
        (before, after)
        for before in statuses
        for after in statuses
        if usage.is_begun(IMAGE._replace(status=before), IMAGE._replace(status=after))
    ]

    assert begun == [
        (before, after) for before in statuses[:2] for after in statuses[2:]
    ]
