"""Make the event of Lambda from what `aws dynamodbstreams get-records` printed.

`python3 -m infra.tools.records < found.json > event.json`: for records that were set
aside, as docs/operations.md tells. It needs no more than Python.
"""

import json
import sys
from typing import Any


def event(found: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """
    Give the event: what only Lambda adds says nothing, and times are numbers in it.
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


if __name__ == "__main__":
    json.dump(event(json.load(sys.stdin)), sys.stdout)
