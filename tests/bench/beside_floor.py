"""`python -m tests.bench.beside_floor`: each request beside a bare botocore client.

The handler gets a full event of API Gateway; the floor is the same calls of DynamoDB,
one after another, by a client that botocore made. Another process plays recorded
answers. Rounds of both alternate; printed are medians: the ratios of each round,
and what a request took of the processor and by the clock. Nothing is asserted.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from botocore import xform_name
from botocore.config import Config
from botocore.session import get_session

from tests.bench.playing import playing

ROUNDS = 30
IN_ROUND = 10


def _timed(act: Callable[[], Any]) -> tuple[float, float]:
    """Return the milliseconds of the processor and of the clock, of one of a round."""
    processor, clock = time.process_time(), time.perf_counter()
    for _ in range(IN_ROUND):
        act()
    took = time.process_time() - processor, time.perf_counter() - clock
    return took[0] * 1000 / IN_ROUND, took[1] * 1000 / IN_ROUND


def _measure(recorded: dict[str, Any]) -> None:
    import app as service  # noqa: PLC0415 - after the environment is set
    from chalicelib import telemetry  # noqa: PLC0415 - as above

    log = logging.getLogger(telemetry.LINES[0])
    log.setLevel(logging.INFO)
    log.addHandler(logging.NullHandler())
    log.propagate = False
    bare = get_session().create_client(
        "dynamodb", config=Config(parameter_validation=False)
    )
    columns = ("request", "processor", "clock", "processor, ms", "clock, ms")
    lines = [columns, ("---",) * len(columns)]
    for name, event in recorded["requests"].items():
        text = json.dumps(event)
        calls = [
            (getattr(bare, xform_name(operation)), asked)
            for operation, asked in recorded["calls"][name]
        ]

        def handle(text: str = text) -> None:
            answer = service.app(json.loads(text), None)
            assert int(answer["statusCode"]) < 300, answer

        def floor(calls: list[Any] = calls) -> None:
            for call, asked in calls:
                call(**asked)

        both = [(_timed(handle), _timed(floor)) for _ in range(ROUNDS + 2)][2:]
        of_both = [(ours[0] / bare[0], ours[1] / bare[1], *ours) for ours, bare in both]
        figures = [f"{median(some):.2f}" for some in zip(*of_both, strict=True)]
        lines.append((name, *figures))
    for line in lines:
        sys.stdout.write(f"| {' | '.join(line)} |\n")


def main() -> None:
    """Record, start the responder, and measure in a process of its own."""
    with playing() as (recorded, environment):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(environment)
        _measure(recorded)


if __name__ == "__main__":
    main()
