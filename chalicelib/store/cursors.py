"""The access patterns of the sweep's cursors: where each of its lists goes on."""

from functools import partial

from chalicelib.store.dynamodb import get_item, with_retries
from chalicelib.store.items import CursorsItem, cursors_of
from chalicelib.store.keys import cursors_key


def load_cursors() -> dict[str, str]:
    """AP-55: where the last sweeps ended, by the names of their lists.

    Strongly consistent, as a run goes on where the last one ended.
    """
    return cursors_of(get_item(cursors_key()))


def save_cursors(cursors: dict[str, str]) -> None:
    """AP-56: note where the lists of a sweep ended; one sweep runs at a time."""
    item = CursorsItem(*cursors_key())
    with_retries(partial(item.update, actions=[CursorsItem.cursors.set(cursors)]))
