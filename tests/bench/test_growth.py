"""The bench of a growing table runs, and its drawing shows what it measured."""

from xml.etree import ElementTree as ET

import pytest

from tests.bench import chart, growth
from tests.readme import table


@pytest.mark.java
def test_a_request_reads_as_much_from_a_larger_table() -> None:
    """Each one that is measured, in read units."""
    taken = growth.measure([100, 200], rounds=1)

    assert list(taken) == list(growth.REQUESTS)
    for name, (small, large) in taken.items():
        assert small.units == large.units > 0, name
        assert small.processor > 0
        assert small.clock > 0


def test_the_drawing_has_a_line_and_a_name_for_each_request() -> None:
    """In a picture that a browser can parse."""
    clocks = {"show <image>": [1.0, 1.5], "list": [8.0, 7.0]}
    drawn = ET.fromstring(chart.draw([1_000, 100_000], clocks))  # noqa: S314 - our own

    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"show <image>", "list", "1,000", "100,000"} <= set(texts)
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 2 + 6 + 2


def test_the_document_has_each_request() -> None:
    """Of those that are measured while the table grows, in their order."""
    rows = table("While the table grows", "docs/performance.md")

    assert [row["request"] for row in rows] == list(growth.REQUESTS)
