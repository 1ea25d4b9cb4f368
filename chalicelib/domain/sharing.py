"""The two sides of a membership: the consumer's offer, the producer's share."""

import unicodedata
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member
from chalicelib.domain.profiles import Profile

NOTE_MAX: Final = 500
"""Maximum length of a note, in characters."""

_BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
                                  "\u2066\u2067\u2068\u2069")  # fmt: skip
_LINES: Final = frozenset("\n")


class Note(NamedTuple):
    """The owner's word on one offer: the membership created at that time.

    One that was removed has no text.
    """

    image_id: str
    member_id: str
    owner: str
    offered_at: datetime
    text: str | None = None


class Sharing(NamedTuple):
    """A membership, its image and the note: what both sides see of it."""

    membership: Member
    image: Image
    note: str | None = None
    profile: Profile | None = None
    muted: bool = False

    @property
    def usable(self) -> bool:
        """Whether the member may use the image: only while it is shared."""
        return self.image.visibility is Visibility.SHARED


class Result(StrEnum):
    """What a call did to one membership."""

    SHARED = "shared"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REVOKED = "revoked"
    LEFT = "left"
    REFUSED = "refused"


class Outcome(NamedTuple):
    """The result of one pair of image and project, and why where it was refused."""

    result: Result
    reason: str | None = None


class Wish(NamedTuple):
    """What a producer wants of one project: its membership, and perhaps a note.

    Without `has_note`, a note that is there stays.
    """

    project_id: str
    has_note: bool = False
    note: str | None = None


def plan_shares(
    image: Image,
    held: Mapping[str, str | None],
    wishes: Collection[Wish],
    *,
    quota: int,
    refused: Mapping[str, str],
) -> dict[str, Outcome]:
    """Return what sharing an image comes to, by project, without doing it.

    *held* are the members that the image has among the wished ones, with their notes;
    *refused* are projects that the caller does not share with, and why.
    """
    outcomes: dict[str, Outcome] = {}
    count = image.member_count
    for wish in wishes:
        project_id = wish.project_id
        if project_id in held:
            same = not wish.has_note or wish.note == held[project_id]
            result = Result.UNCHANGED if same else Result.CHANGED
            outcomes[project_id] = Outcome(result)
        elif project_id == image.owner:
            outcomes[project_id] = Outcome(Result.REFUSED, "own-project")
        elif image.visibility is not Visibility.SHARED:
            outcomes[project_id] = Outcome(Result.REFUSED, "not-shared")
        elif project_id in refused:
            outcomes[project_id] = Outcome(Result.REFUSED, refused[project_id])
        elif count >= quota:
            outcomes[project_id] = Outcome(Result.REFUSED, "limit-exceeded")
        else:
            outcomes[project_id] = Outcome(Result.SHARED)
            count += 1
    return outcomes


def is_plain_text(text: str) -> bool:
    """Return whether *text* has no character that hides or reorders what it says.

    No control characters but line feeds, no bidirectional overrides, and no half of a
    surrogate pair.
    """
    return not any(
        character in _BIDIRECTIONAL
        or (unicodedata.category(character) in ("Cc", "Cs") and character not in _LINES)
        for character in text
    )
