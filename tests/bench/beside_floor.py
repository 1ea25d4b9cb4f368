"""`python -m tests.bench.beside_floor`: each request beside a bare botocore client.

The handler gets a full event of API Gateway; the floor is the same calls of DynamoDB,
one after another, by a client that botocore made. Another process plays recorded
answers. Rounds of both alternate; printed are medians: the ratios of each round,
and what a request took of the processor and by the clock. Nothing is asserted.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from botocore import xform_name
from botocore.config import Config
from botocore.session import get_session

from tests.bench.responder import ENVIRONMENT

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
    with TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.json"
        subprocess.run(
            [sys.executable, "-m", "tests.bench.record", str(file)],
            env=os.environ | ENVIRONMENT,
            check=True,
        )
        responder = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.responder", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with responder:
            assert responder.stdout
            port = responder.stdout.readline().strip()
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(
                ENVIRONMENT,
                AWS_ACCESS_KEY_ID="local",
                AWS_SECRET_ACCESS_KEY="local",
                AWS_DEFAULT_REGION="us-east-1",
                AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            )
            try:
                _measure(json.loads(file.read_text("utf-8")))
            finally:
                responder.kill()


if __name__ == "__main__":
    main()
