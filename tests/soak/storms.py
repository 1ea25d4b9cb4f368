"""Storms: 32 requests at once, of two writes that conflict.

What they answered and what they left must be what some order of them would have: the
same writes are made one after the other first, from each state that they can reach.
"""

from collections import Counter
from functools import partial
from itertools import combinations_with_replacement
from random import Random
from typing import Final

from tests.actors import Response
from tests.aws_faults import at_once
from tests.soak.scenes import PARTS, STEPS, WRITES, Scene, make_scene
from tests.soak.stand import Stand
from tests.soak.tables import check_bucket, check_settled, check_sound

AT_ONCE: Final = 32

Label = tuple[str, int, str]
"""A write, and what it answered: its status, and the results of a call for many."""


def _pairs() -> list[tuple[str, str, str]]:
    pairs = [
        (kind, first, second)
        for kind, writes in WRITES.items()
        for first, second in combinations_with_replacement(writes, 2)
    ]
    Random(0).shuffle(pairs)  # noqa: S311 - an order, not a secret
    return pairs


PAIRS: Final = _pairs()
"""Every pair of conflicting writes, in an order that is always the same."""


class Orders:
    """What each write does in each state, found out once, one write after the other."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._starts: dict[str, str] = {}
        self._paths: dict[tuple[str, str], tuple[str, ...]] = {}
        self._steps: dict[tuple[str, str, str], tuple[Label, str]] = {}

    def start(self, kind: str) -> str:
        """Return the state in which a scene begins."""
        if kind not in self._starts:
            state = make_scene(kind, self._stand).state()
            self._starts[kind] = state
            self._paths[kind, state] = ()
        return self._starts[kind]

    def step(self, kind: str, state: str, write: str) -> tuple[Label, str]:
        """Return what a write answers in a state, and the state that it leaves."""
        key = (kind, state, write)
        if key not in self._steps:
            scene, path = make_scene(kind, self._stand), self._paths[kind, state]
            for name in path:
                STEPS[kind][name](scene)
            assert scene.state() == state, (path, scene.state(), state)
            label = label_of(write, STEPS[kind][write](scene))
            assert label, (path, write)
            after = scene.state()
            self._paths.setdefault((kind, after), (*path, write))
            self._steps[key] = label, after
        return self._steps[key]

    def reached(self, kind: str, writes: set[str]) -> set[str]:
        """Return each state that some writes can reach, in any order and number."""
        found, new = set[str](), {self.start(kind)}
        while new:
            found |= new
            after = {self.step(kind, one, write)[1] for one in new for write in writes}
            new = after - found
        return found

    def explain(self, kind: str, answers: Counter[Label], final: str) -> bool:
        """Return whether some order of the writes answers and leaves this."""
        labels = list(answers)
        waiting = [(self.start(kind), tuple(answers[one] for one in labels))]
        seen = set(waiting)
        while waiting:
            state, left = waiting.pop()
            if not any(left):
                if state == final:
                    return True
                continue
            for write in {name for name, *_ in labels}:
                label, after = self.step(kind, state, write)
                if label not in answers:
                    continue
                number = labels.index(label)
                if not left[number]:
                    continue
                fewer = (*left[:number], left[number] - 1, *left[number + 1 :])
                if (after, fewer) not in seen:
                    seen.add((after, fewer))
                    waiting.append((after, fewer))
        return False


def label_of(write: str, response: Response) -> Label | None:
    """Return what a write answered; none if others kept it from doing anything."""
    document = response.document
    if not isinstance(document, dict):
        return write, response.status, ""
    words = str(document.get("message", document.get("detail")))
    if response.status in (409, 503) and words.endswith("retry."):
        return None
    # Of equal answers at once, each is written, and each is told that it changed it.
    results = [
        one.get("reason", one["result"].replace("unchanged", "changed"))
        for one in document.get("results", [])
    ]
    if "conflict" in results:
        return None
    return write, response.status, str(results or "")


def storm(stand: Stand, orders: Orders, number: int) -> str:
    """Let a storm loose, the pair by its number; return which pair that was.

    Raises:
        AssertionError: What it answered or left is not what it may.
    """
    kind, first, second = PAIRS[number % len(PAIRS)]
    pair = f"{kind}: {first} + {second}"
    stand.clear()
    scene = make_scene(kind, stand)
    start = scene.state()
    names = [first] * (AT_ONCE // 2) + [second] * (AT_ONCE // 2)
    Random(number).shuffle(names)  # noqa: S311 - as above
    responses = at_once(*[partial(WRITES[kind][name], scene) for name in names])
    items, final = stand.items(), scene.state()

    assert {one.status for one in responses} <= EXPECTED, (pair, responses)
    check_sound(items)
    _check_settled(stand, scene, responses)

    stand.clear()
    assert orders.start(kind) == start, pair
    parts = {part for name in (first, second) for part in PARTS.get(name, ())}
    if parts:
        assert final in orders.reached(kind, {first, second, *parts}), (pair, final)
        return pair
    labels = [label_of(*one) for one in zip(names, responses, strict=True)]
    answers = Counter(filter(None, labels))
    assert orders.explain(kind, answers, final), (pair, answers, final)
    return pair


EXPECTED: Final = {200, 201, 202, 204, 400, 403, 404, 409, 413, 503}


def _check_settled(stand: Stand, scene: Scene, responses: list[Response]) -> None:
    """Have all that follows from a storm be done; then nothing may be left over."""

    def check() -> None:
        items = stand.items()
        check_settled(items)
        # What a request leaves that failed halfway is the sweep's.
        if all(one.status != 503 for one in responses):
            check_bucket(items, scene.image_id, scene.other_id)

    stand.settle(check)
