"""
Any sequence of calls by producers, consumers and administrators, against a small model.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests
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
from chalicelib.background import functions
from chalicelib.domain.quotas import UPLOADING
from chalicelib.store import dynamodb
from chalicelib.store import usage as usage_store
from infra.local import backend
from infra.local.streams import MotoStream
from infra.local.worker import Pump
from tests.actors import Actor, Response, Send
from tests.aws_faults import truth
from tests.properties.model import ADMIN, MEMBERS_MOST, UPLOADS_MOST, Model, Thing
from tests.properties.runs import RUN
from tests.properties.worlds import NO_ID, State, World, put

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

IMAGES_MOST = 3
PENDING = "?visibility=shared&member_status=pending"
STRANGER = "stranger"
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
    *("offer_or_revoke", "answer_or_leave", "set_rule", "bring_data", "bring_data"),
    "settle",
)
CONTENT = b"cloud images"
WAYS = ("file", "stage", "import", "begin", "begin", "complete", "abort")
ANSWERS = st.sampled_from(("pending", "accepted", "rejected"))
CHANGES = st.sampled_from(
    [("visibility", one) for one in ("private", "community", "public", "public")]
    + [("visibility", "shared")] * 5
    + [("os_hidden", True), ("os_hidden", False)]
    + [("owner", one) for one in OWNERS] * 2
)


NOTHING = Thing(exists=False)


class Sharing(RuleBasedStateMachine):
    """The service and the model, side by side: each call goes to both."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.actors = {name: Actor(send, name) for name in (*CALLERS, *MEMBERS)}
        self.actors[ADMIN] = self.actors[ADMIN].using("admin")
        self.model = Model()
        self.gone: set[str] = set()
        self.turn = 0
        self.about = STRANGER
        put(World(State((), {}), (), {}))
        self.pump = _pump()

    @property
    def things(self) -> dict[str, Thing]:
        """The images that the model has, by their ids."""
        return self.model.things

    def ask(
        self, status: int, caller: str, method: str, path: str, document: Any = None
    ) -> Any:
        """
        Make a call that is answered with a status; to a stranger, hidden is absent.
        """
        target = path if path.startswith("/ext") else f"/v2/images{path}"
        response = self.actors[caller].ask(method, target, document)
        assert status == response.status, response.document
        if caller == STRANGER and status == 404:
            image_id = target.split("/")[4 if "/ext" in target else 3]
            absent = target.replace(image_id, NO_ID)
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
        if call == "change":  # What members copy of the image lags, too.
            self.settle()

    @initialize(member=st.sampled_from(("consumer", "other")))
    def offer(self, member: str) -> None:
        """Begin with an image that is offered to a consumer."""
        self.add("producer")
        ((image_id, thing),) = self.things.items()
        self.actors["producer"].share(image_id, member)
        thing.statuses[member] = "pending"
        thing.fresh[member] = ("producer", self.turn)

    def create(self, data: st.DataObject) -> None:
        """Create an image, if there are few."""
        owner = data.draw(st.sampled_from(OWNERS), "owner")
        if len(self.things) < IMAGES_MOST:
            self.add(owner)

    def add(self, owner: str) -> None:
        """Create an image, which is shared with nobody yet."""
        image_id = f"{len(self.things) + len(self.gone):08x}{NO_ID[8:]}"
        formats = {"disk_format": "raw", "container_format": "bare"}
        self.ask(201, owner, "POST", "", {"id": image_id, **formats})
        self.things[image_id] = Thing(owner)

    def share(self, data: st.DataObject) -> None:
        """Make a project a member."""
        image_id, thing, caller, member = self.some(data)
        status = thing.refuses_members(caller) or thing.refuses(caller)
        if not status and len(thing.statuses) >= MEMBERS_MOST:
            status = 413
        elif not status and member in thing.statuses:
            status = 409
        body = {"member": member}
        self.ask(status or 200, caller, "POST", f"/{image_id}/members", body)
        if not status:
            thing.statuses[member] = "pending"
            thing.fresh[member] = (thing.owner, self.turn)

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
            thing.answer(member, status)

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
        self.things[image_id].answer(member, status)

    def unshare(self, data: st.DataObject) -> None:
        """End a membership."""
        image_id, thing, caller, member = self.some(data)
        status = thing.refuses_members(caller, member) or thing.refuses(caller)
        path = f"/{image_id}/members/{member}"
        self.ask(status or 204, caller, "DELETE", path)
        if not status:
            thing.end(member)

    def offer_or_revoke(self, data: st.DataObject) -> None:
        """Share by the extension, or stop sharing, as the owner alone may."""
        image_id, thing, caller, member = self.some(data)
        path = f"/ext/v1/outgoing/{image_id}/{member}"
        if data.draw(st.booleans(), "revoke"):
            refusal = 0 if thing.exists and caller == thing.owner else 404
            self.ask(refusal or 204, caller, "DELETE", path)
            if not refusal and member in thing.statuses:
                thing.end(member)
            return
        is_new = member not in thing.statuses
        refusal = thing.refuses_share(caller, member)
        status = refusal or (201 if is_new else 200)
        self.ask(status, caller, "PUT", path, {"note": "hello"})
        if is_new and not refusal:
            thing.statuses[member] = "pending"
            thing.fresh[member] = (thing.owner, self.turn)

    def answer_or_leave(self, data: st.DataObject) -> None:
        """Answer an offer by the extension, or leave: of no member, it is no error."""
        image_id, thing, caller, _ = self.some(data)
        path, status = f"/ext/v1/incoming/{image_id}", data.draw(ANSWERS, "status")
        if data.draw(st.booleans(), "leave"):
            self.ask(204, caller, "DELETE", path)
            if thing.exists and caller in thing.statuses and caller != thing.owner:
                thing.end(caller)
            return
        refusal = thing.refuses_answer(caller)
        self.ask(refusal or 200, caller, "PUT", path, {"status": status})
        if not refusal and thing.statuses[caller] != status:
            thing.answer(caller, status)

    def set_rule(self, data: st.DataObject) -> None:
        """Accept a producer's next offers by a rule, or no longer."""
        member = data.draw(st.sampled_from(MEMBERS), "member")
        owner = data.draw(st.sampled_from(OWNERS), "owner")
        path = f"/ext/v1/rules/{owner}"
        if data.draw(st.booleans(), "remove"):
            self.ask(204, member, "DELETE", path)
            self.model.rules.pop((member, owner), None)
        else:
            self.ask(200, member, "PUT", path, {"effect": "accept"})
            self.model.rules.setdefault((member, owner), self.turn)

    def bring_data(self, data: st.DataObject) -> None:
        """Upload an image's data, stage or import it, or send it in parts."""
        image_id, thing, caller, _ = self.some(data)
        way = data.draw(st.sampled_from(WAYS), "way")
        if way in ("complete", "abort"):
            self.end_upload(image_id, thing, way)
            return
        refusal = thing.refuses(caller)
        if way != "import":
            refusal = self.model.refuses_upload(thing, caller)
        elif not refusal and thing.status != "uploading":
            refusal = 409
        uploads = f"/ext/v1/images/{image_id}/uploads"
        direct = {"method": {"name": "glance-direct"}}
        send, done, after = {
            "file": (self.sending(image_id, "file"), 204, "active"),
            "stage": (self.sending(image_id, "stage"), 204, "uploading"),
            "import": (self.posting(f"/v2/images/{image_id}/import", direct), 202, ""),
            "begin": (self.posting(uploads, {"size": len(CONTENT)}), 201, "saving"),
        }[way]
        response = send(self.actors[caller])
        assert response.status == (refusal or done), (way, response.document)
        if not refusal:
            thing.status = after or "active"
            self.model.used[thing.owner] += way == "begin"

    def sending(self, image_id: str, to: str) -> Callable[[Actor], Response]:
        """Return how an actor sends data."""
        return lambda actor: actor.upload(image_id, CONTENT, to)

    def posting(self, path: str, body: Any) -> Callable[[Actor], Response]:
        """Return how an actor sends a document."""
        return lambda actor: actor.post(path, body)

    def end_upload(self, image_id: str, thing: Thing, way: str) -> None:
        """Complete the direct upload that is open, or abort it, if there is one."""
        if thing.status != "saving" or thing.is_complete:
            return
        owner, path = self.actors[thing.owner], f"/ext/v1/images/{image_id}/uploads"
        (upload,) = [
            one["self"]
            for one in owner.get(path).document["uploads"]
            if one["state"] == "open"
        ]
        if way == "abort":
            assert owner.delete(upload).status == 204
            thing.status = "queued"
            self.model.used[thing.owner] -= 1
            return
        urls = owner.post(f"{upload}/urls", {"part_numbers": [1]}).document
        assert requests.put(urls["parts"][0]["url"], CONTENT, timeout=10).ok
        assert owner.post(f"{upload}/complete").status == 202
        thing.is_complete = True

    def settle(self, _: st.DataObject | None = None) -> None:
        """Have the stream's function and the worker do what waits for them."""
        self.pump.drain()
        self.model.settle()

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
            elif item.startswith("MEMBER#") and image_id not in self.gone:
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
            assert counts[image_id] <= MEMBERS_MOST
        assert {
            image_id: images[image_id]["status"]["S"] for image_id in self.things
        } == {image_id: thing.status for image_id, thing in self.things.items()}
        for owner in OWNERS:
            assert self.model.used[owner] == used_by(owner)

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


def bounded() -> settings.Settings:
    """Return settings by which the model's bounds are the service's."""
    return settings.current._replace(
        member_quota=MEMBERS_MOST, image_count_uploading=UPLOADS_MOST
    )


def used_by(owner: str) -> int:
    """Return how many uploads in progress are counted for a project."""
    return usage_store.load_usage(owner).used.get(UPLOADING, 0)


def _pump() -> Pump:
    """Make what hands changes and uploads on to the functions beside the API's."""
    client, name = dynamodb.connection.connection.client, dynamodb.connection.table_name
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.update_table(TableName=name, StreamSpecification=stream)
    sqs = boto3.client("sqs")
    for url in (backend.QUEUE_URL, backend.IMPORT_QUEUE_URL):
        # What a run had that died is another one's at once.
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    return Pump(
        MotoStream(name), functions.stream, functions.worker, functions.importer
    )


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
    monkeypatch.setattr(settings, "current", bounded()._replace(index_lag_seconds=lag))

    @seed(number)
    class Here(Sharing):
        def __init__(self) -> None:
            super().__init__(send)

    run_state_machine_as_test(
        Here, settings=hypothesis_settings(RUN, stateful_step_count=14)
    )
