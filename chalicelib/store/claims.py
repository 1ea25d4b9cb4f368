"""The access patterns of claims: the imports of a project that are in progress.

A project has one item, with the time at which each claim ends. It bounds how many slots
of the importer a project can hold, whatever order the queue has.
"""

from datetime import timedelta
from typing import Any, Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib import clock, settings
from chalicelib.domain.uploads import Upload
from chalicelib.store.dynamodb import condition_failed, get_item, with_retries
from chalicelib.store.items import ClaimsItem, claims_of
from chalicelib.store.keys import claims_key

CLAIM: Final = timedelta(seconds=960)
"""Time after which a claim ends by itself: the run was killed."""

_TRIES = 5


def claim_import(upload: Upload) -> bool:
    """AP-26: claim a slot for an import, and return whether its project has one.

    Each run of an import renews the claim of the last one.
    """
    for _ in range(_TRIES):
        version, others = _load_others(upload)
        if len(others) >= settings.current.project_imports_max:
            return False
        claims = {**others, upload.id: int((clock.now() + CLAIM).timestamp())}
        if _save(upload, version, claims):
            return True
    return False


def release_import(upload: Upload) -> None:
    """AP-27: end the claim of an import."""
    for _ in range(_TRIES):
        version, others = _load_others(upload)
        if version is None or _save(upload, version, others):
            return


def _load_others(upload: Upload) -> tuple[int | None, dict[str, int]]:
    """Return the version of a project's claims, and those of its other imports.

    Strongly consistent, as the bound must hold for imports that begin together.
    """
    version, claims = claims_of(get_item(claims_key(upload.project_id)))
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
    item = ClaimsItem(*claims_key(upload.project_id))
    try:
        with_retries(lambda: item.update(actions=actions, condition=condition))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise
        return False
    return True
