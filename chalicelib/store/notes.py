"""The access patterns of notes, the word of an image's owner on a membership."""

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.transactions import TransactWrite

from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.domain.members import Member
from chalicelib.domain.sharing import Note
from chalicelib.errors import StaleError
from chalicelib.store.dynamodb import (
    change_by,
    condition_failed,
    connection,
    reasons_of,
    with_retries,
)
from chalicelib.store.items import ImageItem, MemberItem, NoteItem, note_item
from chalicelib.store.keys import image_key, member_key, moment, note_key


def set_note(image: Image, member: Member, note: str | None, caller: Caller) -> None:
    """AP-29: write the note on a membership, if that very one is there.

    And if the image has the same owner still: it must not replace the next one's note.
    None takes the place of one that is removed: its event must say who did it.

    Raises:
        StaleError: The project is no longer a member, or was added again; or the image
            has another owner.
    """
    changed = change_by(caller) | {"owner": image.owner}

    def write() -> None:
        with TransactWrite(connection=connection.connection) as transaction:
            transaction.condition_check(
                MemberItem,
                *member_key(image.id, member.member_id),
                condition=MemberItem.created_at == moment(member.created_at),
            )
            transaction.condition_check(
                ImageItem,
                *image_key(image.id),
                condition=ImageItem.owner == image.owner,
            )
            transaction.save(new_note(image, member, note, changed))

    try:
        with_retries(write)
    except TransactWriteError as exc:
        reasons_of(exc, 3)
        raise StaleError from exc


def forget_note(member: Member) -> None:
    """AP-45: remove the note on a membership that ended; that of a later one stays."""
    item = NoteItem(*note_key(member.image_id, member.member_id))
    try:
        with_retries(
            lambda: item.delete(
                condition=NoteItem.offered_at == moment(member.created_at)
            )
        )
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise


def new_note(
    image: Image, member: Member, text: str | None, changed: dict[str, str]
) -> NoteItem:
    """Return the item of a note that the owner of *image* writes on a membership."""
    item = note_item(
        Note(
            image_id=member.image_id,
            member_id=member.member_id,
            owner=image.owner,
            text=text,
            offered_at=member.created_at,
        )
    )
    item.changed = changed
    return item
