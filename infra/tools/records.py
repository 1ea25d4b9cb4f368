"""Make the event of Lambda from what `aws dynamodbstreams get-records` printed.

`python3 -m infra.tools.records < found.json > event.json`: for records that were set
aside, as docs/operations.md tells. It needs no more than Python.
"""

import json
import sys
from typing import Any


def event(found: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """
    Return the event: what only Lambda adds says nothing, and times are numbers in it.
    """
    return {
        "Records": [
            {
                **record,
                "eventSourceARN": "",
                "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": 0},
            }
            for record in found["Records"]
        ]
    }


def main() -> None:
    """Read what the command line of AWS printed; print the event."""
    if len(sys.argv) > 1 or sys.stdin.isatty():
        sys.exit("Usage: python3 -m infra.tools.records < found.json > event.json")
    try:
        made = event(json.load(sys.stdin))
    except (ValueError, LookupError, TypeError):
        sys.exit(
            "records: the input is not the output of `aws dynamodbstreams get-records"
            " --output json`. Run that command first and pass what it prints."
        )
    if not made["Records"]:
        sys.exit(
            "records: the input has no records. The stream keeps them for 24 hours;"
            " check the shard and the sequence number."
        )
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
