"""The access patterns of claims: the imports and uploads of a project that have a run.

A project has an item for its imports and one for its direct uploads, with the time at
which each claim ends. It bounds how many slots of the importer and of the worker a
project can hold, whatever order the queues have.
"""

from datetime import timedelta
from typing import Any, Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib import clock, settings
from chalicelib.domain.uploads import WEB_DOWNLOAD, Upload
from chalicelib.store.dynamodb import condition_failed, get_item, with_retries
from chalicelib.store.items import ClaimsItem, claims_of
from chalicelib.store.keys import Key, claims_key

CLAIM: Final = timedelta(seconds=960)
"""Time after which a claim ends by itself: the run was killed."""

_TRIES = 5


def claim_slot(upload: Upload) -> bool:
    """AP-26: claim a slot for an upload, and return whether its project has one.

    Each run of an upload renews the claim of the last one.
    """
    for _ in range(_TRIES):
        version, others = _load_others(upload)
        if len(others) >= settings.current.project_imports_max:
            return False
        claims = {**others, upload.id: int((clock.now() + CLAIM).timestamp())}
        if _save(upload, version, claims):
            return True
    return False


def release_slot(upload: Upload) -> None:
    """AP-27: end the claim of an upload."""
    for _ in range(_TRIES):
        version, others = _load_others(upload)
        if version is None or _save(upload, version, others):
            return


def _load_others(upload: Upload) -> tuple[int | None, dict[str, int]]:
    """Return the version of a project's claims, and those of its other uploads.

    Strongly consistent, as the bound must hold for uploads that begin together.
    """
    version, claims = claims_of(get_item(_key(upload)))
    now = clock.now().timestamp()
    others = {
        upload_id: until
        for upload_id, until in claims.items()
        if until > now and upload_id != upload.id
    }
    return version, others


def _save(upload: Upload, version: int | None, claims: dict[str, int]) -> bool:
    """Write a project's claims, if no other run has; return whether that was so."""
    condition: Any = ClaimsItem.version == version
    if version is None:
        condition = ClaimsItem.pk.does_not_exist()
    ends = max(claims.values(), default=int(clock.now().timestamp()))
    actions: list[Action] = [
        ClaimsItem.claims.set(claims),
        ClaimsItem.version.set((version or 0) + 1),
        ClaimsItem.expires_at.set(ends),
    ]
    item = ClaimsItem(*_key(upload))
    try:
        with_retries(lambda: item.update(actions=actions, condition=condition))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        return False
    return True


def _key(upload: Upload) -> Key:
    return claims_key(upload.project_id, imports=upload.method == WEB_DOWNLOAD)
