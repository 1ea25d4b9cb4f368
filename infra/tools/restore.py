"""Put lost images of a restored table back: `-m infra.tools.restore FROM TO [IMAGE]`.

All that TO has no more, or one; docs/operations.md tells when.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

BATCH: Final = 25
"""How many items DynamoDB takes at once."""

LOST: Final = (
    "attribute_not_exists(pk)"
    " OR attribute_exists(deleted) AND attribute_not_exists(project_pk)"
)
"""That an image is not there, or was deleted and nothing is left of it."""

PAUSE_SECONDS: Final = 0.5
"""How long to wait where it does not take all of them."""


def restore(source: str, target: str, image_id: str | None = None) -> tuple[int, int]:
    """Put lost images back with their members; return how many, and how many were left.

    What TO still has is newer and stays, its ended shares and its data included. An
    image is put back once its deletion has ended, as that would remove it again.
    """
    client = boto3.client("dynamodb")
    ids = [image_id] if image_id else _images(client, source)
    done = [_put_back(client, source, target, lost_id) for lost_id in ids]
    return sum(done), len(done) - sum(done)


def _images(client: Any, source: str) -> Iterator[str]:  # noqa: ANN401 - botocore's own
    pages = client.get_paginator("scan").paginate(
        TableName=source,
        FilterExpression="sk = :image AND attribute_not_exists(deleted)",
        ExpressionAttributeValues={":image": {"S": "IMAGE"}},
    )
    for page in pages:
        for item in page["Items"]:
            yield item["pk"]["S"].removeprefix("IMAGE#")


def _put_back(client: Any, source: str, target: str, image_id: str) -> bool:  # noqa: ANN401 - as above
    key = {"pk": {"S": f"IMAGE#{image_id}"}, "sk": {"S": "IMAGE"}}
    now = client.get_item(TableName=target, Key=key, ConsistentRead=True).get("Item")
    if now and ("deleted" not in now or "project_pk" in now):
        return False
    pages = client.get_paginator("query").paginate(
        TableName=source,
        KeyConditionExpression="pk = :image",
        ExpressionAttributeValues={":image": key["pk"]},
    )
    items = [item for page in pages for item in page["Items"]]
    if not items or "deleted" in items[0]:
        sys.exit(f"{source} has no image {image_id}.")
    image, *members = items
    # The image comes last: until then nobody sees its members, or makes others.
    for start in range(0, len(members), BATCH):
        _put(client, target, members[start : start + BATCH])
    client.put_item(TableName=target, Item=image, ConditionExpression=LOST)
    return True


def _put(client: Any, target: str, items: list[Any]) -> None:  # noqa: ANN401 - botocore's own
    left: Any = {target: [{"PutRequest": {"Item": item}} for item in items]}
    while left:
        left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")
        if left:
            time.sleep(PAUSE_SECONDS)


def main(words: Sequence[str]) -> None:
    """Do what the command line says; end in one line where that is not possible."""
    if len(words) not in (2, 3) or not all(words) or words[0] == words[1]:
        sys.exit(
            "Usage: python -m infra.tools.restore FROM TO [IMAGE], where FROM is the"
            " restored table and TO the table of the stack."
        )
    try:
        back, left = restore(*words)
    except NoRegionError:
        sys.exit("restore: no region is set. Set AWS_DEFAULT_REGION.")
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"restore: {error} Check both names, the region and the credentials.")
    print(f"{back} images were put back.")  # noqa: T201 - for who ran it
    print(f"{left} were left: there, or not yet deleted to the end.")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
