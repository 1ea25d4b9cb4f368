"""A page of images: candidates from the indexes, the truth from the table.

The indexes only propose. Each candidate is read from the table before it is listed, so
that what was deleted, unshared or answered a moment ago is told as it is now; what the
indexes do not know yet is proposed by the project's own hints (`RECENT#`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final

from chalicelib import settings
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, is_image_id
from chalicelib.domain.list_queries import ListQuery, Sort
from chalicelib.errors import BadRequest
from chalicelib.store import dynamodb, indexes
from chalicelib.store import images as image_store
from chalicelib.store.indexes import Range, Row
from chalicelib.store.items import stored
from chalicelib.store.keys import list_position
from chalicelib.store.recent_changes import query_recent

PAGE_BYTES_MAX: Final = 4 * 2**20
"""How many bytes of a page Lambda's answer may hold; it ends at 6 MB."""

# Of images of 384 KB, a slice takes some 300 MB of memory.
_SLICE_MAX: Final = 250
_CHUNK_MAX: Final = 5_000
_SORT_CHUNK: Final = 1_000
_IN_ROWS: Final = frozenset({"name", "created_at", "id"})
_BY_PLACE: Final = ("created_at", "id")


@dataclass(frozen=True, slots=True)
class Page:
    """The images of a page, and the marker of the next one if there may be more."""

    images: list[Image]
    next_marker: str | None


def list_images(
    query: ListQuery, caller: Caller, weigh: Callable[[Image], int]
) -> Page:
    """Find the page of images that a query asks for.

    *weigh* returns the bytes that an image takes in the response.

    Raises:
        BadRequest: The marker is not an image that the caller can see; or the filters
            match nothing in as much as one request may read; or there are too many
            images to sort.
    """
    marker = _marker(query, caller)
    if query.limit == 0:
        return Page([], None)
    budget = _Budget(settings.current.page_rows_max)
    if _is_by_place(query.sort) and query.ids is None:
        after = list_position(marker.created_at, marker.id) if marker else None
        chunk = min(query.limit + 1, _CHUNK_MAX)
        rows = _candidates(query, caller, after, budget, chunk)
    else:
        rows = _sorted(query, caller, marker)
    return _page(query, caller, rows, budget, weigh)


def _marker(query: ListQuery, caller: Caller) -> Image | None:
    if query.marker is None:
        return None
    found = image_store.load_image(query.marker, caller.project_id)
    if found.image is None or not policy.sees(caller, found):
        raise BadRequest(f"marker must be the id of an image: {query.marker[:36]!r}")
    return found.image


def _is_by_place(sort: tuple[Sort, ...]) -> bool:
    keys = tuple(by.key for by in sort)
    return keys == _BY_PLACE and sort[0].descending == sort[1].descending


def _page(
    query: ListQuery,
    caller: Caller,
    rows: Iterator[Row],
    budget: "_Budget",
    weigh: Callable[[Image], int],
) -> Page:
    images: list[Image] = []
    last_seen = None
    reads, size, weight = 0, min(query.limit, _SLICE_MAX), 0
    while some := list(islice(rows, size)):
        if reads >= settings.current.page_reads_max:
            budget.spent_on = f"{reads} images"
            break
        for image in _listed(query, caller, some):
            if all(test(image) for test in query.tests):
                weight += weigh(image)
                if images and weight > PAGE_BYTES_MAX:
                    return Page(images, last_seen)
                images.append(image)
            last_seen = image.id
            if len(images) == query.limit:
                return Page(images, last_seen)
        reads += len(some)
        size = min(2 * size, _SLICE_MAX)
    if budget.spent_on is None:
        return Page(images, None)
    if images:
        return Page(images, last_seen)
    filters = ", ".join(query.filters) or "the list"
    raise BadRequest(
        f"No image that fits {filters} was found within {budget.spent_on}, which is"
        " what one request may look at. Narrow the list by name, owner or visibility,"
        " or start at its other end."
    )


def _listed(query: ListQuery, caller: Caller, rows: list[Row]) -> Iterator[Image]:
    """Read candidates from the table, and keep those that belong in the caller's list.

    A hint may tell of a place where the image never was: that of a new image whose id
    was taken.
    """
    truth = indexes.load_listed(rows, None if caller.is_admin else caller.project_id)
    for row in rows:
        image = policy.listed(
            caller, truth[row.image_id], query.visibility, query.member_status
        )
        if image and list_position(image.created_at, image.id).endswith(row.position):
            yield image


@dataclass(slots=True)
class _Budget:
    """How many index rows a request may look at, how many it did, and what ended it."""

    rows: int
    looked_at: int = 0
    spent_on: str | None = None


@dataclass(slots=True)
class _Head:
    """
    Where the merge stands in one range: rows fetched, and where to fetch the next.
    """

    run: Range
    after: str | None
    rows: deque[Row] = field(default_factory=deque)
    done: bool = False

    def fetch(self, query: ListQuery, limit: int) -> int:
        """Fetch the next rows; give how many the index looked at."""
        rows, self.after, looked_at = indexes.query_range(
            query, self.run, self.after, limit
        )
        self.rows.extend(rows)
        self.done = self.after is None
        return looked_at

    def take(self, position: str) -> list[Row]:
        """
        Take the rows at a place: none, one, or two where the owner is also a member.
        """
        taken = []
        while self.rows and self.rows[0].position == position:
            taken.append(self.rows.popleft())
        return taken


def _candidates(
    query: ListQuery,
    caller: Caller,
    after: str | None,
    budget: _Budget,
    chunk: int,
) -> Iterator[Row]:
    """Merge the ranges and the hints into one run of candidates, each image once.

    A row is passed on only when no range can still hold an earlier one.
    """
    heads = [_Head(run, after) for run in indexes.choose_ranges(query, caller)]
    recents = _Head(Range("", ""), None, done=True)

    places: list[str] = []

    def recent(part: str) -> int:
        places.extend(query_recent(caller.project_id, part))
        return 0

    parts = indexes.recent_parts(query, caller) if heads else []
    first: list[Any] = [partial(recent, part) for part in parts]
    while True:
        empty = [head for head in heads if not head.rows and not head.done]
        fetches = [partial(head.fetch, query, chunk) for head in empty]
        if fetches or first:
            if budget.looked_at >= budget.rows:
                budget.spent_on = f"{budget.looked_at} index rows"
                return
            budget.looked_at += sum(dynamodb.together(*fetches, *first))
            if first:
                rows = _in_order(places, after, descending=query.descending)
                recents.rows.extend(rows)
            first, chunk = [], min(2 * chunk, _CHUNK_MAX)
            continue
        waiting = [head for head in (*heads, recents) if head.rows]
        if not waiting:
            return
        nearest = max if query.descending else min
        best = nearest(head.rows[0].position for head in waiting)
        yield _one([row for head in waiting for row in head.take(best)])


def _in_order(
    places: Iterable[str], after: str | None, *, descending: bool
) -> list[Row]:
    left = {
        place
        for place in places
        if after is None or (place < after if descending else place > after)
    }
    return [Row(place) for place in sorted(left, reverse=descending)]


def _one(rows: list[Row]) -> Row:
    """Make one candidate of the rows that propose the same image."""
    first = rows[0]
    known = all(row.known for row in rows)
    return Row(
        first.position,
        known=known,
        name=first.name if known else None,
        is_membership=any(row.is_membership for row in rows),
    )


def _sorted(query: ListQuery, caller: Caller, marker: Image | None) -> Iterator[Row]:
    """Gather all that may be in the list, and sort it by what was asked for.

    The index knows names; for anything else, every candidate is read.
    """
    rows = _gathered(query, caller)
    in_rows = _IN_ROWS.issuperset(by.key for by in query.sort)
    entries = [
        (_values(query.sort, partial(_of_row, row)), row)
        for row in rows
        if in_rows and row.known
    ]
    unknown = (row for row in rows if not (in_rows and row.known))
    while some := list(islice(unknown, _SLICE_MAX)):
        entries += [
            (
                _values(query.sort, partial(_of_image, image)),
                Row(list_position(image.created_at, image.id)),
            )
            for image in _listed(query, caller, some)
        ]
    for place, by in reversed(list(enumerate(query.sort))):
        entries.sort(key=lambda entry: entry[0][place], reverse=by.descending)
    if marker is None:
        return (row for _, row in entries)
    last = _values(query.sort, partial(_of_image, marker))
    return (row for values, row in entries if _is_after(values, last, query.sort))


def _gathered(query: ListQuery, caller: Caller) -> list[Row]:
    if query.ids is not None:
        return [Row(f"#{one}") for one in dict.fromkeys(query.ids) if is_image_id(one)]
    most = settings.current.sort_images_max
    budget = _Budget(2 * most)
    candidates = _candidates(query, caller, None, budget, chunk=_SORT_CHUNK)
    rows = list(islice(candidates, most + 1))
    if len(rows) > most or budget.spent_on:
        raise BadRequest(
            f"More than {most} images, or {budget.rows} index rows, are too many to"
            " sort. Narrow the list by name, owner or visibility, or sort by"
            " created_at alone."
        )
    return rows


def _of_row(row: Row, key: str) -> str | None:
    if key == "name":
        return row.name
    created_at, _, image_id = row.position.rpartition("#")
    return image_id if key == "id" else created_at


def _of_image(image: Image, key: str) -> Any:  # noqa: ANN401 - whatever the key holds
    return stored(getattr(image, key))


def _values(
    sort: tuple[Sort, ...], get: Callable[[str], Any]
) -> list[tuple[bool, Any]]:
    """Give what to compare, key by key; null comes before everything, as recorded."""
    values = [get(by.key) for by in sort]
    return [(value is not None, "" if value is None else value) for value in values]


def _is_after(
    values: list[tuple[bool, Any]],
    last: list[tuple[bool, Any]],
    sort: tuple[Sort, ...],
) -> bool:
    for value, bound, by in zip(values, last, sort, strict=True):
        if value != bound:
            return bool(value < bound if by.descending else value > bound)
    return False
