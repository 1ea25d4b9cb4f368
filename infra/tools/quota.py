"""Set the limits of one project: `-m infra.tools.quota TABLE PROJECT [NAME=LIMIT]`.

NAME is a quota of docs/settings.md in small letters; without LIMIT the project has the
general one again. Print the project's own limits.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

MEBIBYTE: Final = 2**20
UNITS: Final = {
    "image_count_total": 1,
    "image_size_total": MEBIBYTE,
    "image_stage_total": MEBIBYTE,
    "image_count_uploading": 1,
    "offer_count_total": 1,
    "offer_count_per_consumer": 1,
}
"""The quotas, each with its unit in bytes or pieces."""

LIMIT_MAX: Final = 999_999_999
USAGE: Final = "Usage: python -m infra.tools.quota TABLE PROJECT [NAME=LIMIT]..."


def set_limits(
    table: str, project_id: str, limits: Mapping[str, int | None]
) -> dict[str, int]:
    """Set some of a project's own limits, or remove them; return those that it has.

    Stored is the most that may be used, as what is used is in bytes or pieces; a part
    of a MiB does not count.
    """
    client = boto3.client("dynamodb")
    key = {"pk": {"S": f"PROJECT#{project_id}"}, "sk": {"S": "USAGE"}}
    for name, limit in limits.items():
        names = {"#most": f"{name}_most"}
        if limit is None:
            client.update_item(
                TableName=table,
                Key=key,
                UpdateExpression="REMOVE #most",
                ExpressionAttributeNames=names,
            )
            continue
        most = (limit + 1) * UNITS[name] - 1
        client.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET #most = :most, #used = if_not_exists(#used, :none)",
            ExpressionAttributeNames={**names, "#used": name},
            ExpressionAttributeValues={":most": {"N": str(most)}, ":none": {"N": "0"}},
        )
    item = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return {
        name: int(item[f"{name}_most"]["N"]) // unit
        for name, unit in UNITS.items()
        if item and f"{name}_most" in item
    }


def _parse(words: Sequence[str]) -> dict[str, int | None]:
    limits: dict[str, int | None] = {}
    for word in words:
        name, equals, limit = word.partition("=")
        is_number = limit.isascii() and limit.isdigit() and int(limit) <= LIMIT_MAX
        if name not in UNITS or not equals or not (is_number or not limit):
            names = ", ".join(UNITS)
            sys.exit(
                f"quota: {word!r} must be NAME=LIMIT, a whole number of"
                f" {LIMIT_MAX} at most, or NAME=; NAME is one of {names}."
            )
        limits[name] = int(limit) if limit else None
    return limits


def main(words: Sequence[str]) -> None:
    """Run the tool."""
    match words:
        case [table, project_id, *rest]:
            limits = _parse(rest)
        case _:
            sys.exit(USAGE)
    try:
        own = set_limits(table, project_id, limits)
    except (BotoCoreError, ClientError) as exc:
        sys.exit(f"quota: {exc} Check the table, the region and the credentials.")
    for name, limit in own.items():
        print(f"{name}={limit}")  # noqa: T201 - for who ran it


if __name__ == "__main__":
    main(sys.argv[1:])
