"""`python -m tests.bench.hot_keys`: what happens where one partition is hot.

No emulator throttles. Here moto does what DynamoDB publishes of a partition, 1,000
write units and 3,000 read units a second, with all figures divided by a scale that this
machine keeps up with; retries and the requests' own time are not scaled. Nothing is
asserted.
"""

import json
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from threading import Lock
from typing import Any

from infra.local import backend
from tests.bench.responder import ENVIRONMENT

SCALE, LISTS_SCALE = 100, 300
"""What figures are divided by; lists take more of this machine than writes."""

WRITES, READS = 1000 / SCALE, 3000 / LISTS_SCALE
"""The units that a partition takes in a second."""

CLIENTS = 100
"""The requests that are under way at once."""

Request = Callable[[], Any]


class _Partition:
    """What a partition may still take: the units of one second at most."""

    def __init__(self, units_a_second: float) -> None:
        self._limit = self._left = units_a_second
        self._since = time.monotonic()
        self._lock = Lock()
        self.refused = 0

    def takes(self, units: float) -> bool:
        """Return whether it takes a call; an empty one refuses."""
        with self._lock:
            now = time.monotonic()
            self._left += (now - self._since) * self._limit
            self._left, self._since = min(self._left, self._limit), now
            if self._left < units:
                self.refused += 1
                return False
            self._left -= units
            return True


def _refusal(operation: str, body: bytes) -> bytes:
    """Return how DynamoDB refuses a call for a partition's throughput."""
    kind = "ProvisionedThroughputExceededException"
    document: dict[str, Any] = {"message": "The partition is hot."}
    if operation == "TransactWriteItems":
        kind = "TransactionCanceledException"
        others = len(json.loads(body)["TransactItems"]) - 1
        codes = ["ProvisionedThroughputExceeded", *["None"] * others]
        document["CancellationReasons"] = [{"Code": code} for code in codes]
        document["message"] = f"Transaction cancelled: [{', '.join(codes)}]"
    document["__type"] = f"com.amazonaws.dynamodb.v20120810#{kind}"
    return json.dumps(document).encode()


@contextmanager
def _throttling(
    partition: _Partition, units: Callable[[str, str], float]
) -> Iterator[None]:
    """Refuse what the partition does not take; *units* are those of a call on it."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - after moto started
    from moto.core.botocore_stubber import MockRawResponse  # noqa: PLC0415 - as above

    from chalicelib.store import dynamodb  # noqa: PLC0415 - as above

    def refuse(request: Any, **_: Any) -> Any:
        target = request.headers["X-Amz-Target"]
        target = target.decode() if isinstance(target, bytes) else target
        operation = target.partition(".")[2]
        if partition.takes(units(operation, request.body.decode())):
            return None
        return AWSResponse(
            request.url, 400, {}, MockRawResponse(_refusal(operation, request.body))
        )

    events = dynamodb.connection.connection.client.meta.events
    events.register_first("before-send.dynamodb", refuse)
    try:
        yield
    finally:
        events.unregister("before-send.dynamodb", refuse)


def _run(requests: list[Request], a_second: float | None = None) -> Iterator[Any]:
    """Make requests, all at once or so many a second; yield seconds and response."""
    start = time.monotonic()

    def make(number: int, request: Request) -> Any:
        if a_second is not None:
            time.sleep(max(0, start + number / a_second - time.monotonic()))
        begun = time.monotonic()
        response = request()
        return time.monotonic() - begun, response

    with ThreadPoolExecutor(CLIENTS) as clients:
        yield from clients.map(make, range(len(requests)), requests)


def _written(*parts: str) -> Callable[[str, str], float]:
    """Return what counts a unit for each of these texts in a write.

    Two where the write is part of a transaction.
    """
    pattern = re.compile("|".join(map(re.escape, parts)))

    def units(operation: str, body: str) -> float:
        if operation not in ("PutItem", "UpdateItem", "TransactWriteItems"):
            return 0
        each = 2 if operation == "TransactWriteItems" else 1
        return each * len(pattern.findall(body))

    return units


def _scenarios(service: Any) -> Iterator[tuple[str, Any, Any, Any, Any]]:
    """Yield each: what happens, its partition, its units, its requests, how fast."""
    from chalicelib.store import keys  # noqa: PLC0415 - after moto started
    from tests.actors import Actor, in_process  # noqa: PLC0415 - as above

    send = in_process(service.app)
    producer = Actor(send, "producer")

    image_id = producer.make_image(name="ubuntu")
    members = [Actor(send, f"member-{n}") for n in range(5000 // SCALE)]
    producer.share(image_id, *(member.project for member in members))
    path = f"/v2/images/{image_id}/members"
    yield (
        "5,000 members of one image answer at once",
        WRITES,
        _written(keys.image_key(image_id)[0]),
        [
            lambda member=member: member.put(
                f"{path}/{member.project}", {"status": "accepted"}
            )
            for member in members
        ],
        None,
    )
    owners = [Actor(send, f"owner-{n}") for n in range(10_000 // SCALE)]
    images = [owner.make_image(name="ubuntu") for owner in owners]
    yield (
        "10,000 owners offer an image each to one consumer at once",
        WRITES,
        _written("MEMBER#consumer"),
        [
            lambda owner=owner, image=image: owner.post(
                f"/v2/images/{image}/members", {"member": "consumer"}
            )
            for owner, image in zip(owners, images, strict=True)
        ],
        None,
    )
    yield (
        "one project creates 1,500 images a second for 10 seconds",
        WRITES,
        lambda operation, _: operation == "PutItem" and 0.5,
        list(
            repeat(
                lambda: producer.post("/v2/images", {"name": "ubuntu"}),
                15_000 // SCALE,
            )
        ),
        1500 / SCALE,
    )
    for number in range(25):
        producer.using("admin").make_image(name=f"p{number}", visibility="public")
    yield (
        "4,500 lists of the public images a second for 10 seconds",
        READS,
        lambda operation, body: operation == "Query" and "by-visibility" in body,
        list(
            repeat(
                lambda: Actor(send, "anybody").get("/v2/images?visibility=public"),
                45_000 // LISTS_SCALE,
            )
        ),
        4500 / LISTS_SCALE,
    )


def main() -> None:
    """Print what each came to."""
    os.environ.update(ENVIRONMENT)
    backend.start()
    import app as service  # noqa: PLC0415 - after moto is in the place of AWS
    from chalicelib.store import dynamodb  # noqa: PLC0415 - as above
    from infra.local.server import per_thread  # noqa: PLC0415 - as above

    logging.disable()
    per_thread(service.app)
    backend.create_table(
        dynamodb.connection.connection.client, dynamodb.connection.table_name
    )
    for title, limit, units, requests, a_second in _scenarios(service):
        partition = _Partition(limit)
        start = time.monotonic()
        with _throttling(partition, units):
            responses = list(_run(requests, a_second))
        took = time.monotonic() - start
        statuses = Counter(response.status for _, response in responses)
        slowest = max(seconds for seconds, _ in responses)
        sys.stdout.write(
            f"| {title} | {dict(statuses)} | {partition.refused} | {took:.1f} |"
            f" {slowest:.1f} |\n"
        )


if __name__ == "__main__":
    main()
