"""`python -m tests.cost.bill`: what the counted units cost in dollars, for costs.md.

Units are those that docs/costs.md counts, milliseconds those that docs/performance.md
has from `make bench`. The rest is a model, which the document describes.
"""

import sys
from collections.abc import Sequence
from typing import Final

from tests.readme import table

PRICES: Final = {
    "a million requests of API Gateway": 3.50,
    "a million runs of Lambda": 0.20,
    "a second of Lambda with 1 GB, arm64": 0.0000133334,
    "a million read units": 0.125,
    "a million write units": 0.625,
    "a GB of logs": 0.50,
}
"""Dollars in us-east-1, November 2026, as far as they are known here."""

MEMORY_MB: Final = 1024
"""The memory of the API's function, in MB."""

VCPU_MB: Final = 1769
"""The memory at which Lambda runs a function on one processor, in MB."""

TRIP_MS: Final = 4
"""How long a round trip to DynamoDB takes, in ms."""

LOG_BYTES: Final = 1_100
"""Log lines of a request: ours, Lambda's three, API Gateway's, in bytes."""

COLD_SHARE: Final = 0.01
COLD_MS: Final = 800
AT_REST: Final = 18 * 0.10
"""Dollars a month of a stage without requests: its alarms."""

REQUESTS: Final = {
    "show image": ("show image", 0.55),
    "list of 25": ("list images, first page", 0.30),
    "members of 100": ("list members, owner", 0.05),
    "set status": ("set status", 0.04),
    "add member": ("add member", 0.03),
    "create image": ("create image", 0.02),
    "remove member": ("remove member", 0.01),
}
"""The row of its units, and the share of the usual mix, of each request."""

MORE_READS: Final = {"list of 25": 48, "members of 100": 4}
"""Read units of 24 more images with a membership each, and of 99 more members."""

MONTHS: Final = {"10 thousand": 0.01, "1 million": 1.0, "100 million": 100.0}
REFERENCE: Final = {
    "10 thousand": "65 / 65 / 287",
    "1 million": "65 / 65 / 287",
    "100 million": "294 / 1,252 / 8,120",
}
"""Dollars a month of the reference, on servers: 1,000, 100,000, 1,000,000 images."""


def billed_ms(processor_ms: float, trips: int, memory: int = MEMORY_MB) -> float:
    """Return how long a function runs: its processor's share, and waiting."""
    return processor_ms * max(VCPU_MB / memory, 1) + TRIP_MS * trips


def run_price(milliseconds: float, memory: int = MEMORY_MB) -> float:
    """Return the dollars of a million runs of some milliseconds."""
    second = PRICES["a second of Lambda with 1 GB, arm64"] * memory / 1024
    return PRICES["a million runs of Lambda"] + second * milliseconds * 1000


def _processor_ms() -> dict[str, float]:
    """Return the milliseconds of the processor that each measured request takes."""
    return {
        row["request"]: float(row["processor, ms"])
        for row in table("Requests beside the floor", "docs/performance.md")
    }


def parts(request: str) -> list[float]:
    """Return gateway, Lambda, DynamoDB and logs of a million of a request, and all."""
    units = {row["request"]: row for row in table("Counted units", "docs/costs.md")}
    took = _processor_ms()
    row = units[REQUESTS[request][0]]
    processor = took.get(request, took["set status"])
    warm = billed_ms(processor, int(row["round trips"]))
    reads = float(row["RCU"]) + MORE_READS.get(request, 0)
    each = [
        PRICES["a million requests of API Gateway"],
        run_price(warm) + run_price(COLD_MS * COLD_SHARE) - run_price(0),
        reads * PRICES["a million read units"]
        + float(row["WCU"]) * PRICES["a million write units"],
        LOG_BYTES / 1000 * PRICES["a GB of logs"],
    ]
    return [*each, sum(each)]


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def document() -> str:
    """Return the tables of costs.md."""
    bills = {request: parts(request) for request in REQUESTS}
    usual = [
        sum(bills[request][part] * share for request, (_, share) in REQUESTS.items())
        for part in range(5)
    ]
    bills["the usual mix"] = usual
    a_million = _lines(
        ("a million of", "API Gateway", "Lambda", "DynamoDB", "logs", "together"),
        [[name, *(f"{one:.2f}" for one in bill)] for name, bill in bills.items()],
    )
    months = _lines(
        ("requests a month", "dollars a month", "the reference on servers"),
        [
            [name, f"{AT_REST + usual[-1] * millions:,.2f}", REFERENCE[name]]
            for name, millions in MONTHS.items()
        ],
    )
    took = _processor_ms()
    curve = []
    for memory in (256, 512, 1024, 1769):
        row = [str(memory)]
        for name in ("show image", "list of 25"):
            run = billed_ms(took[name], int(name != "show image") + 1, memory)
            row += [f"{run:.1f}", f"{run_price(run, memory):.2f}"]
        curve.append(row)
    memories = _lines(
        ("MB", "show, ms", "a million, USD", "list of 25, ms", "a million, USD"), curve
    )
    return "\n\n".join("\n".join(table) for table in (a_million, months, memories))


if __name__ == "__main__":
    sys.stdout.write(document() + "\n")
