"""The drawing of how long requests take while the table grows, as SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Final

_WIDTH: Final = 760
_HEIGHT: Final = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 590, 30, 350
_LABEL_HEIGHT: Final = 15
_COLOURS: Final = (
    *("#1b6ca8", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#117a65"),
    *("#5d6d7e", "#a93276"),
)


def draw(sizes: Sequence[int], clocks: Mapping[str, Sequence[float]]) -> str:
    """Draw a line for each request: its milliseconds by the clock, at each size."""
    highest = max(map(max, clocks.values())) * 1.1
    first, last = log10(sizes[0]), log10(sizes[-1])

    def x_of(size: int) -> float:
        return _LEFT + (log10(size) - first) / (last - first) * (_RIGHT - _LEFT)

    def y_of(milliseconds: float) -> float:
        return _BOTTOM - milliseconds / highest * (_BOTTOM - _TOP)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
            ' font-family="sans-serif" font-size="12" role="img">'
        ),
        "<title>Milliseconds of a request by the images in the table</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT - 45, _TOP - 12, "ms"),
        _text((_LEFT + _RIGHT) / 2, _BOTTOM + 40, "images in the table", "middle"),
    ]
    for size in sizes:
        parts.append(_line([(x_of(size), _TOP), (x_of(size), _BOTTOM)], "#ddd", 1))
        parts.append(_text(x_of(size), _BOTTOM + 20, f"{size:,}", "middle"))
    for tick in range(6):
        milliseconds = highest * tick / 5
        y = y_of(milliseconds)
        parts.append(_line([(_LEFT, y), (_RIGHT, y)], "#ddd", 1))
        parts.append(_text(_LEFT - 8, y + 4, f"{milliseconds:.0f}", "end"))
    label = float(_HEIGHT)
    ordered = sorted(clocks.items(), key=lambda item: item[1][-1])
    for number, (name, times) in enumerate(ordered):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(x_of(size), y_of(ms)) for size, ms in zip(sizes, times, strict=True)]
        parts.append(_line(points, colour, 2))
        label = min(points[-1][1] + 4, label - _LABEL_HEIGHT)
        parts.append(_text(_RIGHT + 8, label, name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _line(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{places}" fill="none" stroke="{colour}"'
        f' stroke-width="{width}"/>'
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", colour: str = "#333"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
