"""A process that dies at a call of AWS, before it is made or after it was done."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from chalicelib.aws import client
from chalicelib.store import dynamodb, objects


class Death(BaseException):
    """The process is no more."""


@contextmanager
def dying_at(number: int, moment: str) -> Iterator[None]:
    """
    Die before a call of AWS is made, or after it was done; the first has number 0.
    """
    turns = count()

    def die(**_: Any) -> None:
        if next(turns) == number:
            raise Death

    clients = (
        dynamodb.connection.connection.client,
        objects._client(),  # noqa: SLF001 - for tests alone
        client("sqs"),
    )
    for one in clients:
        one.meta.events.register_first(f"{moment}.*.*", die)
    try:
        yield
    finally:
        for one in clients:
            one.meta.events.unregister(f"{moment}.*.*", die)
