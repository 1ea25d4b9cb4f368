"""The keys as the table has them: what is stored is found by them for good."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.images import Visibility
from chalicelib.store import keys
from tests.store.scene import ID, IMAGE, TIME

PLACE = f"2026-11-24T08:00:00.000001Z#{ID}"
PUBLIC = IMAGE._replace(visibility=Visibility.PUBLIC)
LONG = "ä" * 600


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (partial(keys.image_key, ID), (f"IMAGE#{ID}", "IMAGE")),
        (partial(keys.member_key, ID, "c"), (f"IMAGE#{ID}", "MEMBER#c")),
        (partial(keys.note_key, ID, "c"), (f"NOTES#{ID}", "NOTE#c")),
        (partial(keys.profile_key, "c"), ("PROJECT#c", "PROFILE")),
        (partial(keys.offer_rule_key, "c", "p"), ("PROJECT#c", "RULE#p")),
        (partial(keys.answered_key, "p", "c"), ("PROJECT#p", "ANSWERED#c")),
        (partial(keys.upload_key, ID, "9c27"), (f"UPLOAD#{ID}", "9c27")),
        (keys.cursors_key, ("SWEEP", "CURSORS")),
        (partial(keys.claims_key, "c", imports=True), ("PROJECT#c", "IMPORTS")),
        (partial(keys.claims_key, "c", imports=False), ("PROJECT#c", "UPLOADS")),
        (partial(keys.usage_key, "p"), ("PROJECT#p", "USAGE")),
        (partial(keys.offers_key, "p", "c"), ("PROJECT#p", "OFFERS#c")),
        (partial(keys.counted_key, "2100"), ("COUNTED#2100", "COUNTED")),
        (
            partial(keys.recent_key, "c", "PENDING", TIME, ID),
            ("PROJECT#c", f"RECENT#PENDING#{PLACE}"),
        ),
        (partial(keys.owner_partition, "p"), "OWNER#p"),
        (partial(keys.visibility_partition, Visibility.PUBLIC), "VISIBILITY#public"),
        (partial(keys.touched_sort, TIME, "9c27"), "2026-11-24T08:00:00.000001Z#9c27"),
        (partial(keys.touched_sort, TIME), "2026-11-24T08:00:00.000001Z#"),
        (partial(keys.list_position, TIME, ID), PLACE),
        (partial(keys.project_sort, "PENDING", PLACE), f"PENDING#{PLACE}"),
        (partial(keys.own_part, Visibility.SHARED), "SHARED"),
        (partial(keys.own_part, Visibility.PRIVATE), "OWNED"),
        (partial(keys.membership_sort, "c", ID), f"c#{ID}"),
        (partial(keys.membership_sort, LONG, ID), f"{'ä' * 450}#{ID}"),
        (partial(keys.membership_sort, "a" + LONG, ID), f"a{'ä' * 449}#{ID}"),
        (partial(keys.name_partition, PUBLIC), "VISIBILITY#public"),
        (partial(keys.name_partition, IMAGE), None),
        (partial(keys.name_sort, PUBLIC), f"1ubuntu {PLACE}"),
        (partial(keys.name_prefix, None), "0"),
        (partial(keys.name_prefix, ""), "1 "),
        (partial(keys.name_prefix, "a b!\n"), "1a!Bb!C!, "),
        (partial(keys.name_prefix, LONG), f"1{'ä' * 450}\U0010ffff"),
    ],
    ids=lambda one: "" if callable(one) else str(one)[:60],
)
def test_a_key_is_spelt_as_ever(key: Callable[[], Any], expected: Any) -> None:
    """No release spells one differently: what it wrote would not be found again."""
    assert expected == key()


@pytest.mark.parametrize("name", [None, "", "ubuntu", "a b!\n", "!B", "\x00!", "ä !!"])
def test_a_name_is_read_from_its_key_as_it_was_written(name: str | None) -> None:
    """Escaped characters included; the key of a long name does not hold all of it."""
    key = keys.name_prefix(name) + PLACE

    assert name == keys.name_in(key)
    assert keys.is_whole(key)
    assert not keys.is_whole(keys.name_prefix(LONG) + PLACE)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24T00:00:00.000000Z"),
        (TIME.astimezone(timezone(timedelta(hours=5))), "2026-11-24T08:00:00.000001Z"),
    ],
)
def test_a_moment_is_in_utc_with_microseconds(moment: datetime, expected: str) -> None:
    """So that text sorts as time does."""
    assert expected == keys.moment(moment)


def test_a_moment_is_in_utc_wherever_the_service_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a laptop the clock has a zone of its own."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        moment = keys.moment(TIME)
    time.tzset()

    assert moment == "2026-11-24T08:00:00.000001Z"


def test_the_id_of_an_image_is_in_its_partition() -> None:
    """And in that of its members."""
    assert keys.image_id_in(keys.member_key(ID, "c")[0]) == ID
