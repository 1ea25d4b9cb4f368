"""The profile: what a project publishes of itself."""

import re
from datetime import datetime
from typing import Final, NamedTuple

DISPLAY_NAME_MAX: Final = 80
"""Maximum length of a display name, in characters."""

CONTACT_MAX: Final = 254
"""Maximum length of a contact, in characters: that of an e-mail address (RFC 5321)."""

_CONTACT: Final = (
    r"https://[^\s/?#@]+(?:[/?#]\S*)?|[^\s@<>\"(),:;\[\]\\]+@[^\s@<>\"(),:;\[\]\\]+"
)


class Profile(NamedTuple):
    """What a project says of itself, and whether an administrator verified it.

    Others see it only while it is `published`.
    """

    display_name: str
    updated_at: datetime
    contact: str | None = None
    published: bool = False
    verified: bool = False


def is_contact(text: str) -> bool:
    """Return whether *text* is an https URL or an e-mail address."""
    return len(text) <= CONTACT_MAX and re.fullmatch(_CONTACT, text) is not None
