"""`make soak`: storms, faults, fuzz and sequences of calls, until the time is over.

Each try has a number. SEED= is the first one; ONLY=storm with the SEED of a failure
repeats what failed. The numbers follow each other, so that enough of them try every
pair of writes and every fault of every request.
"""

import logging
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from random import randrange
from typing import Final

import tests.conftest  # noqa: F401 - it puts an embedded AWS in the place of AWS
from chalicelib.store import dynamodb
from infra.local import backend
from tests.cost import dynamodb_local
from tests.soak import faults, fuzz, machine, storms
from tests.soak.stand import Stand, on_emulator

REPORT_SECONDS: Final = 60
SHARES: Final = {"storm": 4, "fault": 3, "fuzz": 2, "machine": 1}
"""How much of the time each kind of try gets."""

Try = Callable[[int], Counter[str]]


def tries(stand: Stand) -> dict[str, Try]:
    """Return each kind of try, which takes a number and counts what it did."""
    orders = storms.Orders(stand)

    def storm(number: int) -> Counter[str]:
        storms.storm(stand, orders, number)
        return Counter({"storms": 1, "requests at once": storms.AT_ONCE})

    def fault(number: int) -> Counter[str]:
        _, failed = faults.fail_each_call(stand, orders, number)
        return Counter({"requests with faults": 1, "faults": failed})

    def send(number: int) -> Counter[str]:
        sent, taken = fuzz.fuzz(stand, number)
        return Counter({"hostile inputs": sent, "of which succeeded": taken})

    def drive(number: int) -> Counter[str]:
        return Counter({"sequences": machine.drive(stand, number)})

    return {"storm": storm, "fault": fault, "fuzz": send, "machine": drive}


def soak(kinds: dict[str, Try], first: int, seconds: float) -> Counter[str]:
    """Try one kind after the other until the time is over; return what was done.

    Raises:
        SystemExit: A try failed; what it says repeats it.
    """
    done = Counter[str]()
    spent = dict.fromkeys(kinds, 0.0)
    numbers = dict.fromkeys(kinds, first)
    begin = reported = time.monotonic()
    while time.monotonic() < begin + seconds:
        kind = min(kinds, key=lambda one: spent[one] / SHARES[one])
        start = time.monotonic()
        try:
            done += kinds[kind](numbers[kind])
        except Exception:
            logging.getLogger("soak").exception("A %s failed.", kind)
            sys.exit(f"To repeat it: make soak ONLY={kind} SEED={numbers[kind]}")
        spent[kind] += time.monotonic() - start
        numbers[kind] += 1
        if time.monotonic() > reported + REPORT_SECONDS:
            reported = time.monotonic()
            report(done, first, reported - begin)
    report(done, first, time.monotonic() - begin)
    return done


def report(done: Counter[str], first: int, seconds: float) -> None:
    """Print what was done until now, in a line."""
    counts = ", ".join(f"{count:,} {what}" for what, count in done.items())
    print(f"{seconds / 60:5.1f} min, SEED={first}: {counts}", flush=True)


def main() -> None:
    """Read what the environment asks for, and soak."""
    minutes = float(os.environ.get("MINUTES") or 10)
    if os.environ.get("HOURS"):
        minutes = float(os.environ["HOURS"]) * 60
    first = int(os.environ.get("SEED") or randrange(10**6))  # noqa: S311 - no secret
    only = os.environ.get("ONLY")
    warnings.simplefilter("ignore")
    logging.getLogger("cloud-images").setLevel(logging.CRITICAL)
    backend.create_table(
        dynamodb.connection.connection.client, dynamodb.connection.table_name
    )
    with dynamodb_local.running() as client, on_emulator(client) as stand:
        kinds = tries(stand)
        chosen = {only: kinds[only]} if only else kinds
        soak(chosen, first, minutes * 60)
    print("Nothing was found.")


if __name__ == "__main__":
    main()
