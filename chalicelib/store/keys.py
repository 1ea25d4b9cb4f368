"""The keys of the table and of its indexes; no other module spells one."""

from datetime import UTC, datetime
from typing import Final

from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import MemberStatus

Key = tuple[str, str]
IMAGE: Final = "IMAGE"
MEMBER: Final = "MEMBER#"
NOTE: Final = "NOTE#"
RECENT: Final = "RECENT#"
OFFER_RULE: Final = "RULE#"
OFFERS: Final = "OFFERS#"
OWNED: Final = "OWNED"
SHARED: Final = "SHARED"
PART_OF: Final = {
    MemberStatus.ACCEPTED: "ACCEPTED",
    MemberStatus.PENDING: "PENDING",
    MemberStatus.REJECTED: "REJECTED",
}
"""The part of a project's range that a membership stands in, by its status.

A project's own images are the parts `SHARED`, those whose visibility is `shared`, and
`OWNED`, all others: a list of shared images reads no row of another visibility.
"""

NAMED: Final = frozenset({Visibility.PUBLIC, Visibility.COMMUNITY})
"""The visibilities whose images stand in `by-name`."""

NAME_BYTES: Final = 900
"""Maximum length of the name in a key of `by-name`, in bytes before it is escaped.

DynamoDB ends a sort key at 1,024 bytes; a name of 255 characters, 900 bytes of them,
takes 940 at most once it is escaped.
"""

UNFINISHED: Final = "UNFINISHED"
"""The partition of `by-project` that holds the uploads that wait for a run."""

OPEN: Final = "OPEN"
"""The partition of `by-project` that holds the uploads that wait for their client."""

DELETED: Final = "DELETED"
"""The partition of `by-project` that holds tombstones until nothing is left."""

USAGE: Final = "USAGE"
"""The partition of `by-project` that holds the usage of each project."""

_NULL, _TEXT = "0", "1"
_NAME_END, _NAME_CUT = " ", "\U0010ffff"
_ESCAPE = "!"
_ESCAPED: Final = {
    code: f"{_ESCAPE}{chr(code + ord(_ESCAPE) + 1)}" for code in range(ord(_ESCAPE) + 1)
}


def image_key(image_id: str) -> Key:
    """Return an image's key: `IMAGE#6b1f…`, `IMAGE`."""
    return f"IMAGE#{image_id}", IMAGE


def member_key(image_id: str, member_id: str) -> Key:
    """Return a membership's key: `IMAGE#6b1f…`, `MEMBER#consumer`."""
    return f"IMAGE#{image_id}", f"{MEMBER}{member_id}"


def note_key(image_id: str, member_id: str) -> Key:
    """Return the key of a membership's note: `NOTES#6b1f…`, `NOTE#consumer`."""
    return note_partition(image_id), f"{NOTE}{member_id}"


def note_partition(image_id: str) -> str:
    """Return the partition of an image's notes: `NOTES#6b1f…`.

    None of theirs: releases before the notes take all of that but the image as members.
    """
    return f"NOTES#{image_id}"


def profile_key(project_id: str) -> Key:
    """Return the key of a project's profile: `PROJECT#consumer`, `PROFILE`."""
    return project_partition(project_id), "PROFILE"


def offer_rule_key(project_id: str, producer_id: str) -> Key:
    """Return the key of a rule of a project: `PROJECT#consumer`, `RULE#producer`."""
    return project_partition(project_id), f"{OFFER_RULE}{producer_id}"


def answered_key(producer_id: str, member_id: str) -> Key:
    """Return the key of a first answer: `PROJECT#producer`, `ANSWERED#consumer`."""
    return project_partition(producer_id), f"ANSWERED#{member_id}"


def upload_key(image_id: str, upload_id: str) -> Key:
    """Return an upload's key: `UPLOAD#6b1f…`, `9c27…`."""
    return upload_partition(image_id), upload_id


def upload_partition(image_id: str) -> str:
    """Return the partition of an image's uploads: `UPLOAD#6b1f…`."""
    return f"UPLOAD#{image_id}"


def cursors_key() -> Key:
    """Return the key of the sweep's cursors: `SWEEP`, `CURSORS`."""
    return "SWEEP", "CURSORS"


def claims_key(project_id: str, *, imports: bool) -> Key:
    """Return the key of a project's claims: `PROJECT#consumer`, `IMPORTS` or `UPLOADS`.

    Imports and direct uploads have slots of their own.
    """
    return project_partition(project_id), "IMPORTS" if imports else "UPLOADS"


def usage_key(project_id: str) -> Key:
    """Return the key of a project's usage: `PROJECT#producer`, `USAGE`."""
    return project_partition(project_id), "USAGE"


def offers_key(project_id: str, member_id: str) -> Key:
    """Return the key of a count of offers: `PROJECT#producer`, `OFFERS#consumer`."""
    return project_partition(project_id), f"{OFFERS}{member_id}"


def counted_key(sequence_number: str) -> Key:
    """Return the key of the mark that a stream record was counted: `COUNTED#2100…`."""
    return f"COUNTED#{sequence_number}", "COUNTED"


def recent_key(project_id: str, part: str, changed_at: datetime, image_id: str) -> Key:
    """Return a recent change's key: `PROJECT#consumer`, `RECENT#PENDING#2026-…#6b1f…`.

    Owned images have one part here, `OWNED`, whatever their visibility: it changes.
    """
    return (
        project_partition(project_id),
        f"{recent_prefix(part)}{moment(changed_at)}#{image_id}",
    )


def recent_prefix(part: str) -> str:
    """Return how the sort keys of a part's recent changes begin: `RECENT#PENDING#`."""
    return f"{RECENT}{part}#"


def project_partition(project_id: str) -> str:
    """Return the partition of a project, in the table and in `by-project`."""
    return f"PROJECT#{project_id}"


def owner_partition(owner: str) -> str:
    """Return the partition of the memberships in an owner's images: `OWNER#producer`.

    In `by-visibility-or-owner`.
    """
    return f"OWNER#{owner}"


def visibility_partition(visibility: Visibility) -> str:
    """Return the partition of a visibility: `VISIBILITY#public`.

    In `by-visibility-or-owner` and in `by-name`.
    """
    return f"VISIBILITY#{visibility}"


def touched_sort(touched_at: datetime, item_id: str = "") -> str:
    """Return the place of an upload in `UNFINISHED` or `OPEN`, or of a tombstone."""
    return f"{moment(touched_at)}#{item_id}"


def list_position(created_at: datetime, image_id: str) -> str:
    """Return an image's place in every list: `2026-11-24T08:00:00.000001Z#6b1f…`.

    It never changes, so that memberships may copy it; the id makes it unique.
    """
    return stored_position(moment(created_at), image_id)


def stored_position(created_at: str, image_id: str) -> str:
    """Return an image's place in every list by its time of creation as stored."""
    return f"{created_at}#{image_id}"


def project_sort(part: str, position: str) -> str:
    """Return a sort key of `by-project`: `PENDING#2026-11-24T08:00:00.…Z#6b1f…`."""
    return f"{part}#{position}"


def own_part(visibility: Visibility) -> str:
    """Return the part of its owner's range that an image stands in."""
    return SHARED if visibility is Visibility.SHARED else OWNED


def membership_sort(member_id: str, image_id: str) -> str:
    """Return the place of a membership under its image's owner: `consumer#6b1f…`.

    A project's id may have 1,000 bytes; a long one stands by its first 900 here, as a
    sort key ends at 1,024. The item's own key has all of it.
    """
    return f"{_head(member_id)}#{image_id}"


def name_partition(image: Image) -> str | None:
    """Return the partition of `by-name` that holds an image, if any does."""
    if image.visibility not in NAMED:
        return None
    return visibility_partition(image.visibility)


def name_sort(image: Image) -> str:
    """Return an image's sort key in `by-name`: `1ubuntu 2026-11-24T08:00:…Z#6b1f…`."""
    return name_prefix(image.name) + list_position(image.created_at, image.id)


def name_prefix(name: str | None) -> str:
    """Return how the sort keys of all images of a name begin, so that they sort as it.

    Null comes before every text. What would sort before a name's end, a space, is
    escaped: `1ubuntu!B24.04 `. Of a long name stand the first 900 bytes, and an end
    above every character: those of longer ones that begin alike have no order here.
    """
    if name is None:
        return _NULL
    head = _head(name)
    end = _NAME_END if head == name else _NAME_CUT
    return f"{_TEXT}{head.translate(_ESCAPED)}{end}"


def is_whole(name_key: str) -> bool:
    """Return whether a key of `by-name`, or a prefix of one, holds all of the name."""
    return _NAME_CUT not in name_key


def name_in(name_key: str) -> str | None:
    """Parse the name out of a key of `by-name` that holds all of it."""
    if name_key.startswith(_NULL):
        return None
    text = name_key[1:].partition(_NAME_END)[0]
    head, *rest = text.split(_ESCAPE)
    return head + "".join(chr(ord(one[0]) - ord(_ESCAPE) - 1) + one[1:] for one in rest)


def _head(name: str) -> str:
    """Return the longest beginning of a text that a key has room for.

    A character that does not fit is longer, and so sorts after every one that does.
    """
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def moment(time: datetime) -> str:
    """Format a time so that text sorts as time does: in UTC, with microseconds."""
    # Half the time of `strftime`, and a list has some hundred times.
    return f"{time.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def image_id_in(partition: str) -> str:
    """Parse an image's id out of its items' partition."""
    return partition.removeprefix(image_key("")[0])
