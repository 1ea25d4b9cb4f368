"""Variables of the environment that look like misspelt settings."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "settings.md"
OF_THE_RUN: Final = ("PORT", "DATA", "SERVER", "BACKEND", "DATA_DIR")
"""What `make run` takes besides the settings of the service."""

LIKENESS_MIN: Final = 0.88
"""How alike a name must be to a setting's, between 0 and 1."""


def misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that looks like a misspelt setting, and that setting.

    It has the same letters in another order, or differs in few of many letters: PATH is
    too far from AUTH, and AUHT is not.
    """
    settings = [*OF_THE_RUN, *_documented()]
    by_letters = {"".join(sorted(name)): name for name in settings}
    for name in sorted(set(environ) - set(settings)):
        close = get_close_matches(name, settings, 1, LIKENESS_MIN)
        near = by_letters.get("".join(sorted(name))) or next(iter(close), None)
        if near and near not in environ:
            yield name, near


def _documented() -> list[str]:
    lines = DOCUMENT.read_text("utf-8").splitlines()
    return [line.split("`")[1] for line in lines if line.startswith("| `")]
