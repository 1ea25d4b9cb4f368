"""The syntax of a project's id."""

import re

_UNADDRESSABLE = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PROJECT_ID_CHARACTERS = 255
_PROJECT_ID_BYTES = 1000


def is_project_id(text: str) -> bool:
    """Return whether *text* can be a project's id, and so a member's.

    1 to 255 characters, at most 1,000 bytes of UTF-8 (a DynamoDB sort key ends at
    1,024), no `/`, no control characters and no halves of such as need two, nor `.` and
    `..`: another could not be addressed by a URL.
    """
    return (
        text not in (".", "..")
        and 0 < len(text) <= _PROJECT_ID_CHARACTERS
        and _UNADDRESSABLE.search(text) is None
        and len(text.encode()) <= _PROJECT_ID_BYTES
    )
