"""`python -m tests.bench.memory`: a request's time and price by the function's memory.

Lambda gives a function its memory's share of 1,769 MB of one processor. A control group
of Linux does the same here, for 20 ms at a time; it needs root. DynamoDB's answers come
from another process, which has its own processor. Printed are means of requests one
after another, as those of a busy container. Nothing is asserted.
"""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.playing import playing

SIZES = (256, 512, 1024, 1769)
REQUESTS = ("show image", "list of 25", "create image", "set status")
ROUNDS = 200
PERIOD = 20_000
"""Of the control group, in microseconds."""

_GROUPS = Path("/sys/fs/cgroup/cpu")


def _join(megabytes: int) -> None:
    """Put this process in a group that has so much of a processor."""
    group = _GROUPS / f"cloud-images-{megabytes}"
    group.mkdir(exist_ok=True)
    (group / "cpu.cfs_period_us").write_text(str(PERIOD))
    (group / "cpu.cfs_quota_us").write_text(str(PERIOD * megabytes // 1769))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _measure(megabytes: int) -> None:
    """Print the milliseconds of each request, in this process."""
    recorded = json.load(sys.stdin)
    import app as service  # noqa: PLC0415 - only the process that measures needs it

    texts = {name: json.dumps(recorded["requests"][name]) for name in REQUESTS}
    for text in texts.values():
        service.app(json.loads(text), None)
    logging.disable()
    _join(megabytes)
    took: dict[str, float] = {}
    for name, text in texts.items():
        start = time.perf_counter()
        for _ in range(ROUNDS):
            response = service.app(json.loads(text), None)
            assert int(response["statusCode"]) < 300, response
        took[name] = (time.perf_counter() - start) * 1000 / ROUNDS
    sys.stdout.write(json.dumps(took))


def main() -> None:
    """Measure each size in a process of its own."""
    if len(sys.argv) > 1:
        _measure(int(sys.argv[1]))
        return
    with playing() as (recorded, environment):
        for size in SIZES:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.memory", str(size)],
                env=os.environ | environment,
                input=json.dumps(recorded),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            took = json.loads(done.stdout)
            cells = " | ".join(f"{took[name]:.1f}" for name in REQUESTS)
            sys.stdout.write(f"| {size} | {cells} |\n")
            (_GROUPS / f"cloud-images-{size}").rmdir()


if __name__ == "__main__":
    main()
