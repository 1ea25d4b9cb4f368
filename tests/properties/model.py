"""The model of sharing: what each call is answered and does, in as few rules as may be.

Only the stream's function lags: what it counts and accepts comes with `settle`.
"""

from collections import Counter
from dataclasses import dataclass, field

ADMIN = "operators"
MEMBERS_MOST = 2
UPLOADS_MOST = 1
IN_PROGRESS = ("saving", "uploading")
"""The statuses of images that count as uploads in progress: direct, or staged."""


@dataclass
class Thing:
    """An image as the model has it, with each member's status; or, if none, its place.

    `fresh` has the offers that nobody has answered and the stream's function has not
    seen: who made each, and in which turn. `is_complete` is a direct upload that waits
    for the worker.
    """

    owner: str = "nobody"
    visibility: str = "shared"
    os_hidden: bool = False
    statuses: dict[str, str] = field(default_factory=dict)
    exists: bool = True
    status: str = "queued"
    is_complete: bool = False
    fresh: dict[str, tuple[str, int]] = field(default_factory=dict)

    def sees(self, caller: str) -> bool:
        """Return whether the image exists for a caller."""
        return self.exists and (
            caller in (self.owner, ADMIN)
            or self.visibility in ("public", "community")
            or (self.visibility == "shared" and caller in self.statuses)
        )

    def refuses(self, caller: str, *, to_change: bool = True) -> int:
        """Return the refusal of a call on the image, 0 for none."""
        if not self.sees(caller):
            return 404
        return 403 if to_change and caller not in (self.owner, ADMIN) else 0

    def refuses_members(
        self, caller: str, member: str | None = None, *, unshared: int = 403
    ) -> int:
        """
        Return the refusal of any call on the members, or on one of them, 0 for none.
        """
        if not self.sees(caller):
            return 404
        if self.visibility != "shared":
            return unshared
        is_shown = member in self.statuses and caller in (self.owner, ADMIN, member)
        return 404 if member and not is_shown else 0

    def refuses_share(self, caller: str, member: str) -> int:
        """Return the refusal of a share by the extension: only an owner shares."""
        if not self.exists or caller != self.owner:
            return 404
        if member in self.statuses:
            return 0
        if member == self.owner:
            return 409
        if self.visibility != "shared":
            return 403
        return 413 if len(self.statuses) >= MEMBERS_MOST else 0

    def refuses_answer(self, caller: str) -> int:
        """Return the refusal of an answer by the extension: only a member answers."""
        if not self.exists or caller == self.owner or caller not in self.statuses:
            return 404
        return 403 if self.visibility != "shared" else 0

    def is_listed(self, caller: str) -> bool:
        """Return whether the image stands in a caller's list."""
        is_shared = self.visibility == "shared"
        return not self.os_hidden and (
            self.visibility == "public"
            or self.owner == caller
            or (is_shared and self.statuses.get(caller) == "accepted")
            or (caller == ADMIN and self.visibility != "community")
        )

    def is_offered(self, caller: str) -> bool:
        """Return whether the image stands among a caller's pending ones.

        Its own do, too, and an administrator's are all.
        """
        is_open = self.visibility == "shared" and not self.os_hidden
        is_pending = self.statuses.get(caller) == "pending"
        return is_open and (is_pending or caller in (self.owner, ADMIN))

    def end(self, member: str) -> None:
        """End a membership."""
        del self.statuses[member]
        self.fresh.pop(member, None)

    def answer(self, member: str, status: str) -> None:
        """Record an answer; no rule answers after it."""
        self.statuses[member] = status
        self.fresh.pop(member, None)


@dataclass
class Model:
    """All images, what projects use, and since when rules of members accept.

    A rule is that of a member for the offers of a producer.
    """

    things: dict[str, Thing] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    rules: dict[tuple[str, str], int] = field(default_factory=dict)

    def refuses_upload(self, thing: Thing, caller: str) -> int:
        """Return the refusal of new data for an image, 0 for none."""
        refusal = thing.refuses(caller)
        if refusal or thing.status != "queued":
            return refusal or 409
        is_over = max(self.used[caller], 0) >= UPLOADS_MOST
        return 413 if caller == thing.owner and is_over else 0

    def settle(self) -> None:
        """Have the stream's function and the worker do all that waits for them."""
        self.used = Counter()
        for thing in self.things.values():
            for member, (owner, turn) in thing.fresh.items():
                since = self.rules.get((member, owner))
                if since is not None and since <= turn and owner == thing.owner:
                    thing.statuses[member] = "accepted"
            thing.fresh = {}
            if thing.is_complete:
                thing.status, thing.is_complete = "active", False
            self.used[thing.owner] += thing.status in IN_PROGRESS
