"""
Any sequence of calls while indexes lag and processes die, against the model of sharing.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from chalicelib import settings
from chalicelib.store import dynamodb
from tests.actors import Send
from tests.aws_faults import stored, truth
from tests.crashes import Death, dying_at
from tests.lagging import lagging_indexes
from tests.properties.model import ADMIN, Thing
from tests.properties.runs import RUN
from tests.properties.test_sharing import (
    CALLERS,
    CALLS,
    OWNERS,
    PENDING,
    Sharing,
    bounded,
    used_by,
)

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

LAG, BEFORE, AFTER = "lag", "before-call", "after-call"
DISTURBANCES = st.sampled_from((None, LAG, LAG, BEFORE, AFTER))


class Disturbed(Sharing):
    """The same calls: the indexes do not show one yet, or the process dies in it."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self.lag = ExitStack()
        self.lags = False

    def teardown(self) -> None:
        """Let the indexes catch up."""
        self.lag.close()

    @rule(
        data=st.data(),
        call=st.sampled_from(CALLS),
        disturbance=DISTURBANCES,
        number=st.integers(0, 3),
    )
    def make(
        self, data: st.DataObject, call: str, disturbance: str | None, number: int
    ) -> None:
        """Make a call of a kind; its process may die at one of its calls of AWS."""
        self.lag.close()
        self.lags = disturbance == LAG
        if self.lags:
            self.lag.enter_context(lagging_indexes())
        if disturbance in (BEFORE, AFTER):
            self.die_in(data, call, disturbance, number)
        else:
            getattr(self, call)(data)
        if call in ("change", "settle"):
            self.settle()

    def die_in(self, data: st.DataObject, call: str, moment: str, number: int) -> None:
        """Make a call in which the process dies: it was done, or it was not."""
        before = _stored()
        try:
            # One after the other, so that the same call is always the same number.
            with (
                patch.object(dynamodb, "in_parallel", _in_turn),
                dying_at(number, moment),
            ):
                getattr(self, call)(data)
        except Death:
            if call != "settle":
                self.adopt(before, most=2 if call == "delete" else 1)

    def adopt(self, before: dict[str, Any], most: int) -> None:
        """Take what is stored for true, if it is one call away from what was."""
        now = _stored()
        changed = {one for one in {**before, **now} if before.get(one) != now.get(one)}
        assert len(changed) <= most
        for image_id in changed:
            old, new = before.get(image_id), now[image_id]
            assert old is None or new is None or _distance(old, new) <= 1
        self.gone = {image_id for image_id, thing in now.items() if thing is None}
        things = {image_id: thing for image_id, thing in now.items() if thing}
        for image_id, thing in things.items():
            old = self.things.get(image_id, Thing())
            thing.fresh = {
                member: old.fresh.get(member, (thing.owner, self.turn))
                for member in thing.fresh
                if member in old.fresh or member not in old.statuses
            }
        self.model.things = things
        self.model.used = Counter({one: used_by(one) for one in OWNERS})
        rules = {
            (raw["pk"]["S"].removeprefix("PROJECT#"), raw["producer_id"]["S"])
            for raw in stored()
            if raw["sk"]["S"].startswith("RULE#") and "expires_at" not in raw
        }
        since = self.model.rules
        self.model.rules = {rule: since.get(rule, self.turn) for rule in rules}

    @invariant()
    def lists_what_was_accepted(self) -> None:
        """Nothing else is ever listed; while the indexes lag, what is one's own is.

        What others made public, hid or showed may appear a moment later.
        """
        if not self.lags:
            super().lists_what_was_accepted()
            return
        self.turn += 1
        for name in (self.about, CALLERS[self.turn % len(CALLERS)]):
            listed = set(self.actors[name].listed())
            offered = set(self.actors[name].listed(PENDING))
            for image_id, thing in self.things.items():
                status = thing.statuses.get(name)
                is_own = thing.owner == name
                self.check_listed(
                    image_id in listed,
                    thing.is_listed(name),
                    now=is_own or (status == "accepted" and name != ADMIN),
                )
                self.check_listed(
                    image_id in offered,
                    thing.is_offered(name),
                    now=is_own or (status == "pending" and name != ADMIN),
                )
            assert listed | offered <= set(self.things)

    def check_listed(self, is_listed: bool, wanted: bool, *, now: bool) -> None:  # noqa: FBT001 - a pair
        """Compare whether an image is listed with whether it should be."""
        assert wanted or not is_listed
        assert is_listed or not wanted or not now


def _in_turn(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls in their order."""
    return [call() for call in calls]


def _stored() -> dict[str, Thing | None]:
    """Return what is stored as the model has it; None is a tombstone."""
    things: dict[str, Thing | None] = {}
    complete = {
        raw["image_id"]["S"] for raw in stored() if raw.get("state") == {"S": "pending"}
    }
    for raw in truth():
        image_id, item = raw["pk"]["S"].removeprefix("IMAGE#"), raw["sk"]["S"]
        thing = things.get(image_id)
        if item == "IMAGE" and "deleted" in raw:
            things[image_id] = None
        elif item == "IMAGE":
            things[image_id] = Thing(
                raw["owner"]["S"],
                raw["visibility"]["S"],
                raw["os_hidden"]["BOOL"],
                status=raw["status"]["S"],
                is_complete=image_id in complete,
            )
        elif thing and item.startswith("MEMBER#"):
            member = raw["member_id"]["S"]
            thing.statuses[member] = raw["status"]["S"]
            if raw["updated_at"] == raw["created_at"]:
                thing.fresh[member] = ("", 0)
    return things


def _distance(old: Thing, new: Thing) -> int:
    """Return in how many places two states of an image differ."""
    members = {*old.statuses, *new.statuses}
    differ = [
        old.owner != new.owner,
        (old.status, old.is_complete) != (new.status, new.is_complete),
        old.visibility != new.visibility,
        old.os_hidden != new.os_hidden,
        *(old.statuses.get(one) != new.statuses.get(one) for one in members),
    ]
    return sum(differ)


def test_any_sequence_of_disturbed_calls_keeps_the_promises_of_sharing(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is done or not, never in part, and no list shows what it must not."""
    monkeypatch.setattr(settings, "current", bounded())

    @seed(0)
    class Here(Disturbed):
        def __init__(self) -> None:
            super().__init__(send)

    run_state_machine_as_test(
        Here, settings=hypothesis_settings(RUN, stateful_step_count=14)
    )
