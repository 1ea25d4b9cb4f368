"""The access patterns of profiles, and of who knows whom."""

from collections.abc import Collection

from pynamodb.exceptions import PynamoDBException

from chalicelib.domain.caller import Caller
from chalicelib.domain.profiles import Profile
from chalicelib.errors import StaleError
from chalicelib.store.dynamodb import (
    change_by,
    condition_failed,
    get_item,
    get_items,
    with_retries,
)
from chalicelib.store.items import AnsweredItem, ProfileItem, profile_item, profile_of
from chalicelib.store.keys import answered_key, moment, profile_key


def load_profile(project_id: str) -> Profile | None:
    """AP-36: a project's profile, strongly consistent: its own project reads it."""
    return profile_of(get_item(profile_key(project_id)))


def load_known(
    producer_id: str, project_ids: Collection[str]
) -> dict[str, Profile | None]:
    """AP-37: the projects that a producer knows, each with its published profile.

    One is known if it published a profile, or ever answered an offer of the producer,
    or is the producer's own. What is not known and what does not exist are read alike.
    """
    keys = [profile_key(project_id) for project_id in project_ids]
    keys += [answered_key(producer_id, project_id) for project_id in project_ids]
    items = get_items(keys, strongly=False)
    known: dict[str, Profile | None] = {}
    for project_id in project_ids:
        profile = profile_of(items.get(profile_key(project_id)))
        published = profile if profile and profile.published else None
        has_answered = answered_key(producer_id, project_id) in items
        if published or has_answered or project_id == producer_id:
            known[project_id] = published
    return known


def set_profile(
    project_id: str, before: Profile | None, after: Profile, caller: Caller
) -> None:
    """AP-38: keep a project's profile, if nobody changed it since it was read.

    Raises:
        StaleError: It was changed, made or removed meanwhile.
    """
    item = profile_item(project_id, after)
    item.changed = change_by(caller)
    condition = (
        ProfileItem.pk.does_not_exist()
        if before is None
        else (ProfileItem.updated_at == moment(before.updated_at))
        & (ProfileItem.verified == before.verified)
    )
    try:
        with_retries(lambda: item.save(condition=condition))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        if load_profile(project_id) != after:
            raise StaleError from exc


def delete_profile(project_id: str) -> None:
    """AP-39: remove a project's profile, if there is one."""
    with_retries(ProfileItem(*profile_key(project_id)).delete)


def note_answer(producer_id: str, member_id: str) -> None:
    """AP-40: note that a consumer has answered an offer of a producer."""
    with_retries(AnsweredItem(*answered_key(producer_id, member_id)).save)
