"""`python -m tests.bench.growth [IMAGES ...]`: requests while the table grows.

DynamoDB Local holds a table of each size. A process for each of them handles events of
API Gateway; the sizes take turns. Of four images one is public, one shared with the
consumer, who accepted it, one private, and one another project's. The consumer's list
grows as the table does, and so does the producer's. Printed is how many times as much a
request takes at the last size as at the first: of the processor, by the clock, in read
units; then the milliseconds at each size, medians. A drawing goes to docs/. Nothing is
asserted.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from infra.local import dynamodb_local
from infra.local.gateway import event
from tests.bench import chart
from tests.bench.record import PROPERTIES
from tests.bench.responder import ENVIRONMENT

SIZES: Final = (1_000, 10_000, 100_000)
DRAWING: Final = Path("docs/performance-growth.svg")
ROUNDS: Final = 20
IN_ROUND: Final = 5
MEMBERS: Final = 100
_BASE: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Taken(NamedTuple):
    """What a request took: milliseconds, and read units."""

    processor: float
    clock: float
    units: float


def _image_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


SHARED: Final = f"/v2/images/{_image_id(1)}"
REQUESTS: Final = {
    "show image": ("consumer", SHARED),
    "list of 25": ("consumer", "/v2/images"),
    "public images": ("newcomer", "/v2/images?visibility=public"),
    "images of a name": ("newcomer", "/v2/images?name=image-4"),
    "images by name": ("newcomer", "/v2/images?sort=name:asc"),
    "images of an owner": ("producer", "/v2/images?owner=producer"),
    "accepted images": ("consumer", "/v2/images?visibility=shared"),
    "members of 100": ("producer", f"{SHARED}/members"),
}
"""Who sends each request, and its target."""


def _start(environment: dict[str, str], table: str) -> None:
    """Let this process serve a table of its own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment, TABLE_NAME=table)


def fill(count: int) -> None:
    """Create the table of this process, with so many images."""
    from chalicelib.domain.caller import Caller, Role  # noqa: PLC0415 - environment set
    from chalicelib.store import dynamodb  # noqa: PLC0415 - as above
    from chalicelib.store.items import Item  # noqa: PLC0415 - as above
    from infra.local import backend  # noqa: PLC0415 - as above

    client = dynamodb.connection.connection.client
    backend.create_table(client, dynamodb.connection.table_name)
    changed = dynamodb.change_by(Caller("producer", "someone", Role.MEMBER, "x" * 40))
    with Item.batch_write() as batch:
        for item in _items(count):
            item.changed = changed
            batch.save(item)


def _items(count: int) -> Iterator[Any]:
    from chalicelib.domain.images import Image, Visibility  # noqa: PLC0415 - as above
    from chalicelib.domain.members import Member, MemberStatus  # noqa: PLC0415
    from chalicelib.store.items import image_item, member_item  # noqa: PLC0415

    kinds = (
        (Visibility.PUBLIC, "producer"),
        (Visibility.SHARED, "producer"),
        (Visibility.PRIVATE, "producer"),
        (Visibility.SHARED, "another"),
    )
    for number in range(count):
        visibility, owner = kinds[number % 4]
        created_at = _BASE + timedelta(seconds=number)
        image = Image(
            id=_image_id(number),
            owner=owner,
            name=f"image-{number}",
            visibility=visibility,
            disk_format="qcow2",
            container_format="bare",
            created_at=created_at,
            updated_at=created_at,
            properties=PROPERTIES,
        )
        yield image_item(image)
        members = ["consumer"] if number % 4 == 1 else []
        if number == 1:
            members += [f"{member:032x}" for member in range(MEMBERS - 1)]
        for member_id in members:
            membership = Member(
                image_id=image.id,
                member_id=member_id,
                status=MemberStatus.ACCEPTED,
                created_at=created_at,
                updated_at=created_at,
            )
            yield member_item(membership, image)


def ask(name: str) -> list[Taken]:
    """Send a request to this process's table, some times."""
    import app as service  # noqa: PLC0415 - after the environment is set
    from chalicelib import telemetry  # noqa: PLC0415 - as above

    who, target = REQUESTS[name]
    headers = {
        "Accept": "application/json",
        "Host": "images.example.org",
        "X-Auth-Token": f"someone:{who}:member",
    }
    text = json.dumps(event(service.app.routes, "GET", target, headers, b""))
    all_taken = []
    for _ in range(IN_ROUND):
        units = telemetry.counted["ReadUnits"]
        processor, clock = time.process_time(), time.perf_counter()
        answer = service.app(json.loads(text), None)
        processor = time.process_time() - processor
        clock = time.perf_counter() - clock
        assert int(answer["statusCode"]) == 200, answer
        units = telemetry.counted["ReadUnits"] - units
        all_taken.append(Taken(processor * 1000, clock * 1000, units))
    return all_taken


def measure(sizes: Sequence[int], rounds: int) -> dict[str, list[Taken]]:
    """Return the medians of each request, at each size."""
    taken: dict[str, list[list[Taken]]] = {
        name: [[] for _ in sizes] for name in REQUESTS
    }
    with dynamodb_local.running() as url, ExitStack() as stack:
        environment = ENVIRONMENT | {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }
        processes = [
            stack.enter_context(
                ProcessPoolExecutor(
                    1,
                    mp_context=get_context("spawn"),
                    initializer=_start,
                    initargs=(environment, f"images-{size}"),
                )
            )
            for size in sizes
        ]
        for size, process in zip(sizes, processes, strict=True):
            process.submit(fill, size).result()
        for number in range(rounds + 1):
            for name in REQUESTS:
                for at, process in enumerate(processes):
                    some = process.submit(ask, name).result()
                    taken[name][at] += some if number else []  # The first warms up.
    return {
        name: [Taken(*map(median, zip(*some, strict=True))) for some in of_sizes]
        for name, of_sizes in taken.items()
    }


def main() -> None:
    """Measure, print the table, and draw it."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    taken = measure(sizes, ROUNDS)
    columns = ["request", "processor", "clock", "units"]
    columns += [f"ms at {size:,}" for size in sizes]
    lines = [columns, ["---"] * len(columns)]
    for name, of_sizes in taken.items():
        first, last = of_sizes[0], of_sizes[-1]
        ratios = [f"{new / old:.2f}" for old, new in zip(first, last, strict=True)]
        times = [f"{one.processor:.2f} / {one.clock:.2f}" for one in of_sizes]
        lines.append([name, *ratios, *times])
    for line in lines:
        sys.stdout.write(f"| {' | '.join(line)} |\n")
    clocks = {name: [one.clock for one in some] for name, some in taken.items()}
    DRAWING.write_text(chart.draw(sizes, clocks), "utf-8")
    sys.stdout.write(f"{DRAWING}\n")


if __name__ == "__main__":
    main()
