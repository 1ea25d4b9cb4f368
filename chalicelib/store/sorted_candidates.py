"""Candidates of a list in the order of anything but creation."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from chalicelib import settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, is_image_id
from chalicelib.domain.list_queries import ListQuery, Sort
from chalicelib.errors import BadRequest
from chalicelib.store import indexes
from chalicelib.store.candidates import Budget, BudgetSpentError, Candidates
from chalicelib.store.indexes import Row
from chalicelib.store.keys import is_whole, list_position, name_prefix
from chalicelib.store.mapping import stored

SLICE_MAX: Final = 250
"""Maximum number of images that are read at once: of 384 KB, they take some 300 MB."""

_CHUNK: Final = 1_000
_IN_ROWS: Final = frozenset({"name", "created_at", "id"})


class _Reversed:
    """A value that sorts the other way."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 - any that sorts
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.value == other.value

    __hash__ = None  # type: ignore[assignment] # it is only compared

    def __lt__(self, other: "_Reversed") -> bool:
        return bool(other.value < self.value)


SortValues = tuple[Any, ...]
"""What an image's place in a sorted list depends on, to compare."""


class Entry(NamedTuple):
    """A candidate with its place in the list, and the image where it was read."""

    values: SortValues
    row: Row
    image: Image | None = None


Read = Callable[[list[Row]], Iterable[Image]]
"""Read candidates from the table, and keep those that belong in the list."""


def sort_values(sort: tuple[Sort, ...], image: Image) -> SortValues:
    """Return an image's place in a list that is sorted by some keys."""
    return _values(sort, lambda key: stored(getattr(image, key)))


def _row_values(sort: tuple[Sort, ...], row: Row) -> SortValues:
    created_at, _, image_id = row.position.rpartition("#")
    held = {"name": row.name, "created_at": created_at, "id": image_id}
    return _values(sort, held.__getitem__)


def _values(sort: tuple[Sort, ...], get: Callable[[str], Any]) -> SortValues:
    """Return what to compare, key by key; null comes before everything, as recorded."""
    values = []
    for by in sort:
        value = get(by.key)
        comparable = (value is not None, "" if value is None else value)
        values.append(_Reversed(comparable) if by.descending else comparable)
    return tuple(values)


def sorted_candidates(
    query: ListQuery, caller: Caller, marker: Image | None, budget: Budget, read: Read
) -> Iterator[Entry]:
    """Return what may be in a list, in the order of its sort keys, after the marker.

    All of the caller's own range is gathered and sorted, by what index rows say or by
    what is read. In the order of names, public and community images are not gathered:
    they stand in that order in `by-name`. Where a row's copies are older than its
    image, the row's place may be that of the old name.

    Raises:
        BadRequest: There are too many images to sort.
        BudgetSpentError: On iteration: the budget is spent before the end.
    """
    after = sort_values(query.sort, marker) if marker else None
    partitions: list[str] = []
    rows: Iterable[Row]
    if query.ids is not None:
        ids = dict.fromkeys(query.ids)
        rows = [Row(f"#{image_id}") for image_id in ids if is_image_id(image_id)]
        named = []
    else:
        ranges = indexes.choose_ranges(query, caller)
        if _is_by_name(query):
            ranges, partitions = indexes.split_named(ranges)
        named = [
            _Names(query, partition, marker, budget, read) for partition in partitions
        ]
        rows = _gather(query, caller, ranges, named)
    entries = _entries(query, rows, read)
    gathered = {entry.row.image_id for entry in entries}
    streams = [
        (entry for entry in names if entry.row.image_id not in gathered)
        for names in named
    ]
    # Only values are compared: they end in the id, and an id is in one stream, unless
    # an index lags.
    merged = heapq.merge(sorted(entries, key=_BY_VALUES), *streams, key=_BY_VALUES)
    return (entry for entry in merged if after is None or after < entry.values)


_BY_VALUES: Final = itemgetter(0)


def _is_by_name(query: ListQuery) -> bool:
    keys = [by.key for by in query.sort]
    return keys[0] == "name" and query.name is None and _IN_ROWS.issuperset(keys)


def _gather(
    query: ListQuery,
    caller: Caller,
    ranges: list[indexes.Range],
    named: "list[_Names]",
) -> list[Row]:
    most = settings.current.sort_images_max
    budget = Budget(2 * most)
    candidates = Candidates(
        query,
        caller,
        ranges=ranges,
        budget=budget,
        chunk=_CHUNK,
        beside=[names.fetch for names in named],
    )
    with suppress(BudgetSpentError):
        rows = list(islice(candidates, most + 1))
        if len(rows) <= most:
            return rows
    raise BadRequest(
        f"More than {most} images, or {budget.rows_max} index rows, are too many to"
        " sort. Narrow the list by name, owner or visibility, or sort by"
        " created_at alone."
    )


def _entries(query: ListQuery, rows: Iterable[Row], read: Read) -> list[Entry]:
    """Return each row's place: as the row says, or as the image that it proposes."""
    in_rows = _IN_ROWS.issuperset(by.key for by in query.sort)
    known: list[Row] = []
    unknown: list[Row] = []
    for row in rows:
        (known if in_rows and row.known else unknown).append(row)
    entries = [Entry(_row_values(query.sort, row), row) for row in known]
    # What was read for its place needs no second reading, as far as memory goes.
    keeps = len(unknown) <= SLICE_MAX
    return entries + list(_read_entries(query, unknown, read, keeps=keeps))


def _read_entries(
    query: ListQuery, rows: Iterable[Row], read: Read, *, keeps: bool
) -> Iterator[Entry]:
    left = iter(rows)
    while batch := list(islice(left, SLICE_MAX)):
        for image in read(batch):
            row = Row(list_position(image.created_at, image.id))
            kept = image if keeps else None
            yield Entry(sort_values(query.sort, image), row, kept)


class _Names:
    """The images of a partition of `by-name`, in the order of a list."""

    def __init__(
        self,
        query: ListQuery,
        partition: str,
        marker: Image | None,
        budget: Budget,
        read: Read,
    ) -> None:
        self._query, self._partition = query, partition
        self._budget, self._read = budget, read
        self._chunk = min(query.limit + 1, _CHUNK)
        self._rows: deque[tuple[str, Row]] = deque()
        self._done = False
        # Ties go the way of the index, unless asked otherwise or cut names hide them.
        self._is_straight = [by.key for by in query.sort] == [
            "name",
            "created_at",
            "id",
        ] and len({by.descending for by in query.sort}) == 1
        self._after = None
        if marker is not None:
            prefix = name_prefix(marker.name)
            position = list_position(marker.created_at, marker.id)
            is_exact = self._is_straight and is_whole(prefix)
            self._after = prefix + position if is_exact else None
            self._from = None if is_exact else prefix
        else:
            self._from = None

    def fetch(self) -> int:
        """Fetch the next rows, and return how many the index looked at."""
        rows, self._after, looked_at = indexes.query_names(
            self._query,
            self._partition,
            start=self._from,
            after=self._after,
            limit=self._chunk,
        )
        self._rows.extend(rows)
        self._done = self._after is None
        self._from, self._chunk = None, min(2 * self._chunk, _CHUNK)
        return looked_at

    def __iter__(self) -> Iterator[Entry]:
        """Return the images in order.

        Raises:
            BudgetSpentError: The budget is spent before the end.
        """
        sort = self._query.sort
        for prefix, pairs in groupby(self._all(), key=itemgetter(0)):
            rows = (row for _, row in pairs)
            if not is_whole(prefix):
                entries = _read_entries(self._query, rows, self._read, keeps=False)
                yield from sorted(entries, key=_BY_VALUES)
            elif self._is_straight:
                yield from (Entry(_row_values(sort, row), row) for row in rows)
            else:
                entries = (Entry(_row_values(sort, row), row) for row in rows)
                yield from sorted(entries, key=_BY_VALUES)

    def _all(self) -> Iterator[tuple[str, Row]]:
        while self._rows or not self._done:
            if not self._rows:
                self._budget.check()
                self._budget.looked_at += self.fetch()
                continue
            yield self._rows.popleft()
