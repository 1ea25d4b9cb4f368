"""What happens between which calls.

Actors take turns, one call of DynamoDB at a time, in a random or each order; or
something is done just before a call of a function.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Semaphore, Thread, current_thread
from typing import Any, Protocol
from unittest.mock import patch

import pytest

from chalicelib.store import dynamodb


class Chance(Protocol):
    """What chooses whose turn it is: `random.Random`, or `EachOrder`."""

    def choice(self, seq: list[str], /) -> str:
        """Return one of some names."""


@dataclass
class EachOrder:
    """Chooses in each possible order, one order after another, depth first.

    `path` has the choices of the present order: which one, and of how many.
    """

    path: list[tuple[int, int]] = field(default_factory=list)
    step: int = 0

    def choice(self, seq: list[str], /) -> str:
        """Return the next choice of the present order."""
        if self.step == len(self.path):
            self.path.append((0, len(seq)))
        chosen, _ = self.path[self.step]
        self.step += 1
        return seq[chosen]

    def __iter__(self) -> "Iterator[EachOrder]":
        """Yield this for each order; an order must have been played in between."""
        while True:
            self.step = 0
            yield self
            while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
                self.path.pop()
            if not self.path:
                return
            chosen, many = self.path.pop()
            self.path.append((chosen + 1, many))


@dataclass
class Stage:
    """Runs actors, each in a thread of its own, one call of DynamoDB at a time."""

    chance: Chance
    turns: dict[str, Semaphore] = field(default_factory=dict)
    resting: Semaphore = field(default_factory=lambda: Semaphore(0))
    done: set[str] = field(default_factory=set)
    errors: list[BaseException] = field(default_factory=list)

    def wait(self, **_: Any) -> None:
        """Let another actor go on, until it is this one's turn again."""
        turn = self.turns.get(current_thread().name)
        if turn:
            self.resting.release()
            turn.acquire()

    def play(self, actors: dict[str, Callable[[], None]], after: Any) -> None:
        """Run all actors to their ends, and call *after* between their steps.

        A step ends where the next call begins: what comes before the first is none.
        """
        for name, act in actors.items():
            self.turns[name] = Semaphore(0)
            Thread(target=self._run, args=[name, act], name=name, daemon=True).start()
            self.resting.acquire()
        while left := sorted(self.turns.keys() - self.done):
            self.turns[self.chance.choice(left)].release()
            self.resting.acquire()
            after()
        if self.errors:
            raise self.errors[0]

    def _run(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised by `play`
            self.errors.append(error)
        self.done.add(name)
        self.resting.release()


@contextmanager
def stepping(stage: Stage) -> Iterator[None]:
    """Make each call of DynamoDB a step of the actor that makes it."""
    events = dynamodb.connection.connection.client.meta.events
    events.register("before-call.dynamodb.*", stage.wait)
    try:
        with patch.object(dynamodb, "in_parallel", lambda *calls: [c() for c in calls]):
            yield
    finally:
        events.unregister("before-call.dynamodb.*", stage.wait)


def act_before(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    act: Callable[[], object],
    turn: int = 0,
) -> None:
    """Do something just before one of the calls of a function, the first being 0."""
    call, turns = getattr(owner, name), count()

    def call_late(*arguments: Any) -> Any:
        if next(turns) == turn:
            act()
        return call(*arguments)

    monkeypatch.setattr(owner, name, call_late)
