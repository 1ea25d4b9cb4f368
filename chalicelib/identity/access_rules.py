"""The path patterns of an application credential's access rules."""

import re
from typing import Final

PATH_CHARACTERS_MAX: Final = 512
"""Maximum length of a path that a rule can allow, in characters.

Users write patterns, and the time to match one grows with the path.
"""

RULES_MAX: Final = 50
"""Maximum number of rules matched, for the same reason; others are ignored."""

_PATTERN: Final = re.compile(r"(?P<any>\*\*)|(?P<segment>\*|{[^}]*})|(?P<text>[^*{}]+)")


def allows(pattern: str, path: str) -> bool:
    """Return whether a rule's pattern matches a path, as keystonemiddleware does.

    `*` and `{name}` match one segment of a path, `**` any number, all else itself. A
    regular expression of a user's could run for ever; this keeps the set of positions
    in the path at which the pattern so far may end.
    """
    if len(path) > PATH_CHARACTERS_MAX:
        return False
    ends = {0}
    for token in _PATTERN.finditer(pattern):
        if token.lastgroup == "text":
            text = token[0]
            ends = {end + len(text) for end in ends if path.startswith(text, end)}
        elif token.lastgroup == "any":
            ends = set(range(min(ends), len(path) + 1))
        else:
            inside, after = False, set()
            for position, character in enumerate(path):
                inside = (inside or position in ends) and character != "/"
                if inside:
                    after.add(position + 1)
            ends = after
        if not ends:
            return False
    return len(path) in ends
