"""A page of images: candidates from the indexes, the truth from the table.

The indexes only propose. Each candidate is read from the table before it is listed, so
that what was deleted, unshared or answered a moment ago is listed as it is now; what
the indexes do not know yet is proposed by the project's own recent changes (`RECENT#`).
"""

import json
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain, count, islice
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

from chalicelib import settings
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.domain.list_queries import ListQuery
from chalicelib.errors import BadRequest
from chalicelib.store import images as image_store
from chalicelib.store import indexes
from chalicelib.store.candidates import Budget, BudgetSpentError, Candidates
from chalicelib.store.indexes import Row
from chalicelib.store.keys import list_position
from chalicelib.store.sorted_candidates import (
    SLICE_MAX,
    Entry,
    SortValues,
    sort_values,
    sorted_candidates,
)

PAGE_BYTES_MAX: Final = 4 * 2**20
"""Maximum size of a page in Lambda's response, in bytes; the response ends at 6 MB."""

_READ_UNIT: Final = 4_096
"""What a read unit reads, in bytes: an image that is larger counts as several."""

_BESIDE_MAX: Final = 4_096
"""Maximum size of what an image has beside tags and properties, in bytes."""

_CHUNK_MAX: Final = 5_000
_BY_PLACE: Final = ["created_at", "id"]

_T = TypeVar("_T")
Encode = Callable[[Image], str]
"""Encode an image as the response has it."""


class Page(NamedTuple):
    """The encoded images of a page, and the next marker if there may be more."""

    images: list[str]
    next_marker: str | None


def list_images(query: ListQuery, caller: Caller, encode: Encode) -> Page:
    """Return the page of images that a query asks for, each encoded once.

    Raises:
        BadRequest: The marker is not an image that the caller can see; or the filters
            match nothing in as much as a request may read; or there are too many images
            to sort.
    """
    marker = _marker(query, caller)
    if query.limit == 0:
        return Page([], None)
    budget = Budget(settings.current.page_rows_max)
    page = _Page(query, encode)
    try:
        if _is_by_place(query):
            _fill_by_place(page, query, caller, marker, budget)
        else:
            _fill_sorted(page, query, caller, marker, budget)
    except BudgetSpentError:
        return page.cut(f"{budget.looked_at} index rows")
    except _ReadsSpentError as exc:
        return page.cut(f"{exc.reads} images")
    except _FullError:
        return page.end(has_next=True)
    return page.end(has_next=False)


def _marker(query: ListQuery, caller: Caller) -> Image | None:
    if query.marker is None:
        return None
    found = image_store.load_image(query.marker, caller.project_id)
    if found.image is None or not policy.sees(caller, found):
        raise BadRequest(
            f"marker must be the ID of an image, not {query.marker[:36]!r}."
        )
    return found.image


def _is_by_place(query: ListQuery) -> bool:
    by_place = [by.key for by in query.sort] == _BY_PLACE
    same_way = len({by.descending for by in query.sort}) == 1
    return by_place and same_way and query.ids is None


class _FullError(Exception):
    """The page holds what it may."""


class _ReadsSpentError(Exception):
    """More candidates are left than a request may read from the table."""

    def __init__(self, reads: int) -> None:
        super().__init__(reads)
        self.reads = reads


class _Page:
    """A page while it is filled, in order."""

    def __init__(self, query: ListQuery, encode: Encode) -> None:
        self._query, self._encode = query, encode
        self._images: list[tuple[SortValues, str]] = []
        self._last: tuple[SortValues, str] | None = None
        self._weight = 0

    def add(self, values: SortValues, image: Image) -> None:
        """Add an image that belongs in the list, if it passes the filters.

        Raises:
            _FullError: Now it holds all it may, or would hold too much.
        """
        if all(test(image) for test in self._query.tests):
            text = self._encode(image)
            # Lambda's response is ASCII JSON that holds the body as a string.
            self._weight += len(json.dumps(text))
            if self._images and self._weight > PAGE_BYTES_MAX:
                raise _FullError
            insort(self._images, (values, text), key=itemgetter(0))
        if self._last is None or self._last[0] < values:
            self._last = values, image.id
        if len(self._images) == self._query.limit:
            raise _FullError

    @property
    def room(self) -> int:
        """How many images fit, if all are as large as one may be; the first always."""
        most = settings.current.property_bytes_max + _BESIDE_MAX
        left = (PAGE_BYTES_MAX - self._weight) // most
        return left if self._images else max(1, left)

    def end(self, *, has_next: bool) -> Page:
        """Return the page; the next one goes on behind the last image looked at."""
        marker = self._last[1] if has_next and self._last else None
        return Page([text for _, text in self._images], marker)

    def cut(self, bound: str) -> Page:
        """Return the page that ends early at a bound.

        Raises:
            BadRequest: It is empty: to clients, that would be the end of the list.
        """
        if self._images:
            return self.end(has_next=True)
        filters = ", ".join(self._query.filters) or "the list"
        raise BadRequest(
            f"No image that matches {filters} was found within {bound}, the limit of"
            " one request. Narrow the list by name, owner or visibility, or reverse its"
            " order."
        )


def _fill_by_place(
    page: _Page, query: ListQuery, caller: Caller, marker: Image | None, budget: Budget
) -> None:
    """Fill a page of the list in order of creation, which the candidates come in."""
    candidates = Candidates(
        query,
        caller,
        ranges=indexes.choose_ranges(query, caller),
        budget=budget,
        chunk=min(query.limit + 1, _CHUNK_MAX),
        after=list_position(marker.created_at, marker.id) if marker else None,
    )
    reader, place = _Reader(query, caller), count()
    for rows in _slices(page, reader, candidates):
        for image in reader.read(rows):
            page.add((next(place),), image)


def _fill_sorted(
    page: _Page, query: ListQuery, caller: Caller, marker: Image | None, budget: Budget
) -> None:
    """Fill a page of the list in the order of other keys.

    An image whose row has an old name is put where it belongs now; one that belonged
    before the marker is left out, as it would be had its row been in time.
    """
    after = sort_values(query.sort, marker) if marker else None
    reader, gathering = _Reader(query, caller), _Reader(query, caller)
    entries = sorted_candidates(query, caller, marker, budget, gathering.read)
    waiting: list[tuple[SortValues, int, Image]] = []
    seen: set[str] = set()
    for batch in _slices(page, reader, entries):
        for image in _read_entries(batch, reader.read):
            values = sort_values(query.sort, image)
            if image.id not in seen and (after is None or after < values):
                heappush(waiting, (values, len(seen), image))
            seen.add(image.id)
        while waiting and not batch[-1].values < waiting[0][0]:
            _add_first(page, waiting)
    while waiting:
        _add_first(page, waiting)


def _add_first(page: _Page, waiting: list[tuple[SortValues, int, Image]]) -> None:
    values, _, image = heappop(waiting)
    page.add(values, image)


def _read_entries(
    batch: list[Entry], read: Callable[[list[Row]], list[Image]]
) -> Iterator[Image]:
    yield from read([entry.row for entry in batch if entry.image is None])
    yield from (entry.image for entry in batch if entry.image is not None)


class _Reader:
    """Reads candidates from the table, and counts what that costs."""

    def __init__(self, query: ListQuery, caller: Caller) -> None:
        self.query, self.caller = query, caller
        self.images = 0
        self.units = 0

    def read(self, rows: list[Row]) -> list[Image]:
        """Read candidates, and return those that belong in the caller's list.

        A recent change may have a place where the image never was: that of a new image
        whose id was taken.
        """
        query, caller = self.query, self.caller
        if not caller.is_admin:
            rows = indexes.drop_ended_offers(
                rows, caller.project_id, query.member_status
            )
        project_id = None if caller.is_admin else caller.project_id
        truth = indexes.load_listed(rows, project_id)
        self.images += len(rows)
        self.units += sum(_read_units(found.image) for found in truth.values())
        images = []
        for row in rows:
            image = policy.listed(
                caller, truth[row.image_id], query.visibility, query.member_status
            )
            if image and list_position(image.created_at, image.id).endswith(
                row.position
            ):
                images.append(image)
        return images


def _read_units(image: Image | None) -> int:
    """Return how many units an image's tags and properties cost to read, at least one.

    As a page of a list holds images of any size, this bounds what it reads in bytes.
    """
    if image is None:
        return 1
    texts = chain(image.tags, image.properties, image.properties.values())
    return 1 + sum(map(len, texts)) // _READ_UNIT


def _slices(
    page: _Page, reader: _Reader, candidates: Iterable[_T]
) -> Iterator[list[_T]]:
    """Cut candidates into slices to read: the first of as many as the page may hold.

    Of large images no more are read than fit into the page.

    Raises:
        _FullError: More are left, and none of them is sure to fit.
        _ReadsSpentError: More are left than a request may read.
    """
    left = iter(candidates)
    size = min(reader.query.limit, SLICE_MAX)
    while batch := list(islice(left, max(1, min(size, page.room)))):
        if not page.room:
            raise _FullError
        if reader.units >= settings.current.page_reads_max:
            raise _ReadsSpentError(reader.images)
        yield batch
        size = min(2 * size, SLICE_MAX)
