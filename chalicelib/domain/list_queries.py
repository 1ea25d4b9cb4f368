"""What a list of images is asked for."""

from collections.abc import Callable
from typing import Final, NamedTuple

from chalicelib.domain.images import Image

Params = list[tuple[str, str]]
Test = Callable[[Image], bool]
ALL: Final = "all"
SORT_KEYS: Final = (
    "name", "status", "container_format", "disk_format",
    "size", "id", "created_at", "updated_at",
)  # fmt: skip
SORT_DIRECTIONS: Final = ("asc", "desc")


class Sort(NamedTuple):
    """One key to sort by, and which way."""

    key: str
    descending: bool


class ListQuery(NamedTuple):
    """What a list was asked for.

    `tests` hold every filter, `filters` their keys; `visibility`, `owner`, `name`,
    `ids` and `os_hidden` repeat those that choose what is read. `visibility` and
    `member_status` may be `all`; `sort` always ends in created_at and id, so that no
    two images are equal.
    """

    visibility: str | None
    member_status: str
    owner: str | None
    name: str | None
    ids: tuple[str, ...] | None
    os_hidden: bool
    tests: tuple[Test, ...]
    filters: tuple[str, ...]
    sort: tuple[Sort, ...]
    limit: int
    marker: str | None

    @property
    def descending(self) -> bool:
        """Whether the first of the sort keys is descending."""
        return self.sort[0].descending
