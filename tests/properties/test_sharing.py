"""
Any sequence of calls by producers, consumers and administrators, against a small model.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chalicelib import settings
from tests.actors import Actor, Send
from tests.aws_faults import truth
from tests.properties.runs import RUN
from tests.properties.worlds import NO_ID, State, World, put

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

QUOTA = 2
IMAGES_MOST = 3
PENDING = "?visibility=shared&member_status=pending"
STRANGER, ADMIN = "stranger", "operators"
CALLERS = ("producer", "consumer", "other", STRANGER, ADMIN)
OWNERS = ("producer", "other")
MEMBERS = ("consumer", "other", "third", "producer")

CALLS = (
    *(
        "accept_or_reject",
        "set_status",
        "share",
        "share",
        "share",
        "unshare",
        "unshare",
    ),
    *("change", "change", "change", "show", "show", "create", "delete"),
)
ANSWERS = st.sampled_from(("pending", "accepted", "rejected"))
CHANGES = st.sampled_from(
    [("visibility", one) for one in ("private", "community", "public", "public")]
    + [("visibility", "shared")] * 5
    + [("os_hidden", True), ("os_hidden", False)]
    + [("owner", one) for one in OWNERS] * 2
)


@dataclass
class Thing:
    """
    An image as the model has it, with each member's status; or, if none, its place.
    """

    owner: str = "nobody"
    visibility: str = "shared"
    os_hidden: bool = False
    statuses: dict[str, str] = field(default_factory=dict)
    exists: bool = True

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


NOTHING = Thing(exists=False)


class Sharing(RuleBasedStateMachine):
    """The service and the model, side by side: each call goes to both."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.actors = {name: Actor(send, name) for name in (*CALLERS, *MEMBERS)}
        self.actors[ADMIN] = self.actors[ADMIN].using("admin")
        self.things: dict[str, Thing] = {}
        self.gone: set[str] = set()
        self.turn = 0
        self.about = STRANGER
        put(World(State((), {}), (), {}))

    def ask(
        self, status: int, caller: str, method: str, path: str, document: Any = None
    ) -> Any:
        """
        Make a call that is answered with a status; to a stranger, hidden is absent.
        """
        response = self.actors[caller].ask(method, f"/v2/images{path}", document)
        assert status == response.status, response.document
        if caller == STRANGER and status == 404:
            image_id = path.split("/")[1]
            absent = f"/v2/images{path.replace(image_id, NO_ID)}"
            other = self.actors[caller].ask(method, absent, document)
            assert (
                response.body.replace(image_id.encode(), NO_ID.encode()) == other.body
            )
        return response.document

    def some(self, data: st.DataObject) -> tuple[str, Thing, str, str]:
        """
        Draw an image, a caller and a project that often have to do with each other.
        """
        ids: list[str] = []
        for image_id, thing in self.things.items():
            ids += [image_id] * (6 if thing.statuses else 2)
        ids += [*sorted(self.gone), NO_ID]
        image_id = data.draw(st.sampled_from(ids), "image")
        thing = self.things.get(image_id, NOTHING)
        near = [thing.owner, ADMIN, *thing.statuses] if thing.exists else []
        caller = data.draw(st.sampled_from([*(near * 4), *CALLERS]), "caller")
        members = [*MEMBERS, *(one for one in thing.statuses for _ in range(3))]
        self.about = data.draw(st.sampled_from(members), "member")
        return image_id, thing, caller, self.about

    @rule(data=st.data(), call=st.sampled_from(CALLS))
    def make(self, data: st.DataObject, call: str) -> None:
        """Make a call of a kind.

        One rule, as what is drawn for a run is then every kind of call.
        """
        getattr(self, call)(data)

    @initialize(member=st.sampled_from(("consumer", "other")))
    def offer(self, member: str) -> None:
        """Begin with an image that is offered to a consumer."""
        self.add("producer")
        ((image_id, thing),) = self.things.items()
        self.actors["producer"].share(image_id, member)
        thing.statuses[member] = "pending"

    def create(self, data: st.DataObject) -> None:
        """Create an image, if there are few."""
        owner = data.draw(st.sampled_from(OWNERS), "owner")
        if len(self.things) < IMAGES_MOST:
            self.add(owner)

    def add(self, owner: str) -> None:
        """Create an image, which is shared with nobody yet."""
        image_id = f"{len(self.things) + len(self.gone):08x}{NO_ID[8:]}"
        self.ask(201, owner, "POST", "", {"id": image_id})
        self.things[image_id] = Thing(owner)

    def share(self, data: st.DataObject) -> None:
        """Make a project a member."""
        image_id, thing, caller, member = self.some(data)
        status = thing.refuses_members(caller) or thing.refuses(caller)
        if not status and len(thing.statuses) >= QUOTA:
            status = 413
        elif not status and member in thing.statuses:
            status = 409
        body = {"member": member}
        self.ask(status or 200, caller, "POST", f"/{image_id}/members", body)
        if not status:
            thing.statuses[member] = "pending"

    def set_status(self, data: st.DataObject) -> None:
        """Set a member's status: one's own, or any as an administrator."""
        image_id, thing, caller, member = self.some(data)
        status = data.draw(ANSWERS, "status")
        refusal = thing.refuses_members(caller, member)
        if not refusal and caller == thing.owner:
            refusal = 403
        path = f"/{image_id}/members/{member}"
        self.ask(refusal or 200, caller, "PUT", path, {"status": status})
        if not refusal:
            thing.statuses[member] = status

    def accept_or_reject(self, data: st.DataObject) -> None:
        """Answer as a consumer does."""
        offers = [
            (image_id, member)
            for image_id, thing in self.things.items()
            for member in thing.statuses
            if thing.visibility == "shared" and member != thing.owner
        ]
        if not offers:
            return
        image_id, member = data.draw(st.sampled_from(offers), "offer")
        self.about, status = member, data.draw(ANSWERS, "status")
        path = f"/{image_id}/members/{member}"
        self.ask(200, member, "PUT", path, {"status": status})
        self.things[image_id].statuses[member] = status

    def unshare(self, data: st.DataObject) -> None:
        """End a membership."""
        image_id, thing, caller, member = self.some(data)
        status = thing.refuses_members(caller, member) or thing.refuses(caller)
        path = f"/{image_id}/members/{member}"
        self.ask(status or 204, caller, "DELETE", path)
        if not status:
            del thing.statuses[member]

    def change(self, data: st.DataObject) -> None:
        """Change who sees an image, who owns it, or whether it is hidden.

        Only an administrator makes it public, or gives it away.
        """
        image_id, thing, caller, _ = self.some(data)
        name, value = data.draw(CHANGES, "change")
        status = thing.refuses(caller)
        differs = getattr(thing, name) != value
        if not status and differs and caller != ADMIN:
            status = 403 if name == "owner" or value == "public" else 0
        patch = [{"op": "replace", "path": f"/{name}", "value": value}]
        self.ask(status or 200, caller, "PATCH", f"/{image_id}", patch)
        if not status:
            setattr(thing, name, value)
        self.about = thing.owner if thing.exists else caller

    def delete(self, data: st.DataObject) -> None:
        """Delete an image, for its members, too; its id is never free again."""
        image_id, thing, caller, _ = self.some(data)
        if len(self.things) == 1:
            self.add("producer")
        status = thing.refuses(caller)
        self.ask(status or 204, caller, "DELETE", f"/{image_id}")
        if not status:
            self.ask(409, caller, "POST", "", {"id": image_id})
            del self.things[image_id]
            self.gone.add(image_id)

    def show(self, data: st.DataObject) -> None:
        """Show an image, its members, and one of them."""
        image_id, thing, caller, member = self.some(data)
        status = thing.refuses(caller, to_change=False)
        self.ask(status or 200, caller, "GET", f"/{image_id}")
        status = thing.refuses_members(caller, member, unshared=404)
        found = self.ask(status or 200, caller, "GET", f"/{image_id}/members/{member}")
        assert status or found["status"] == thing.statuses[member]
        status = thing.refuses_members(caller)
        found = self.ask(status or 200, caller, "GET", f"/{image_id}/members")
        if not status:
            everyone = caller in (thing.owner, ADMIN)
            assert {one["member_id"]: one["status"] for one in found["members"]} == {
                name: status
                for name, status in thing.statuses.items()
                if everyone or name == caller
            }

    @invariant()
    def keeps_what_the_calls_said(self) -> None:
        """
        What is stored is what the model has; of the deleted, only tombstones count.
        """
        images, statuses, counts = {}, {}, Counter[str]()
        for raw in truth():
            image_id, item = raw["pk"]["S"].removeprefix("IMAGE#"), raw["sk"]["S"]
            if item == "IMAGE":
                images[image_id] = raw
            elif image_id not in self.gone:
                counts[image_id] += 1
                statuses[image_id, raw["member_id"]["S"]] = raw["status"]["S"]

        assert statuses == {
            (image_id, member): response
            for image_id, thing in self.things.items()
            for member, response in thing.statuses.items()
        }
        assert self.gone == {one for one, raw in images.items() if "deleted" in raw}
        for image_id in self.things:
            assert counts[image_id] == int(images[image_id]["member_count"]["N"])
            assert counts[image_id] <= QUOTA

    @invariant()
    def lists_what_was_accepted(self) -> None:
        """A list has the project's own images, the public, and those that it accepted.

        The project that the last call was about looks, and another one in turn.
        """
        self.turn += 1
        for name in (self.about, CALLERS[self.turn % len(CALLERS)]):
            assert set(self.actors[name].listed()) == {
                one for one, thing in self.things.items() if thing.is_listed(name)
            }
        assert set(self.actors[self.about].listed(PENDING)) == {
            one for one, thing in self.things.items() if thing.is_offered(self.about)
        }

    @invariant()
    def hides_from_strangers(self) -> None:
        """
        What is private or shared does not exist for a stranger, nor what was deleted.

        Of all images, it tries one at a time.
        """
        ids = [*sorted(self.gone | self.things.keys()), NO_ID]
        image_id = ids[self.turn % len(ids)]
        thing = self.things.get(image_id, NOTHING)
        status = thing.refuses(STRANGER, to_change=False)
        self.ask(status or 200, STRANGER, "GET", f"/{image_id}")


@pytest.mark.parametrize(
    ("number", "lag"),
    [
        (0, 0),
        (1, 60),
        pytest.param(2, 0, marks=pytest.mark.thorough),
        pytest.param(3, 60, marks=pytest.mark.thorough),
    ],
)
def test_any_sequence_of_calls_keeps_the_promises_of_sharing(
    number: int, lag: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Access, statuses, lists and counts are right after each call, whoever made it.

    Whether hints are read or the indexes are trusted, which do not lag here.
    """
    bound = settings.current._replace(member_quota=QUOTA, index_lag_seconds=lag)
    monkeypatch.setattr(settings, "current", bound)

    @seed(number)
    class Here(Sharing):
        def __init__(self) -> None:
            super().__init__(send)

    run_state_machine_as_test(
        Here, settings=hypothesis_settings(RUN, stateful_step_count=14)
    )
