"""The quotas of a project, named and answered as the reference's unified limits."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from chalicelib import settings
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image
from chalicelib.errors import LimitExceeded

MEBIBYTE: Final = 2**20

IMAGE_COUNT: Final = "image_count_total"
IMAGE_SIZE: Final = "image_size_total"
STAGE_SIZE: Final = "image_stage_total"
UPLOADING: Final = "image_count_uploading"
OFFERS: Final = "offer_count_total"
OFFERS_TO_ONE: Final = "offer_count_per_consumer"

IMAGE_QUOTAS: Final = (IMAGE_SIZE, STAGE_SIZE, IMAGE_COUNT, UPLOADING)
"""The quotas that the reference has, each a setting: -1 is no limit."""

OFFER_QUOTAS: Final = (OFFERS, OFFERS_TO_ONE)
"""The quotas of pending memberships in a project's images, in all and of one member."""

_UNITS: Final = {IMAGE_SIZE: MEBIBYTE, STAGE_SIZE: MEBIBYTE}


_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class Usage(NamedTuple):
    """What a project uses, in bytes and pieces, by the quota that limits it.

    `own` has the project's own limits, in the unit of the quota.
    """

    used: Mapping[str, int] = _NONE
    own: Mapping[str, int] = _NONE

    def reported(self, name: str) -> int:
        """Return what is used of a quota in its unit: MiB, or pieces.

        What begins is counted before what ended earlier, so it may be below 0 briefly.
        """
        return max(self.used.get(name, 0), 0) // _UNITS.get(name, 1)

    def limit(self, name: str) -> int | None:
        """Return the limit of a quota, or none; a project's own needs the setting."""
        general: int = getattr(settings.current, name)
        return None if general < 0 else self.own.get(name, general)


def is_limited(names: tuple[str, ...]) -> bool:
    """Return whether any of the quotas is set."""
    return any(getattr(settings.current, name) >= 0 for name in names)


def most(name: str, limit: int) -> int:
    """Return the most that may be used within a limit, in bytes or pieces.

    A part of a MiB does not count, as in the reference.
    """
    unit = _UNITS.get(name, 1)
    return (limit + 1) * unit - 1


def limit_of(name: str, most_used: int) -> int:
    """Return the limit of which `most` made a number."""
    return most_used // _UNITS.get(name, 1)


def check_own(
    caller: Caller, image: Image, usage: Usage, deltas: Mapping[str, int]
) -> None:
    """Check a change of an image of the caller's project; others' are not limited.

    Only an administrator changes those, in their owner's stead.

    Raises:
        LimitExceeded: A quota of the caller's project would be exceeded.
    """
    if image.owner == caller.project_id:
        check(image.owner, usage, deltas)


def find_refused_offers(
    usages: Mapping[str, Usage], offered: Mapping[str, int]
) -> list[str]:
    """Return the projects to which no more offers may go, of new offers to each.

    *offered* are offers that no usage counts yet, by project.
    """
    refused: list[str] = []
    before = sum(offered.values())
    for number, (project_id, usage) in enumerate(usages.items()):
        more = before + number - len(refused) + 1
        to_one = offered.get(project_id, 0) + 1
        if _exceeded(usage, {OFFERS: more, OFFERS_TO_ONE: to_one}):
            refused.append(project_id)
    return refused


def check(project_id: str, usage: Usage, deltas: Mapping[str, int]) -> None:
    """Check that a project may use so much more, in bytes or pieces.

    Of data whose size is not known the delta is 0, as in the reference: a project may
    go over its limit by one upload.

    Raises:
        LimitExceeded: A quota would be exceeded.
    """
    exceeded = _exceeded(usage, deltas)
    if exceeded:
        name, limit, used, more = exceeded
        raise LimitExceeded(
            f"Project {project_id} is over a limit for [Resource {name} is over limit"
            f" of {limit} due to current usage {used} and delta {more}]"
        )


def _exceeded(
    usage: Usage, deltas: Mapping[str, int]
) -> tuple[str, int, int, int] | None:
    """Return the first quota that is exceeded: its name, limit, usage and delta."""
    for name, delta in deltas.items():
        limit = usage.limit(name)
        used, more = usage.reported(name), delta // _UNITS.get(name, 1)
        if limit is not None and used + more > limit:
            return name, limit, used, more
    return None
