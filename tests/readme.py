"""The documents' tables, read for tests that hold them against the code."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def table(heading: str, document: str) -> list[dict[str, str]]:
    """Read the first table under a heading: one dict a line, keyed by column."""
    text = (ROOT / document).read_text("utf-8")
    section = text.split(f"# {heading}\n", 1)[1]
    lines: list[str] = []
    for line in section.splitlines():
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            break
    columns, _, *rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines
    ]
    return [dict(zip(columns, row, strict=True)) for row in rows]
