"""Candidates of a list in order of creation: index rows and recent changes, merged."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from chalicelib.domain.caller import Caller
from chalicelib.domain.list_queries import ListQuery
from chalicelib.domain.members import MemberStatus
from chalicelib.store import dynamodb, indexes
from chalicelib.store.indexes import Range, Row
from chalicelib.store.keys import PART_OF
from chalicelib.store.recent_changes import query_recent

_CHUNK_MAX: Final = 5_000
"""Maximum number of rows that one query of a range looks at."""


class BudgetSpentError(Exception):
    """More index rows are left than a request may look at."""


class Budget:
    """How many index rows a request may look at, and how many it did."""

    def __init__(self, rows_max: int) -> None:
        self.rows_max = rows_max
        self.looked_at = 0

    def check(self) -> None:
        """Raise where nothing is left.

        Raises:
            BudgetSpentError: It is spent, and more rows are left.
        """
        if self.looked_at >= self.rows_max:
            raise BudgetSpentError


class _Head:
    """Where the merge stands in a range: rows fetched, and where to fetch the next."""

    def __init__(self, run: Range, after: str | None) -> None:
        self.run = run
        self.after = after
        self.rows: deque[Row] = deque()
        self.done = False

    def fetch(self, query: ListQuery, limit: int) -> int:
        """Fetch the next rows, and return how many the index looked at."""
        rows, self.after, looked_at = indexes.query_range(
            query, self.run, self.after, limit
        )
        self.rows.extend(rows)
        self.done = self.after is None
        return looked_at


class Candidates:
    """All that may be in a list, in order of creation, each image once.

    Iterate once. The budget counts the rows looked at; where it is spent before the
    end, the iteration raises. A row is passed on only when no range can still hold an
    earlier one.
    """

    def __init__(  # noqa: PLR0913 - two callers, which name them
        self,
        query: ListQuery,
        caller: Caller,
        *,
        ranges: Sequence[Range],
        budget: Budget,
        chunk: int,
        after: str | None = None,
        beside: Sequence[Callable[[], int]] = (),
    ) -> None:
        """Prepare the merge of *ranges* after a place, by queries of *chunk* rows.

        The calls of *beside* are made with the first queries; each returns how many
        rows it looked at.
        """
        self._query, self._after = query, after
        self._budget, self._chunk = budget, chunk
        self._heads = [_Head(run, after) for run in ranges]
        self._hints: dict[str, Row] = {}
        self._recent: deque[Row] = deque()
        parts = indexes.recent_parts(query, caller) if ranges or beside else []
        self._first: list[Callable[[], int]] = [
            *(partial(self._read_recent, caller.project_id, part) for part in parts),
            *beside,
        ]

    def __iter__(self) -> Iterator[Row]:
        """Merge the rows.

        Raises:
            BudgetSpentError: The budget is spent before the end.
        """
        nearest = max if self._query.descending else min
        while True:
            while self._fetch():
                pass
            runs = (*(head.rows for head in self._heads), self._recent)
            waiting = [rows for rows in runs if rows]
            if not waiting:
                return
            place = nearest(rows[0].position for rows in waiting)
            yield _merged([row for rows in waiting for row in _take(rows, place)])

    def _fetch(self) -> bool:
        """Fetch rows of each range that has none left; return whether any was asked."""
        empty = [head for head in self._heads if not head.rows and not head.done]
        fetches: list[Callable[[], int]] = [
            partial(head.fetch, self._query, self._chunk) for head in empty
        ]
        if not fetches and not self._first:
            return False
        self._budget.check()
        self._budget.looked_at += sum(dynamodb.in_parallel(*fetches, *self._first))
        if self._first:
            places = sorted(self._hints, reverse=self._query.descending)
            self._recent.extend(self._hints[place] for place in places)
        self._first, self._chunk = [], min(2 * self._chunk, _CHUNK_MAX)
        return True

    def _read_recent(self, project_id: str, part: str) -> int:
        places = query_recent(project_id, part)
        by_others = part == PART_OF[MemberStatus.PENDING]
        for place in filter(self._is_after, places):
            if not by_others:
                self._hints[place] = Row(place)
            else:
                self._hints.setdefault(place, Row(place, is_offered=True))
        return len(places)

    def _is_after(self, place: str) -> bool:
        if self._after is None:
            return True
        return place < self._after if self._query.descending else place > self._after


def _take(rows: deque[Row], place: str) -> list[Row]:
    """Take the rows at a place: none, one, or two where the owner is also a member."""
    taken = []
    while rows and rows[0].position == place:
        taken.append(rows.popleft())
    return taken


def _merged(rows: list[Row]) -> Row:
    """Merge the rows that propose the same image into one candidate."""
    first = rows[0]
    known = all(row.known for row in rows)
    return Row(
        first.position,
        known=known,
        name=first.name if known else None,
        is_membership=any(row.is_membership for row in rows),
        is_offered=all(row.is_offered for row in rows),
    )
