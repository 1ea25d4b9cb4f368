"""Faults: each call of AWS that a request makes fails, one after the other.

The request ends as if nothing had been, or with 503; then it was done, or it was not.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from random import Random
from threading import local
from typing import Any, Final
from unittest.mock import patch

from botocore.exceptions import ReadTimeoutError

from chalicelib import aws_answers
from chalicelib.aws import client
from chalicelib.store import dynamodb, objects
from tests.actors import Response
from tests.aws_faults import CANCELLED, CONFLICTS, THROUGHPUT_EXCEEDED, Refusal
from tests.soak.scenes import PARTS, READS, WRITES, Act, Scene, make_scene
from tests.soak.stand import Stand
from tests.soak.storms import Orders
from tests.soak.tables import check_sound, without_ids

_HTTP_STATUS: Final = {
    "InternalServerError": 500,
    "InternalError": 500,
    "SlowDown": 503,
}


def _refuse(in_table: Refusal, elsewhere: str, model: Any) -> Any:
    if "dynamodb" in model.metadata["endpointPrefix"]:
        http, parsed = in_table.response
        http = type(http)(_HTTP_STATUS.get(in_table.code, http.status_code))
        return http, parsed
    http, parsed = Refusal(elsewhere).response
    http = type(http)(_HTTP_STATUS.get(elsewhere, http.status_code))
    return http, parsed


class Fault:
    """What becomes of a request's calls of AWS: the first has number 0.

    It is one that fails, or, where the fault lasts, every one from then on.
    """

    name = ""
    lasts = False

    def __init__(self, number: int) -> None:
        self._number = number
        self._turns = count()
        self._here = local()
        self.was_there = False

    def before_call(self, model: Any, **_: Any) -> Any:
        """Note whether this call is to fail; botocore repeats none that fails here."""
        turn = next(self._turns)
        fails = turn >= self._number if self.lasts else turn == self._number
        self._here.fails = fails
        self.was_there |= fails
        return self.refusal(model) if fails else None

    def refusal(self, _model: Any) -> Any:
        """Return what the call is answered instead of being made, if it is."""
        return None

    def before_send(self, **_: Any) -> None:
        """Have the call time out, if it does."""

    def needs_retry(self, **_: Any) -> int | None:
        """Have botocore repeat the call, if it lost the response."""
        return None

    def after_call(self, **_: Any) -> None:
        """Lose the response for good, if it is lost."""

    def takes(self) -> bool:
        """Return whether the call fails now; once, if the fault does not last."""
        fails = getattr(self._here, "fails", False)
        if not self.lasts:
            self._here.fails = False
        return fails


class Throttled(Fault):
    """AWS refuses the call for too many."""

    name = "throttling"

    def refusal(self, model: Any) -> Any:
        """Refuse a transaction for one of its items, any other call as a whole."""
        refusal = Refusal(THROUGHPUT_EXCEEDED)
        if model.name == "TransactWriteItems":
            refusal = Refusal(CANCELLED, ("None", "ThrottlingError"))
        return _refuse(refusal, "SlowDown", model)


class InConflict(Fault):
    """Another transaction holds the item."""

    name = "a conflict"

    def refusal(self, model: Any) -> Any:
        """Refuse what is refused then."""
        refusal = CONFLICTS.get(model.name)
        return _refuse(refusal, "SlowDown", model) if refusal else None


class Broken(Fault):
    """AWS answers 500."""

    name = "500"

    def refusal(self, model: Any) -> Any:
        """Refuse the call."""
        return _refuse(Refusal("InternalServerError"), "InternalError", model)


class TimingOut(Fault):
    """A call does not reach AWS."""

    name = "a time-out"

    def before_send(self, **_: Any) -> None:
        """Raise what botocore's session raises."""
        if self.takes():
            raise ReadTimeoutError(endpoint_url="aws")


class Unreachable(TimingOut):
    """No further call reaches AWS."""

    name = "silence"
    lasts = True


class Lost(Fault):
    """AWS did what it was asked, and botocore, without a response, asks again."""

    name = "a lost answer"

    def needs_retry(self, **_: Any) -> int | None:
        """Have it ask again at once."""
        return 0 if self.takes() else None


class LostForGood(Fault):
    """AWS did what it was asked, and no response ever comes."""

    name = "an answer lost for good"

    def after_call(self, **_: Any) -> None:
        """Raise what botocore's session raises."""
        if self.takes():
            raise ReadTimeoutError(endpoint_url="aws")


FAULTS: Final[tuple[type[Fault], ...]] = (
    *(Throttled, InConflict, Broken, TimingOut, Unreachable, Lost, LostForGood),
)


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Let calls of DynamoDB, S3 and SQS fail while the context lasts."""
    clients = (
        dynamodb.connection.connection.client,
        objects._client(),  # noqa: SLF001 - for tests alone
        client("sqs"),
    )
    hooks: dict[str, Callable[..., Any]] = {
        "before-call": fault.before_call,
        "before-send": fault.before_send,
        "needs-retry": fault.needs_retry,
        "after-call": fault.after_call,
    }
    with ExitStack() as stack:
        # Else the first attempt of a call of DynamoDB is not botocore's, and its events
        # tell of none that succeeds.
        stack.enter_context(patch.object(aws_answers, "OPERATIONS", frozenset()))
        for one in clients:
            service = one.meta.service_model.service_id.hyphenize()
            for moment, hook in hooks.items():
                event = f"{moment}.{service}.*"
                one.meta.events.register_first(event, hook)
                stack.callback(one.meta.events.unregister, event, hook)
        yield


def _cases() -> list[tuple[str, str, Act, type[Fault]]]:
    acts = [
        *(
            (kind, name, act)
            for kind, some in WRITES.items()
            for name, act in some.items()
        ),
        *(("shared", name, act) for name, act in READS.items()),
    ]
    cases = [(*act, fault) for fault in FAULTS for act in acts]
    Random(0).shuffle(cases)  # noqa: S311 - an order, not a secret
    return cases


CASES: Final = _cases()
"""Every request and every fault, in an order that is always the same."""


def fail_each_call(stand: Stand, orders: Orders, number: int) -> tuple[str, int]:
    """Make a request again and again, until each of its calls has failed.

    The case is by its number; return which one that was, and how many calls failed.

    Raises:
        AssertionError: A request answered or left what it may not.
    """
    kind, name, act, fault_kind = CASES[number % len(CASES)]
    case = f"{kind}: {name}, {fault_kind.name}"
    before, (wanted, after) = orders.start(kind), _outcome(act, make_scene(kind, stand))
    halfway = {before, after}
    parts = PARTS.get(name)
    if parts:
        halfway |= orders.reached(kind, {name, *parts})
    for failed in count():
        fault = fault_kind(failed)
        scene = make_scene(kind, stand)
        with failing(fault):
            response = act(scene)
        if not fault.was_there:
            return case, failed
        told = (case, failed, response.status, response.body[:300])
        check_sound(stand.items_of(f"IMAGE#{scene.image_id}"))
        state = scene.state()
        if response.status == 503:
            check_unavailable(response)
            assert state in halfway, (told, state)
        elif _told(response, scene) != wanted or state != after:
            # A call for many tells of each that was in conflict, or not in time.
            assert parts, (told, wanted, state, after)
            assert response.status == 200, told
            assert state in halfway, (told, state)
    raise AssertionError(case)


def check_unavailable(response: Response) -> None:
    """Check that a response asks the client to retry.

    Raises:
        AssertionError: It does not.
    """
    document = response.document
    assert response.headers["retry-after"] == "1", response
    assert document.get("message", document.get("detail", "")).endswith("retry."), (
        document
    )


def _outcome(act: Act, scene: Scene) -> tuple[str, str]:
    return _told(act(scene), scene), scene.state()


def _told(response: Response, scene: Scene) -> str:
    text = json.dumps([response.status, response.document], indent=1)
    signed = partial(without_ids, names=scene.names)
    # A signed URL is another each time.
    return "\n".join(signed(line) for line in text.splitlines() if '"url"' not in line)
