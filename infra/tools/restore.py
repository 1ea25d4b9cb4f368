"""
Put items of a restored table back: `python -m infra.tools.restore FROM TO [IMAGE]`.

Every item, or those of one image; docs/operations.md tells when. What TO has besides
stays.
"""

import sys
import time
from typing import Any, Final

from botocore.session import get_session

BATCH: Final = 25
"""
How many items DynamoDB takes at once.
"""

PAUSE_SECONDS: Final = 0.5
"""
How long to wait where it does not take all of them.
"""


def restore(source: str, target: str, image_id: str | None = None) -> int:
    """
    Copy items from one table to another; give how many.
    """
    client = get_session().create_client("dynamodb")
    copied = 0
    for page in _pages(client, source, image_id):
        items = page["Items"]
        for start in range(0, len(items), BATCH):
            _put(client, target, items[start : start + BATCH])
        copied += len(items)
    return copied


def _pages(client: Any, source: str, image_id: str | None) -> Any:  # noqa: ANN401 - botocore's own
    if image_id is None:
        return client.get_paginator("scan").paginate(TableName=source)
    return client.get_paginator("query").paginate(
        TableName=source,
        KeyConditionExpression="pk = :image",
        ExpressionAttributeValues={":image": {"S": f"IMAGE#{image_id}"}},
    )


def _put(client: Any, target: str, items: list[Any]) -> None:  # noqa: ANN401 - botocore's own
    left: Any = {target: [{"PutRequest": {"Item": item}} for item in items]}
    while left:
        left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")
        if left:
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    print(f"{restore(*sys.argv[1:])} items were put back.")  # noqa: T201 - for who ran it
