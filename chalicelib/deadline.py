"""The deadline of a request: what is left of its time is what its next call gets.

The functions beside the API's have none: Lambda tells them when to end.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar, cast

REQUEST_SECONDS = 20.0
"""Time that a request has for all its calls, in seconds.

Lambda and API Gateway end it after 29 s; a cold start takes some of them, and the last
backoff and the connection of the last call may exceed the deadline.
"""

_ends: ContextVar[float] = ContextVar("ends", default=math.inf)
_T = TypeVar("_T")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let what is done in the context end after some seconds."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def seconds_left() -> float:
    """Return how many seconds are left, or infinity where nothing ends."""
    return _ends.get() - time.monotonic()


def keeping(call: Callable[[], _T]) -> Callable[[], _T]:
    """Return a call for another thread, with the deadline of this one."""
    ends = _ends.get()

    def run() -> _T:
        token = _ends.set(ends)
        try:
            return call()
        finally:
            _ends.reset(token)

    return run


def call_within(seconds: float, call: Callable[[], _T]) -> _T:
    """Make a call in a thread, and wait for it some seconds at most.

    A timeout of a socket bounds neither the look-up of a name nor all of a response
    that drips. A thread that is late is left to itself.

    Raises:
        TimeoutError: The call did not return in time.
        Exception: The call raised it.
    """
    if seconds == math.inf:
        return call()
    results: SimpleQueue[tuple[_T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except Exception as error:  # noqa: BLE001 - raised in the waiting thread
            results.put((None, error))

    Thread(target=keeping(run), daemon=True).start()
    try:
        value, error = results.get(timeout=max(seconds, 0))
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast("_T", value)
