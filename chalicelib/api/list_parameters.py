"""The query string of a list of images: its filters, sort keys and paging."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from chalicelib import settings
from chalicelib.domain.images import Image, Visibility, with_lower_case_ids
from chalicelib.domain.list_queries import (
    ALL,
    SORT_DIRECTIONS,
    SORT_KEYS,
    ListQuery,
    Params,
    Sort,
    Test,
)
from chalicelib.domain.members import MemberStatus
from chalicelib.errors import BadRequest

OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": eq, "neq": ne, "lt": lt, "lte": le, "gt": gt, "gte": ge,
}  # fmt: skip
IN: Final = "in"
LISTABLE: Final = ("id", "name", "status", "container_format", "disk_format")
TIMES: Final = ("created_at", "updated_at")
NUMBERS: Final = ("size", "virtual_size", "min_disk", "min_ram")
TEXTS: Final = ("owner", "visibility", "checksum", "os_hash_algo", "os_hash_value")
PAGING: Final = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir"})
OF_IDS: Final = frozenset({"id", "marker"})
IGNORED: Final = frozenset({"deleted"})


def parse_list_query(params: Params) -> ListQuery:
    """Parse a list's query string, as (key, value) pairs in order.

    Of a filter that is given twice the last value counts, but of `tag` each. A key that
    is not of an image filters on the custom property of that name (recorded in
    `list-filters.json`).

    Raises:
        BadRequest: A value is not what its key allows; the message says what is.
    """
    rest = [
        (key, with_lower_case_ids(value) if key in OF_IDS else value)
        for key, value in params
    ]
    limit = _limit(_take(rest, "limit"))
    marker = _take(rest, "marker")
    member_status = _member_status(_take(rest, "member_status"))
    sort = _sort(rest)
    visibility = _visibility(_take(rest, "visibility"))
    tests = [_tag_test(tag) for tag in _take_all(rest, "tag")]
    filters = dict(rest)
    os_hidden = _os_hidden(filters.pop("os_hidden", None))
    tests.append(_hidden_test(os_hidden=os_hidden))
    if visibility not in (None, ALL):
        tests.append(_text_test("visibility", visibility))
    tests += [test for item in filters.items() if (test := _test(*item)) is not None]
    return ListQuery(
        visibility=visibility,
        member_status=member_status,
        owner=filters.get("owner"),
        name=_plain(filters.get("name")),
        ids=_ids(filters.get("id")),
        os_hidden=os_hidden,
        tests=tuple(tests),
        filters=tuple(dict.fromkeys(key for key, _ in params if key not in PAGING)),
        sort=sort,
        limit=limit,
        marker=marker,
    )


def _take(params: Params, key: str) -> str | None:
    """Take the first value of a key out; a second one stays, as a filter."""
    for index, (name, value) in enumerate(params):
        if name == key:
            del params[index]
            return value
    return None


def _take_all(params: Params, key: str) -> list[str]:
    values = []
    while (value := _take(params, key)) is not None:
        values.append(value.strip())
    return values


def _limit(text: str | None) -> int:
    page_size_max = settings.current.page_size_max
    if text is None:
        return min(settings.current.page_size, page_size_max)
    if not re.fullmatch(r"\s*\+?[0-9]{1,1000}\s*", text, re.ASCII):
        raise BadRequest("limit must be a whole number, 0 or more.")
    return min(int(text), page_size_max)


def _member_status(text: str | None) -> str:
    allowed = (*MemberStatus, ALL)
    if text is None:
        return MemberStatus.ACCEPTED
    return _one_of("member_status", text, allowed)


def _visibility(text: str | None) -> str | None:
    # An empty one is not refused but matches nothing, as recorded.
    return _one_of("visibility", text, (*Visibility, ALL)) if text else text


def _os_hidden(text: str | None) -> bool:
    if text is None:
        return False
    return _one_of("os_hidden", text.lower(), ("true", "false")) == "true"


def _one_of(key: str, text: str, allowed: Iterable[str]) -> str:
    words = [str(word) for word in allowed]
    if text not in words:
        raise BadRequest(f"{key} must be one of {', '.join(words)}.")
    return text


def _sort(params: Params) -> tuple[Sort, ...]:
    joined = _take(params, "sort")
    keys = _take_all(params, "sort_key")
    directions = _take_all(params, "sort_dir")
    if joined is not None:
        if keys or directions:
            raise BadRequest("sort cannot be combined with sort_key and sort_dir.")
        pairs = [part.partition(":") for part in joined.strip().split(",")]
        keys = [key.strip() for key, _, _ in pairs]
        directions = [direction.strip() or "desc" for _, _, direction in pairs]
    for key in keys:
        _one_of("sort_key", key, SORT_KEYS)
    for direction in directions:
        _one_of("sort_dir", direction, SORT_DIRECTIONS)
    keys = keys or ["created_at"]
    directions = directions or ["desc"]
    if len(directions) == 1:
        # The keys that break ties go the same way.
        last, directions = directions[0], directions * len(keys)
    else:
        last = "desc"
    if len(directions) != len(keys):
        raise BadRequest("sort_dir must be given once, or once for each sort_key.")
    chosen = dict(reversed(list(zip(keys, directions, strict=True))))
    ordered = {key: chosen[key] for key in keys}
    for key in ("created_at", "id"):
        ordered.setdefault(key, last)
    return tuple(
        Sort(key=key, descending=direction == "desc")
        for key, direction in ordered.items()
    )


def _test(key: str, value: str) -> Test | None:
    """Return the test that a filter stands for, or none if it is ignored."""
    if key in IGNORED:
        return None
    if key == "changes-since":
        raise BadRequest("changes-since is not supported; filter by updated_at.")
    return FILTERS.get(key, _property_test)(key, value)


def _property_test(key: str, value: str) -> Test:
    return lambda image: image.properties.get(key) == value


def _tag_test(tag: str) -> Test:
    return lambda image: tag in image.tags


def _protected_test(key: str, value: str) -> Test:
    wanted = _one_of(key, value, ("true", "false")) == "true"
    return lambda image: image.protected is wanted


def _hidden_test(*, os_hidden: bool) -> Test:
    return lambda image: image.os_hidden is os_hidden


def _text_test(key: str, value: str | None) -> Test:
    return lambda image: getattr(image, key) == value


def _number_test(key: str, value: str) -> Test:
    wanted = value.strip()

    def test(image: Image) -> bool:
        held = getattr(image, key)
        return held is not None and str(held) == wanted

    return test


def _range_test(key: str, value: str) -> Test:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", value, re.ASCII):
        raise BadRequest(f"{key} must be a whole number.")
    bound, name = int(value), key[:-4]
    compare = ge if key.endswith("_min") else le

    def test(image: Image) -> bool:
        held = getattr(image, name)
        return held is not None and bool(compare(held, bound))

    return test


def _list_test(key: str, value: str) -> Test:
    operator, operand = _operator(value)
    if operator == "eq":
        return _text_test(key, operand)
    if operator == IN:
        wanted = _unquoted(key, operand)
        return lambda image: getattr(image, key) in wanted
    raise BadRequest(f"{key} supports the operators in and eq, not {operator}.")


def _time_test(key: str, value: str) -> Test:
    operator, operand = _operator(value)
    compare = OPERATORS.get(operator)
    try:
        bound = datetime.fromisoformat(operand.strip())
    except ValueError:
        bound = None
    if compare is None or bound is None:
        raise BadRequest(
            f"{key} must be a time such as 2026-11-24T08:00:00Z, optionally"
            f" after one of {', '.join(f'{name}:' for name in OPERATORS)}."
        )
    second = _second(bound)
    return lambda image: bool(compare(_second(getattr(image, key)), second))


def _second(time: datetime) -> datetime:
    """Cut a time to the second, which is all that clients see of it."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware.replace(microsecond=0)


def _operator(value: str) -> tuple[str, str]:
    """Split `in:a,b` into its operator and the rest; a plain value is `eq`.

    Only a known operator is one: names such as `ubuntu:24.04` are looked up as they
    are.
    """
    operator, colon, operand = value.partition(":")
    if colon and (operator in OPERATORS or operator == IN):
        return operator, operand
    return "eq", value


def _plain(value: str | None) -> str | None:
    if value is None:
        return None
    operator, operand = _operator(value)
    return operand if operator == "eq" else None


def _ids(value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    operator, operand = _operator(value)
    return (operand,) if operator == "eq" else tuple(_unquoted("id", operand))


def _unquoted(key: str, text: str) -> list[str]:
    """
    Split `a,"b, c"` at its commas; double quotes hold one that is part of a value.
    """
    values = []
    while text:
        if text.startswith('"'):
            value, closed, text = text[1:].partition('"')
            well_formed = closed and text[:1] in ("", ",")
            text = text[1:]
        else:
            value, _, text = text.partition(",")
            well_formed = '"' not in value
        if not well_formed:
            raise BadRequest(
                f"{key} after in: must be values separated by commas; double"
                " quotes must enclose a whole value."
            )
        values.append(value)
    return values


FILTERS: Final[dict[str, Callable[[str, str], Test]]] = {
    "protected": _protected_test,
    **dict.fromkeys(TIMES, _time_test),
    **dict.fromkeys(LISTABLE, _list_test),
    **dict.fromkeys(NUMBERS, _number_test),
    **dict.fromkeys((f"{name}_min" for name in NUMBERS), _range_test),
    **dict.fromkeys((f"{name}_max" for name in NUMBERS), _range_test),
    **dict.fromkeys(TEXTS, _text_test),
}
"""
What each key of an image is tested by; any other key is that of a custom property.
"""
