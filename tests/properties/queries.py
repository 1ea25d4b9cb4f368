"""Any query of a list, and the naive list that it stands for: in memory, one by one.

Written from what the reference answered (`tests/contract/list-*.json`), in terms of
what a query means; the text of a query is only ever made here, never read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cmp_to_key, partial
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import MemberStatus
from tests.properties.worlds import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    IDS,
    NAMES,
    NO_ID,
    NOW,
    NUMBERS,
    PROJECTS,
    PROPERTIES,
    STATUSES,
    TAGS,
    TIMES,
    WORDS,
    State,
)

Pairs = list[tuple[str, str]]
Who = tuple[str, str]
"""A caller's project and roles."""

LISTABLE = {
    "id": (*IDS, NO_ID, "nope"),
    "name": (*(name for name in NAMES if name is not None), "nope"),
    "status": (*STATUSES, "nonsense"),
    "disk_format": (*DISK_FORMATS[1:], ""),
    "container_format": (*CONTAINER_FORMATS[1:], ""),
}
"""What takes `in:` and `eq:`, and values to look for."""
PLAIN = frozenset(
    value
    for values in LISTABLE.values()
    for value in values
    if value and "," not in value and '"' not in value
)
"""What needs no quotes around it."""
TEXTS: dict[str, tuple[str, ...]] = {
    **LISTABLE,
    "owner": (*PROJECTS, "nobody"),
    "checksum": ("c0", "c1", "", "None"),
    "os_hash_algo": ("sha512", "md5"),
}
SIZES = ("size", "virtual_size", "min_disk", "min_ram")
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": eq, "eq:": eq, "neq:": ne, "lt:": lt, "lte:": le, "gt:": gt, "gte:": ge,
}  # fmt: skip
SORT_KEYS = (
    "name", "status", "container_format", "disk_format",
    "size", "id", "created_at", "updated_at",
)  # fmt: skip
WRITINGS: tuple[Callable[[datetime], str], ...] = (
    lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda time: time.strftime("%Y-%m-%dT%H:%M:%S"),
    lambda time: time.astimezone(timezone(timedelta(hours=-5))).isoformat(),
)
"""The ways to write a time of a whole second."""


@dataclass(frozen=True)
class Filter:
    """A parameter that narrows a list, and what it lets through."""

    key: str
    value: str
    fits: Callable[[Image], bool] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Sorting:
    """
    The parameters that sort a list, and the keys, each with its way, that they mean.
    """

    pairs: tuple[tuple[str, str], ...]
    order: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Query:
    """All that a list may be asked for, but for its pages."""

    filters: tuple[Filter, ...]
    visibility: str | None
    member_status: str | None
    os_hidden: str | None
    sorting: Sorting

    def pairs(self, limit: int | None) -> Pairs:
        """Return the parameters of the query for pages of a size."""
        named = {
            "visibility": self.visibility,
            "member_status": self.member_status,
            "os_hidden": self.os_hidden,
            "limit": None if limit is None else str(limit),
        }
        return [
            *((one.key, one.value) for one in self.filters),
            *((key, value) for key, value in named.items() if value is not None),
            *self.sorting.pairs,
        ]


def target(pairs: Pairs) -> str:
    """Write the target of a list."""
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"


def _near(held: Any, others: Iterable[Any]) -> st.SearchStrategy[Any]:
    """Draw what an image holds, most of the time, or something else."""
    rest = tuple(others)
    same = () if held is None else (held,) * 6 * len(rest)
    return st.sampled_from((*same, *rest))


@st.composite
def _equal(draw: st.DrawFn, like: Image) -> Filter:
    # These choose what the service reads.
    key = draw(st.sampled_from((*TEXTS, "owner", "owner", "name", "name", "id")))
    value = draw(_near(getattr(like, key), TEXTS[key]))
    takes = key in LISTABLE
    bare = not (takes and (value.startswith("in:") or draw(st.booleans())))
    text = value if bare else f"eq:{value}"
    return Filter(key, text, lambda image: getattr(image, key) == value)


@st.composite
def _among(draw: st.DrawFn, like: Image) -> Filter:
    key = draw(st.sampled_from(sorted(LISTABLE)))
    # What holds a double quote cannot be said.
    near = _near(getattr(like, key), LISTABLE[key])
    values = draw(st.lists(near.filter(lambda one: '"' not in one), max_size=3))
    text = ",".join(
        value if value in PLAIN and draw(st.booleans()) else f'"{value}"'
        for value in values
    )
    return Filter(key, f"in:{text}", lambda image: getattr(image, key) in values)


@st.composite
def _timed(draw: st.DrawFn, like: Image) -> Filter:
    key = draw(st.sampled_from(("created_at", "updated_at")))
    operator = draw(st.sampled_from(sorted(COMPARE)))
    times = (*TIMES, NOW + timedelta(seconds=1))
    bound = draw(_near(getattr(like, key), times)).replace(microsecond=0)
    write = draw(st.sampled_from(WRITINGS))

    def fits(image: Image) -> bool:
        # Clients see whole seconds.
        shown = getattr(image, key).replace(microsecond=0)
        return COMPARE[operator](shown, bound)

    return Filter(key, operator + write(bound), fits)


@st.composite
def _sized(draw: st.DrawFn, like: Image) -> Filter:
    key = draw(st.sampled_from(SIZES))
    number = draw(_near(getattr(like, key), (-1, *NUMBERS, 99, None)))
    which, compare = draw(st.sampled_from((("", eq), ("_min", ge), ("_max", le))))
    if number is None:
        return Filter(key, "None", lambda _: False)

    def fits(image: Image) -> bool:
        held = getattr(image, key)
        return held is not None and compare(held, number)

    return Filter(f"{key}{which}", str(number), fits)


@st.composite
def _tagged(draw: st.DrawFn, like: Image) -> Filter:
    own = draw(st.sampled_from((None, *like.tags)))
    tag = draw(_near(own, (*TAGS, "nope")))
    return Filter("tag", tag, lambda image: tag in image.tags)


@st.composite
def _protected(draw: st.DrawFn, like: Image) -> Filter:
    wanted = draw(_near(like.protected, (True, False)))
    text = str(wanted).lower()
    return Filter("protected", text, lambda image: image.protected is wanted)


@st.composite
def _with_property(draw: st.DrawFn, like: Image) -> Filter:
    names = (*PROPERTIES, "self", "offset", "is_public")
    key = draw(st.sampled_from((*like.properties, *like.properties, *names)))
    value = draw(_near(like.properties.get(key), WORDS))
    return Filter(key, value, lambda image: image.properties.get(key) == value)


def _filters(like: Image) -> st.SearchStrategy[Filter]:
    return st.one_of(
        _equal(like),
        _among(like),
        _timed(like),
        _sized(like),
        _tagged(like),
        _protected(like),
        _with_property(like),
        st.just(Filter("deleted", "true", lambda _: True)),
    )


@st.composite
def _sortings(draw: st.DrawFn) -> Sorting:
    # Two that the indexes have, one that index rows tell, and one with many ties.
    usual = (["created_at"], ["created_at", "id"], ["name"], ["status", "disk_format"])
    keys: list[str] = draw(
        st.lists(st.sampled_from(SORT_KEYS), max_size=3) | st.sampled_from(usual)
    )
    ways = st.sampled_from(("asc", "desc"))
    joined = draw(st.booleans())
    if keys and joined:
        parts = [(key, draw(st.sampled_from((":asc", ":desc", "")))) for key in keys]
        pairs = [("sort", ",".join(map("".join, parts)))]
        directions = [way[1:] or "desc" for _, way in parts]
    else:
        most = len(keys) or 1
        directions = draw(
            st.lists(ways, max_size=1) | st.lists(ways, min_size=most, max_size=most)
        )
        pairs = [("sort_key", key) for key in keys]
        pairs += [("sort_dir", way) for way in directions]
        keys = keys or ["created_at"]
        directions = directions or ["desc"]
    # What breaks ties goes the way of all keys where one way was said for all.
    last = directions[0] if len(directions) == 1 else "desc"
    if len(directions) == 1:
        directions = directions * len(keys)
    order = [*zip(keys, directions, strict=True), ("created_at", last), ("id", last)]
    return Sorting(tuple(pairs), tuple(order))


def queries(state: State, who: Who) -> st.SearchStrategy[Query]:
    """
    Draw a query of a caller that often fits an image that it sees, or was offered.
    """
    project, roles = who
    seen = [image for image in state.images if sees(state, who, image)]
    statuses = {} if roles == "admin" else state.statuses
    offered = [
        image
        for image in seen
        if image.visibility == "shared"
        and image.owner != project
        and (image.id, project) in statuses
    ]
    images = st.sampled_from(seen or state.images)
    return st.one_of(images, st.sampled_from(offered or seen or state.images)).flatmap(
        lambda image: _queries_like(image, statuses.get((image.id, project)))
    )


def _queries_like(like: Image, status: MemberStatus | None) -> st.SearchStrategy[Query]:
    flag = str(like.os_hidden)
    return st.builds(
        Query,
        st.lists(_filters(like), max_size=2).map(tuple),
        st.none() | _near(like.visibility, (*Visibility, "all", "")),
        _near(status, (None, *MemberStatus, "all")),
        _near(flag, (None, flag.lower(), "true", "False")),
        _sortings(),
    )


def naive_list(state: State, who: Who, query: Query) -> list[Image]:
    """Return the images that a query asks for, in order."""
    hidden = (query.os_hidden or "").lower() == "true"
    found = [
        image
        for image in state.images
        if image.os_hidden is hidden
        and _belongs(state, who, query, image)
        and all(one.fits(image) for one in query.filters)
    ]
    return sorted(found, key=cmp_to_key(partial(compare, query)))


def sees(state: State, who: Who, image: Image) -> bool:
    """Return whether an image exists for a caller."""
    project, roles = who
    return (
        roles == "admin"
        or image.owner == project
        or image.visibility in ("public", "community")
        or (image.visibility == "shared" and (image.id, project) in state.statuses)
    )


def _belongs(state: State, who: Who, query: Query, image: Image) -> bool:
    project, roles = who
    own = image.owner == project
    if query.visibility not in (None, "all", image.visibility):
        return False
    if query.visibility is None and image.visibility == "community" and not own:
        return False
    if not sees(state, who, image):
        return False
    if own or roles == "admin" or image.visibility != "shared":
        return True
    status = state.statuses[image.id, project]
    return (query.member_status or "accepted") in (status, "all")


def compare(query: Query, one: Image, other: Image) -> int:
    """
    Return which of two images comes first: -1 the one, 1 the other. Null is least.
    """
    for key, way in query.sorting.order:
        left, right = getattr(one, key), getattr(other, key)
        if left == right:
            continue
        is_less = left is None or (right is not None and left < right)
        return -1 if is_less == (way == "asc") else 1
    return 0


def sort_values(query: Query, image: Image) -> list[Any]:
    """Return what an image's place in a list depends on."""
    return [getattr(image, key) for key, _ in query.sorting.order]
