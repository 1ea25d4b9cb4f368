"""Runs the packaged functions as Lambda does: nothing but the artifact can be imported.

`python -I -S driver.py FOLDER` reads a line for each call, `{handler, event}` in JSON,
and writes one with its `result` or `error`.
"""

import importlib
import json
import sys
import traceback
from functools import cache
from typing import Any

MEMORY = 1024
MILLISECONDS = 29_000


class Context:
    """The context of a run, as Lambda passes it to a function."""

    aws_request_id = "run"
    function_name = "packaged"
    memory_limit_in_mb = MEMORY

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left."""
        return MILLISECONDS


@cache
def load(handler: str) -> Any:
    """Find a handler by the name that the template has: `app.app`."""
    module, _, name = handler.rpartition(".")
    return getattr(importlib.import_module(module), name)


def main(folder: str) -> None:
    """Answer calls until standard input ends."""
    sys.path.insert(0, folder)
    responses, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if "modules" in call:
                for name in call["modules"]:
                    importlib.import_module(name)
                response: dict[str, Any] = {
                    "result": {
                        name: [
                            getattr(module, "__file__", None),
                            getattr(module, "__cached__", None),
                        ]
                        for name, module in sys.modules.items()
                    }
                }
            else:
                response = {"result": load(call["handler"])(call["event"], Context())}
        except Exception:  # noqa: BLE001 - reported to the test
            response = {"error": traceback.format_exc()}
        responses.write(json.dumps(response) + "\n")
        responses.flush()


if __name__ == "__main__":
    main(sys.argv[1])
