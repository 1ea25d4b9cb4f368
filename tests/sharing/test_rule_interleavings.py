"""A rule and what both sides do with its offer, in each order of calls of DynamoDB."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

import app as service
from chalicelib.background import stream
from chalicelib.background.stream import RULE_USER, Record
from chalicelib.store import dynamodb
from chalicelib.store.keys import member_key
from infra.local.server import per_thread
from tests.actors import Actor, Response, Send, in_process
from tests.aws_faults import stored
from tests.interleaving import EachOrder, Stage, stepping

RULE, AGAIN = "the rule", "the rule, delivered again"
THOROUGH = pytest.mark.thorough
Membership = tuple[str, str, str] | None
"""An offer's time, its status, and who made it so; none where there is none."""


class Orders(Stage):
    """A stage on which recent changes are no steps: they are hints, and never truth."""

    def wait(self, params: Any = None, **_: Any) -> None:
        """Let another actor go on, before a call that counts."""
        if params is None or b"RECENT#" not in params["body"]:
            super().wait()


@dataclass
class Scene:
    """An offer that has just arrived, and who may act on it."""

    producer: Actor
    consumer: Actor
    image_id: str
    record: Record

    def act(self, words: str) -> None:
        """Do one thing after another, or have the rule act."""
        if words in (RULE, AGAIN):
            stream.accept_by_rule(self.record)
            return
        for one in words.split(", "):
            response = self._ask(one)
            assert response is None or response.status in (200, 201, 204, 404)

    def _ask(self, what: str) -> Response | None:
        incoming = f"/ext/v1/incoming/{self.image_id}"
        outgoing = f"/ext/v1/outgoing/{self.image_id}/consumer"
        if what == "leave":
            return self.consumer.delete(incoming)
        if what == "revoke":
            return self.producer.delete(outgoing)
        if what == "share":
            return self.producer.put(outgoing)
        if what == "mute":
            return self.consumer.put("/ext/v1/rules/producer", {"effect": "mute"})
        if what.startswith("members: "):
            self.consumer.set_status(self.image_id, what.split()[1])
            return None
        return self.consumer.put(incoming, {"status": what})

    def membership(self) -> Membership:
        """Return the membership as it is now."""
        raw = dynamodb.get_item(member_key(self.image_id, "consumer"))
        if raw is None:
            return None
        changed = json.loads(raw["changed"]["S"])
        who = f"{changed['project_id']} {changed['user_id']}"
        return raw["created_at"]["S"], raw["status"]["S"], who


@pytest.fixture
def send() -> Send:
    """Call the Lambda handler in this process, from any thread."""
    per_thread(service.app)
    return in_process(service.app)


@pytest.fixture
def scene(producer: Actor, consumer: Actor, image_id: str) -> Scene:
    """Offer an image to a consumer whose rule accepts it, before the rule acts."""
    consumer.put("/ext/v1/rules/producer", {"effect": "accept"})
    producer.share(image_id, "consumer")
    (item,) = (one for one in stored() if one["sk"]["S"] == "MEMBER#consumer")
    return Scene(producer, consumer, image_id, Record(None, item, "1"))


def played(scene: Scene, acts: list[str]) -> Iterator[list[Membership]]:
    """Play acts in each order of their calls, on the same table.

    Yield, for each order, each state of the membership in turn.
    """
    (table,) = (
        backend.tables[dynamodb.connection.table_name]
        for backends in dynamodb_backends.values()
        for backend in backends.values()
        if dynamodb.connection.table_name in backend.tables
    )
    before = deepcopy(table.items)

    def note() -> None:
        state = scene.membership()
        if state != history[-1]:
            history.append(state)

    actors: dict[str, Callable[[], None]] = {
        one: partial(scene.act, one) for one in acts
    }
    offer = scene.membership()
    for chance in EachOrder():
        table.items = deepcopy(before)
        history = [offer]
        stage = Orders(chance)
        with stepping(stage):
            stage.play(actors, note)
        yield history


@pytest.mark.parametrize(
    ("acts", "ends", "orders"),
    [
        (["accepted", RULE], {"accepted"}, 10),
        (["rejected", RULE], {"rejected"}, 10),
        (["members: rejected", RULE], {"rejected"}, 10),
        (["pending", RULE], {"accepted", "pending"}, 4),
        (["rejected, pending", RULE], {"pending"}, 35),
        (["leave", RULE], {None}, 10),
        (["revoke, share", RULE], {"pending"}, 56),
        (["mute", RULE], {"accepted", "pending"}, 10),
        ([RULE, AGAIN], {"accepted"}, 20),
        pytest.param(["leave", "share", RULE], {None, "pending"}, 231, marks=THOROUGH),
    ],
)
def test_a_rule_acts_on_nothing_but_the_untouched_offer(
    acts: list[str], ends: set[str | None], orders: int, scene: Scene
) -> None:
    """Once, and never on an answer or another offer, in any order of the calls."""
    seen: Counter[str | None] = Counter()
    for history in played(scene, acts):
        offer, last = history[0], history[-1]
        assert offer
        by_rule = (offer[0], "accepted", f"consumer {RULE_USER}")
        for before, after in pairwise(history):
            if after and after[2] == by_rule[2]:
                assert (before, after) == (offer, by_rule)
        seen[last[1] if last else None] += 1

    assert set(seen) == ends
    assert seen.total() == orders
