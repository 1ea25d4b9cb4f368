"""Remove all that is a project's, or tell who sees an image.

`python -m infra.tools.project TABLE PROJECT [--remove]` lists a project's images,
memberships and items, or removes them: its images as by a DELETE, so that the stream's
function removes their data and members. What was interrupted goes on by the same call.
`python -m infra.tools.project TABLE --image IMAGE` tells who sees an image, with notes.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

USAGE = (
    "Usage: python -m infra.tools.project TABLE PROJECT [--remove], or TABLE --image"
    " IMAGE. Without --remove nothing is changed."
)


@dataclass
class Belongings:
    """What a project has: ids of its images and memberships, and the keys of items."""

    images: list[str] = field(default_factory=list)
    memberships: list[str] = field(default_factory=list)
    items: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield a line for each thing."""
        yield from (f"image {image_id}" for image_id in self.images)
        yield from (f"membership {image_id}" for image_id in self.memberships)
        yield from (f"item {pk} {sk}" for pk, sk in self.items)


def find(project_id: str) -> Belongings:
    """Return what a project has by now; the index may lag by a second."""
    from chalicelib.store.dynamodb import query_page  # noqa: PLC0415 - see `main`
    from chalicelib.store.items import ByProject  # noqa: PLC0415
    from chalicelib.store.keys import (  # noqa: PLC0415
        IMAGE,
        image_id_in,
        project_partition,
    )

    belongings = Belongings()
    partition = project_partition(project_id)
    for index in (ByProject.Meta.index_name, None):
        start = None
        while True:
            page = query_page(partition, index_name=index, exclusive_start_key=start)
            for raw in page["Items"]:
                pk, sk = raw["pk"]["S"], raw["sk"]["S"]
                if index is None:
                    belongings.items.append((pk, sk))
                elif sk == IMAGE:
                    belongings.images.append(image_id_in(pk))
                else:
                    belongings.memberships.append(image_id_in(pk))
            start = page.get("LastEvaluatedKey")
            if not start:
                break
    return belongings


def remove(project_id: str, belongings: Belongings) -> None:
    """Remove what was found: memberships, images, then the project's own items."""
    from chalicelib import ids  # noqa: PLC0415 - see `main`
    from chalicelib.domain.caller import Caller, Role  # noqa: PLC0415
    from chalicelib.store import images, members  # noqa: PLC0415
    from chalicelib.store.dynamodb import delete_items  # noqa: PLC0415

    def caller() -> Caller:
        return Caller("", "infra.tools.project", Role.ADMIN, f"req-{ids.new_id()}")

    for image_id in belongings.memberships:
        loaded = images.load_image(image_id, project_id)
        if loaded.image is not None and loaded.membership is not None:
            members.leave_image(loaded.image, loaded.membership, caller())
    for image_id in belongings.images:
        image = images.load_image(image_id, project_id).image
        if image is not None and image.owner == project_id:
            images.delete_image(image, caller())
    delete_items(belongings.items)


def who_sees(image_id: str) -> Iterator[str]:
    """Yield who sees an image: its owner, and each member with its status and note."""
    from chalicelib.store import outgoing  # noqa: PLC0415 - see `main`

    image, shares = outgoing.load_all_shares(image_id, None)
    if image is None:
        sys.exit(f"project: there is no image {image_id}.")
    yield f"owner {image.owner}, visibility {image.visibility}"
    for member_id, share in sorted(shares.items()):
        note = f": {share.note!r}" if share.note else ""
        yield f"member {member_id} {share.membership.status}{note}"


def main(words: Sequence[str]) -> None:
    """Do what the command line says; end in one line where that is not possible."""
    match words:
        case [table, "--image", _] | [table, _] | [table, _, "--remove"]:
            pass
        case _:
            sys.exit(USAGE)
    # The store reads the settings as it is imported.
    os.environ.update(
        TABLE_NAME=table, BUCKET_NAME="none", QUEUE_URL="none", AUTH="none"
    )
    from chalicelib.errors import ApiError, StaleError  # noqa: PLC0415

    try:
        if words[1] == "--image":
            lines = list(who_sees(words[2]))
        else:
            belongings = find(words[1])
            lines = list(belongings.lines())
            if words[-1] == "--remove":
                remove(words[1], belongings)
                lines.append("All of it was removed.")
    except StaleError:
        sys.exit("project: others changed it meanwhile. Run the same command again.")
    except (ApiError, BotoCoreError, ClientError, PynamoDBException) as exc:
        sys.exit(f"project: {exc} Check the table, the region and the credentials.")
    for line in lines:
        print(line)  # noqa: T201 - for who ran it


if __name__ == "__main__":
    main(sys.argv[1:])
