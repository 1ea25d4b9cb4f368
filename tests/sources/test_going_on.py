"""
Resuming where an earlier run ended: the rest of the same source, or all of it.
"""

from typing import Any

import pytest

from chalicelib.background.addresses import SourceBroken
from chalicelib.domain.import_uris import SourceRefused
from tests.sources.servers import (
    DATA,
    DATE,
    LATER,
    TAG,
    Server,
    chunked,
    part,
    read_all,
    redirect,
    response,
)


def test_the_rest_of_an_unchanged_source_is_read() -> None:
    """By `Range` and `If-Range`; in chunks, too."""
    rest = chunked(DATA[100:], ETag=TAG, Content_Range=f"bytes 100-767/{len(DATA)}")
    in_chunks = rest.replace(b"200 OK", b"206 Partial Content")
    with Server(part(), in_chunks, redirect("/there"), part()) as server:
        for _ in range(3):
            source = server.open(100, validator=TAG, length=len(DATA))
            assert (source.resumes, source.length) == (True, len(DATA))
            assert source.validator == TAG
            assert read_all(source) == DATA[100:]

    assert len(server.requests) == 4
    for request in server.requests:
        assert request.endswith('\r\nRange: bytes=100-\r\nIf-Range: "v1"\r\n\r\n')


def test_a_date_tells_that_a_source_is_unchanged() -> None:
    """It may be told again, or not (RFC 9110, 15.3.7)."""
    with Server(
        part(tag=None), part(tag=None, Last_Modified=DATE), part(Last_Modified=DATE)
    ) as server:
        for _ in range(3):
            source = server.open(100, validator=DATE)
            assert source.resumes
            assert read_all(source) == DATA[100:]

    assert f"\r\nIf-Range: {DATE}\r\n" in server.requests[0]


def test_a_changed_source_starts_again() -> None:
    """It answers 200, with all its data; so does one that knows no ranges."""
    other = DATA[::-1] + b"more"
    with Server(response(other, ETag='"v2"')) as server:
        source = server.open(100, validator=TAG, length=len(DATA))

        assert (source.resumes, source.length) == (False, len(other))
        assert source.validator == '"v2"'
        assert read_all(source) == other


@pytest.mark.parametrize(
    ("start", "validator"), [(100, None), (100, ""), (0, TAG), (0, None)]
)
def test_no_part_is_asked_for_without_need_and_validator(
    start: int, validator: str | None
) -> None:
    """Nothing would tell whether the rest belongs to what was read before."""
    with Server(response()) as server:
        source = server.open(start, validator=validator)
        assert not source.resumes
        assert read_all(source) == DATA

    assert "Range" not in server.requests[0]


@pytest.mark.parametrize("content_range", ["bytes */100", "bytes */50", None])
def test_a_source_without_such_a_part_starts_again(content_range: str | None) -> None:
    """416: it became shorter, or was read to its end without that being known."""
    headers: dict[str, Any] = {"Content_Range": content_range} if content_range else {}
    with Server(response(b"", "416 No", **headers), response(DATA[:50])) as server:
        source = server.open(100, validator=TAG)

        assert (source.resumes, source.length) == (False, 50)
        assert read_all(source) == DATA[:50]

    assert "Range" not in server.requests[1]


@pytest.mark.parametrize(
    "text",
    [
        f"bytes 99-767/{len(DATA)}",
        f"bytes 101-767/{len(DATA)}",
        f"bytes 0-767/{len(DATA)}",
        f"bytes 100-700/{len(DATA)}",
        f"bytes 100-768/{len(DATA)}",
        "bytes 100-767/*",
        "bytes */768",
        "bytes 100-99/100",
        "items 100-767/768",
        "nonsense",
    ],
)
def test_another_part_is_refused(text: str) -> None:
    """All of the rest is asked for, and nothing else."""
    with Server(part(text=text)) as server, pytest.raises(SourceRefused) as refused:
        server.open(100, validator=TAG)

    assert str(refused.value) == "The source sends another range than was requested."


def test_a_part_of_another_length_is_refused() -> None:
    """Its two lengths contradict each other, or it has none."""
    nothing = part(text="bytes 100-99/100", body=b"")
    with Server(part(body=DATA[101:]), nothing) as server:
        for _ in range(2):
            with pytest.raises(SourceRefused, match="sends another range"):
                server.open(100, validator=TAG)


@pytest.mark.parametrize(
    ("chunks", "end", "kind", "words"),
    [
        (
            [DATA[100:-1]],
            b"0\r\n\r\n",
            SourceBroken,
            "sends less than its Content-Length.",
        ),
        (
            [DATA[100:]],
            b"",
            SourceBroken,
            "closed the connection before the end of its data.",
        ),
        (
            [DATA[100:], b"x"],
            b"0\r\n\r\n",
            SourceRefused,
            "sends more than",
        ),
        (
            [DATA[100:] + b"x"],
            b"0\r\n\r\n",
            SourceRefused,
            "sends more than",
        ),
    ],
    ids=["less", "cut", "one more", "longer"],
)
def test_a_part_in_chunks_is_as_long_as_it_says(
    chunks: list[bytes], end: bytes, kind: type[Exception], words: str
) -> None:
    """A reader of no more than the announced length detects it, too."""
    rest = chunked(
        *chunks, end=end, ETag=TAG, Content_Range=f"bytes 100-767/{len(DATA)}"
    ).replace(b"200 OK", b"206 Partial Content")
    with (
        Server(rest) as server,
        server.open(100, validator=TAG) as source,
        pytest.raises(kind) as failed,
    ):
        source.read(len(DATA) - 100)

    assert words in str(failed.value)


@pytest.mark.parametrize(
    ("rest", "validator", "length"),
    [
        (part(tag='"v2"'), TAG, None),
        (part(tag='W/"v1"'), TAG, None),
        (part(tag=None), TAG, None),
        (part(tag=None, Last_Modified=LATER), DATE, None),
        (part(), TAG, len(DATA) + 1),
    ],
    ids=["tag", "weak tag", "no tag", "date", "length"],
)
def test_a_part_of_other_data_is_refused(
    rest: bytes, validator: str, length: int | None
) -> None:
    """Some servers know `Range` but not `If-Range`."""
    with Server(rest) as server, pytest.raises(SourceRefused) as refused:
        server.open(100, validator=validator, length=length)

    assert str(refused.value) == "The source changed while it was read."


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, None),
        ({"ETag": TAG}, TAG),
        ({"ETag": '""'}, '""'),
        ({"ETag": TAG, "Last_Modified": DATE, "Date": LATER}, TAG),
        ({"ETag": 'W/"v1"'}, None),
        ({"ETag": 'W/"v1"', "Last_Modified": DATE, "Date": LATER}, None),
        ({"ETag": "v1"}, None),
        ({"ETag": '"a"b"'}, None),
        ({"ETag": '"a\r\n b"'}, None),
        ({"ETag": f'"{"a" * 300}"'}, None),
        ({"Last_Modified": DATE, "Date": LATER}, DATE),
        ({"Last_Modified": DATE, "Date": DATE}, None),
        ({"Last_Modified": LATER, "Date": DATE}, None),
        ({"Last_Modified": DATE}, None),
        ({"Last_Modified": DATE, "Date": "today"}, None),
        ({"Last_Modified": "Wed, 99 Nov 2026 01:00:00 GMT", "Date": LATER}, None),
        ({"Last_Modified": "2026-11-25", "Date": LATER}, None),
    ],
)
def test_only_what_is_sure_tells_the_same_source_later(
    headers: dict[str, Any], validator: str | None
) -> None:
    """A strong tag; a date older than the response, where there is no tag at all."""
    with Server(response(**headers)) as server, server.open() as source:
        assert source.validator == validator
