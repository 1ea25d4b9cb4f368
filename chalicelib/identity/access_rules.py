"""
What an application credential's access rules allow: paths, by patterns of its user's.
"""

import re
from typing import Final

PATH_MAX: Final = 512
"""
How long a path may be that a rule allows: users write patterns, and what they take to
compare grows with it.
"""

RULES_MAX: Final = 50
"""
How many rules on images count, for the same reason; what is left out allows nothing.
"""

_PATTERN: Final = re.compile(r"(?P<any>\*\*)|(?P<one>\*|{[^}]*})|(?P<text>[^*{}]+)")


def allows(pattern: str, path: str) -> bool:
    """Tell whether a rule's path allows a request's, as keystonemiddleware reads it.

    `*` and `{name}` stand for a part of a path, `**` for any number of parts, and the
    rest for itself. Users write rules: no regular expression, which could take for
    ever. What is kept are the places in the path that the pattern so far may end at.
    """
    if len(path) > PATH_MAX:
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
            for place, character in enumerate(path):
                inside = (inside or place in ends) and character != "/"
                if inside:
                    after.add(place + 1)
            ends = after
        if not ends:
            return False
    return len(path) in ends
