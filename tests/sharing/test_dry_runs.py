"""Dry runs and repeats of calls of many, on whatever there is."""

import random
from typing import Any
from uuid import uuid4

import pytest

from infra.local.worker import Pump
from tests.actors import Actor, Send
from tests.aws_faults import stored
from tests.configuring import configure

pytestmark = pytest.mark.thorough
PROJECTS = ["producer", "consumer", "dormant", "a", "b", "Ünï"]
ROUNDS = 6


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return chance of a seed."""
    return random.Random(request.param)  # noqa: S311 - the same each time


@pytest.fixture
def images(
    chance: random.Random,
    producer: Actor,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """Make images of one's own, a private one, another's and none; return their ids."""
    configure(monkeypatch, member_quota=chance.choice([2, 3, 128]))
    private = producer.make_image()
    producer.share(private, "dormant")
    operation = {"op": "replace", "path": "/visibility", "value": "private"}
    producer.patch(f"/v2/images/{private}", [operation])
    own = [producer.make_image() for _ in range(3)]
    return [*own, private, Actor(send, "other").make_image(), str(uuid4())]


def shares(chance: random.Random, images: list[str]) -> dict[str, Any]:
    """Return the body of a bulk call."""
    body: dict[str, Any] = {
        "action": chance.choice(["share", "share", "revoke"]),
        "images": chance.sample(images, chance.randint(1, 4)),
        "projects": chance.sample(PROJECTS, chance.randint(1, 5)),
    }
    if chance.random() < 0.5:
        body["note"] = chance.choice(["hello", "hi", "", None])
    if chance.random() < 0.3:
        body["known_only"] = True
    return body


def answers(chance: random.Random, images: list[str]) -> dict[str, Any]:
    """Return the body of a call of answers."""
    choices: list[dict[str, Any]] = [
        *({"status": one} for one in ("accepted", "rejected", "pending")),
        {"leave": True},
    ]
    some = chance.sample(images, 3)
    return {"answers": [{"image_id": one, **chance.choice(choices)} for one in some]}


@pytest.mark.parametrize("chance", range(4), indirect=True)
def test_a_dry_run_has_the_results_of_the_run(
    chance: random.Random,
    images: list[str],
    producer: Actor,
    consumer: Actor,
    pump: Pump,
) -> None:
    """It changes nothing, nor does the same call again: by either side."""
    for _ in range(ROUNDS):
        for actor, path, body in (
            (producer, "/ext/v1/outgoing", shares(chance, images)),
            (consumer, "/ext/v1/incoming", answers(chance, images)),
        ):
            before = stored()
            dry = actor.post(path, body | {"dry_run": True})
            assert stored() == before
            done = actor.post(path, body)
            assert (done.status, done.document) == (200, dry.document)
            after = stored()
            again = actor.post(path, body).document["results"]
            assert stored() == after
            assert {one["result"] for one in again} <= {"unchanged", "refused"}
        pump.drain()
