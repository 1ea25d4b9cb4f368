"""Copy a table of the first layout into today's: `-m infra.tools.copy_table FROM TO`.

The first layout is that of commit 280a5df, before any release; docs/upgrade.md says how
to move to a stage with the layout of today. The file `copy-FROM-TO.json` holds where a
copy has come to: the same command goes on there. Nothing in TO is ever written over.
"""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# The items' classes are read alone; no setting of them counts here.
for _name in ("TABLE_NAME", "BUCKET_NAME", "QUEUE_URL"):
    os.environ.setdefault(_name, "none")
os.environ.setdefault("AUTH", "development")

from chalicelib.domain.images import Image  # noqa: E402 - see above
from chalicelib.store.items import (  # noqa: E402
    image_item,
    image_of,
    member_item,
    member_of,
)
from chalicelib.store.keys import IMAGE, MEMBER, RECENT, image_key  # noqa: E402
from chalicelib.store.mapping import Raw  # noqa: E402 - as above

WRITERS: Final = 16
"""Number of items that are written at the same time."""

_OLD_PLACES: Final = {"project_pk", "project_sk", "visibility_pk", "visibility_sk"}
# Without it, the stream's function makes no event of a copy.
_LEFT_BEHIND: Final = _OLD_PLACES | {"changed"}
_PLACES: Final = (
    *("project_pk", "project_sk", "group_pk", "group_sk", "name_pk", "name_sk"),
)


def copy_table(source: str, target: str, reached: Path) -> int:
    """Copy what *target* has not; return the number of items that were copied.

    *reached* is the file that holds the next page's start; it ends with the copy.
    """
    client = boto3.client("dynamodb")
    copied = 0
    start = json.loads(reached.read_text("utf-8")) if reached.exists() else None
    with ThreadPoolExecutor(WRITERS) as writers:
        while True:
            after = {"ExclusiveStartKey": start} if start else {}
            page = client.scan(TableName=source, ConsistentRead=True, **after)
            images = _Images(client, source, page["Items"])
            items = [images.converted(raw) for raw in page["Items"]]
            wanted = [item for item in items if item]
            copied += sum(writers.map(partial(_put, client, target), wanted))
            start = page.get("LastEvaluatedKey")
            if not start:
                reached.unlink(missing_ok=True)
                return copied
            reached.write_text(json.dumps(start), "utf-8")


class _Images:
    """The images of a page of the old table; others are read when needed."""

    def __init__(self, client: Any, source: str, raws: list[Raw]) -> None:  # noqa: ANN401 - botocore's own
        self._client = client
        self._source = source
        self._found = {
            raw["pk"]["S"]: image_of(raw) for raw in raws if raw["sk"]["S"] == IMAGE
        }

    def converted(self, raw: Raw) -> Raw | None:
        """Return an item in the new layout; none for what is not copied.

        Recent changes expire soon; a deleted image's memberships are to be removed.
        """
        place = raw["sk"]["S"]
        if place.startswith(RECENT):
            return None
        if place.startswith(MEMBER):
            member = member_of(raw)
            image = self._image(member.image_id)
            if image is None:
                return None
            made: Raw = member_item(member, image).to_dynamodb_dict()
            return _without(raw) | made
        image = image_of(raw) if place == IMAGE else None
        if image is None:  # An upload, or a tombstone: its places are the same.
            return {name: raw[name] for name in raw if name != "changed"}
        new: Raw = image_item(image).to_dynamodb_dict()
        return _without(raw) | {name: new[name] for name in _PLACES if name in new}

    def _image(self, image_id: str) -> Image | None:
        pk, sk = image_key(image_id)
        if pk not in self._found:
            key = {"pk": {"S": pk}, "sk": {"S": sk}}
            response = self._client.get_item(
                TableName=self._source, Key=key, ConsistentRead=True
            )
            raw = response.get("Item")
            self._found[pk] = image_of(raw) if raw else None
        return self._found[pk]


def _without(raw: Raw) -> Raw:
    return {name: raw[name] for name in raw if name not in _LEFT_BEHIND}


def _put(client: Any, target: str, item: Raw) -> bool:  # noqa: ANN401 - botocore's own
    try:
        client.put_item(
            TableName=target, Item=item, ConditionExpression="attribute_not_exists(pk)"
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def main(words: Sequence[str]) -> None:
    """Do what the command line says; end in one line where that is not possible."""
    if len(words) != 2 or not all(words) or words[0] == words[1]:  # noqa: PLR2004 - FROM TO
        sys.exit(
            "Usage: python -m infra.tools.copy_table FROM TO, where FROM is the old"
            " table and TO that of the stack."
        )
    source, target = words
    try:
        count = copy_table(source, target, Path(f"copy-{source}-{target}.json"))
    except (BotoCoreError, ClientError) as error:
        sys.exit(
            f"copy_table: {error} Check both names, the region and the credentials."
        )
    except ValueError:
        sys.exit(
            f"copy_table: copy-{source}-{target}.json is damaged. Remove it: the copy"
            " then starts again and writes nothing twice."
        )
    print(f"{count} items were copied.")  # noqa: T201 - for who ran it


if __name__ == "__main__":
    main(sys.argv[1:])
