"""The consumer's side of the extension: what is offered, answers and leaving."""

from typing import Any
from uuid import uuid4

import pytest
from pynamodb.expressions.update import Action

from chalicelib.api import extension
from chalicelib.store.items import MemberItem
from chalicelib.store.keys import member_key
from infra.local.worker import Pump
from tests.actors import Actor, Response, Send
from tests.aws_faults import on, stored
from tests.configuring import configure
from tests.lagging import lagging_indexes, lagging_table
from tests.scene import at

INCOMING = "/ext/v1/incoming"


def offered(actor: Actor, query: str = "") -> list[str]:
    """Return the ids of the images that are offered to an actor, page by page."""
    target: str | None = INCOMING + query
    found: list[str] = []
    while target:
        page = actor.get(target)
        assert page.status == 200, page.body
        found += [one["image_id"] for one in page.document["memberships"]]
        assert len(found) == len(set(found))
        target = page.document["next"]
    return found


def shared(producer: Actor, *members: str, **fields: Any) -> str:
    """Create an image that is shared with projects; return its id."""
    image_id = producer.make_image(**fields)
    producer.share(image_id, *members)
    return image_id


def reason(answer: Response) -> tuple[int, str]:
    """Return an error's status and reason."""
    return answer.status, answer.document["reason"]


def test_an_offer_says_what_is_offered_and_by_whom(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the producer's note and its profile, once that is published."""
    at(monkeypatch, "2026-11-28T10:00:00Z")
    image_id = producer.make_image(name="ubuntu", min_disk=8, disk_format="qcow2")
    producer.put(
        f"/ext/v1/outgoing/{image_id}/consumer", {"note": "Hardened, CIS level 1."}
    )
    profile = {
        "display_name": "ACME",
        "contact": "https://acme.example/images",
        "published": True,
    }
    producer.put("/ext/v1/profile", profile | {"published": False})
    (unpublished,) = consumer.get(INCOMING).document["memberships"]
    producer.put("/ext/v1/profile", profile)

    page = consumer.get(INCOMING)

    assert unpublished["producer"] == {"project_id": "producer"}
    assert page.document == {
        "memberships": [
            {
                "image_id": image_id,
                "status": "pending",
                "offered_at": "2026-11-28T10:00:00Z",
                "updated_at": "2026-11-28T10:00:00Z",
                "usable": True,
                "muted": False,
                "note": "Hardened, CIS level 1.",
                "producer": {
                    "project_id": "producer",
                    "display_name": "ACME",
                    "contact": "https://acme.example/images",
                    "verified": False,
                },
                "image": {
                    "name": "ubuntu",
                    "size": None,
                    "min_disk": 8,
                    "min_ram": 0,
                    "disk_format": "qcow2",
                    "status": "queued",
                },
            }
        ],
        "counts": {"pending": 1, "muted": 0, "approximate": True},
        "next": None,
    }


def test_the_newest_offer_comes_first_on_every_page(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old image that is offered late comes before a new one offered early."""
    images = []
    for minute in range(5):
        at(monkeypatch, f"2026-11-28T10:0{minute}:00Z")
        images.append(producer.make_image())
    order = [images[index] for index in (2, 0, 4, 1, 3)]
    for minute, image_id in enumerate(order):
        at(monkeypatch, f"2026-11-28T11:0{minute}:00Z")
        producer.share(image_id, "consumer")

    assert offered(consumer) == order[::-1]
    assert offered(consumer, "?limit=2") == order[::-1]
    at(monkeypatch, "2026-11-28T12:00:00Z")
    assert offered(consumer, "?limit=1") == order[::-1]


def test_the_list_holds_what_others_offer_alone(
    producer: Actor, consumer: Actor
) -> None:
    """Neither one's own images, nor one that one is a member of oneself."""
    consumer.make_image()
    own = consumer.make_image()
    consumer.share(own, "consumer")
    image_id = shared(producer, "consumer")

    assert offered(consumer) == [image_id]
    assert consumer.get(f"{INCOMING}/{own}").status == 404
    assert consumer.delete(f"{INCOMING}/{own}").status == 204
    left = {"answers": [{"image_id": own.upper(), "leave": True}]}
    assert consumer.post(INCOMING, left).document["results"] == [
        {"image_id": own, "result": "unchanged"}
    ]
    assert len(consumer.get(f"/v2/images/{own}/members").document["members"]) == 1


def test_the_list_follows_answers_of_either_api_at_once(
    producer: Actor, consumer: Actor
) -> None:
    """By the status that is asked for."""
    first, second = shared(producer, "consumer"), shared(producer, "consumer")
    consumer.set_status(first, "accepted")
    consumer.put(f"{INCOMING}/{second}", {"status": "rejected"})

    assert offered(consumer) == []
    assert offered(consumer, "?status=accepted") == [first]
    assert offered(consumer, "?status=rejected") == [second]
    assert set(offered(consumer, "?status=all")) == {first, second}


def test_filters_narrow_the_list(send: Send, producer: Actor, consumer: Actor) -> None:
    """By producer, and by what a rule mutes."""
    first = shared(producer, "consumer")
    second = shared(Actor(send, "other"), "consumer")
    consumer.put("/ext/v1/rules/other", {"effect": "mute"})

    page = consumer.get(INCOMING).document

    assert [one["image_id"] for one in page["memberships"]] == [first]
    assert page["counts"] == {"pending": 1, "muted": 1, "approximate": True}
    (muted,) = consumer.get(f"{INCOMING}?muted=true").document["memberships"]
    assert (muted["image_id"], muted["muted"]) == (second, True)
    assert offered(consumer, "?producer_id=producer") == [first]
    assert offered(consumer, "?producer_id=other&muted=true") == [second]
    assert offered(consumer, "?producer_id=nobody") == []


def test_a_rule_for_all_mutes_producers_without_one_of_their_own(
    send: Send, producer: Actor, consumer: Actor
) -> None:
    """Whose own rule asks is listed, and the others are counted as muted."""
    asked, muted = (shared(one, "consumer") for one in (producer, Actor(send, "other")))
    consumer.put("/ext/v1/rules/*", {"effect": "mute"})
    consumer.put("/ext/v1/rules/producer", {"effect": "ask"})

    assert offered(consumer) == [asked]
    assert offered(consumer, "?muted=true") == [muted]


def test_an_image_that_is_not_shared_now_tells_nothing(
    producer: Actor, consumer: Actor
) -> None:
    """The offer stays, unusable, without what the image became meanwhile."""
    image_id = shared(producer, "consumer", name="ubuntu")
    for name, value in (("visibility", "private"), ("name", "secret")):
        operation = {"op": "replace", "path": f"/{name}", "value": value}
        producer.patch(f"/v2/images/{image_id}", [operation])

    (offer,) = consumer.get(INCOMING).document["memberships"]
    answered = consumer.put(f"{INCOMING}/{image_id}", {"status": "accepted"})

    assert (offer["usable"], offer["image"]) == (False, None)
    assert reason(answered) == (403, "forbidden")
    assert consumer.delete(f"{INCOMING}/{image_id}").status == 204
    assert offered(consumer, "?status=all") == []


def test_an_offer_comes_and_goes_at_once(producer: Actor, consumer: Actor) -> None:
    """While eventually consistent reads are late: also that of a new image."""
    with lagging_table():
        image_id = shared(producer, "consumer")
        path = f"{INCOMING}/{image_id}"
        new = (offered(consumer), consumer.get(path).status)
        producer.delete(f"/ext/v1/outgoing/{image_id}/consumer")
        revoked = (offered(consumer), consumer.get(path).status)

    assert new == ([image_id], 200)
    assert revoked == ([], 404)


def test_offers_stand_where_they_belong_while_the_indexes_lag(
    send: Send, producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones and answers; the counts are of others' pending offers alone."""
    other, muted = Actor(send, "other"), Actor(send, "muted")
    consumer.put("/ext/v1/rules/muted", {"effect": "mute"})
    images = []
    for minute, who in enumerate((producer, other, producer, other)):
        at(monkeypatch, f"2026-11-28T10:0{minute}:00Z")
        images.append(shared(who, "consumer"))
    consumer.set_status(images[0], "accepted")
    shared(consumer, "consumer")
    queries = [f"?status={status}" for status in ("pending", "accepted", "all")]
    queries += ["?producer_id=producer", "?muted=true"]

    def lists() -> list[list[str]]:
        return [offered(consumer, query) for query in queries]

    with lagging_indexes():
        at(monkeypatch, "2026-11-28T11:00:00Z")
        consumer.set_status(images[1], "accepted")
        for second, who in enumerate((producer, other, muted)):
            at(monkeypatch, f"2026-11-28T11:00:0{second}Z")
            images.append(shared(who, "consumer"))
        consumer.set_status(images[4], "accepted")
        lagging = lists()

    places = ([5, 3, 2], [4, 1, 0], [5, 4, 3, 2, 1, 0], [2], [6])
    assert lagging == [[images[place] for place in some] for some in places]
    assert lists() == lagging
    assert consumer.get(f"{INCOMING}?status=all").document["counts"] == {
        "pending": 3,
        "muted": 1,
        "approximate": True,
    }


def test_each_page_is_full_but_the_last_which_is_not_empty(
    send: Send, producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a filter leaves out, and while the indexes do not know the newest."""
    other = Actor(send, "other")
    at(monkeypatch, "2026-11-28T10:00:00Z")
    old = [shared(who, "consumer") for who in (producer, other) * 2]
    at(monkeypatch, "2026-11-28T11:00:00Z")
    kept = sorted(old[::2], reverse=True)

    def pages(query: str) -> list[list[str]]:
        target, found = INCOMING + query, []
        while target:
            page = consumer.get(target).document
            found.append([one["image_id"] for one in page["memberships"]])
            assert len(found) < 9
            target = page["next"]
        return found

    assert pages("?producer_id=producer&limit=1") == [[one] for one in kept]
    assert pages("?producer_id=producer&limit=2") == [kept]
    with lagging_indexes():
        new = sorted((shared(producer, "consumer") for _ in range(2)), reverse=True)
        assert pages("?producer_id=producer&limit=2") == [new, kept]
        three = pages("?producer_id=producer&limit=3")
        assert three == [[*new, kept[0]], kept[1:]]


def test_of_more_offers_than_are_sorted_the_newest_images_are_shown(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list says so, if it is of that status; a hint still proposes an older one."""
    monkeypatch.setattr("chalicelib.store.incoming.OFFERS_MAX", 2)
    images = []
    for minute in range(4):
        at(monkeypatch, f"2026-11-28T10:0{minute}:00Z")
        images.append(producer.make_image())
    other = shared(producer, "consumer")
    consumer.set_status(other, "accepted")
    for minute in (3, 2, 1, 0):
        at(monkeypatch, f"2026-11-28T11:0{9 - 2 * minute}:00Z")
        producer.share(images[minute], "consumer")

    hinted = consumer.get(INCOMING).document
    at(monkeypatch, "2026-11-28T12:00:00Z")
    later = consumer.get(INCOMING).document
    accepted = consumer.get(f"{INCOMING}?status=accepted").document

    def ids(document: Any) -> list[str]:
        return [one["image_id"] for one in document["memberships"]]

    assert ids(hinted) == [images[number] for number in (0, 2, 3)]
    assert (ids(later), later["truncated"]) == ([images[2], images[3]], True)
    assert (ids(accepted), "truncated" in accepted) == ([other], False)


def test_a_list_reads_no_more_hints_than_it_shows(
    producer: Actor, consumer: Actor
) -> None:
    """However many offers are new."""
    images = [producer.make_image() for _ in range(4)]
    counted: list[int] = []

    with (
        lagging_indexes(),
        on(
            "after-call.dynamodb.Query",
            lambda parsed, **_: counted.append(parsed["ScannedCount"]),
        ),
    ):
        for image_id in images:
            producer.share(image_id, "consumer")
        consumer.get(f"{INCOMING}?limit=2")

    assert max(counted) == 2


def test_an_offer_without_a_time_is_as_old_as_its_image(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of earlier releases lack `offered_at`, the oldest ones `owner` as well."""
    images = []
    for minute in range(4):
        at(monkeypatch, f"2026-11-28T10:0{minute}:00Z")
        images.append(producer.make_image())
    for minute in (3, 2, 1, 0):
        at(monkeypatch, f"2026-11-28T11:0{9 - minute}:00Z")
        producer.share(images[minute], "consumer")
    for number in (0, 2, 3):
        actions: list[Action] = [MemberItem.offered_at.remove()]
        actions += [MemberItem.owner.remove()] if number == 0 else []
        MemberItem(*member_key(images[number], "consumer")).update(actions=actions)
    at(monkeypatch, "2026-11-28T12:00:00Z")

    ordered = [images[number] for number in (1, 3, 2, 0)]
    assert offered(consumer) == offered(consumer, "?limit=1") == ordered
    assert consumer.get(INCOMING).document["counts"]["pending"] == 4


@pytest.mark.parametrize(("act", "status"), [("private", 403), ("deleted", 404)])
def test_an_answer_is_given_on_what_is_there_now(
    act: str, status: int, producer: Actor, consumer: Actor
) -> None:
    """A list may show an image as it was a moment ago; that accepts nothing."""
    image_id = shared(producer, "consumer")
    with lagging_table():
        if act == "deleted":
            producer.delete(f"/v2/images/{image_id}")
        else:
            operation = {"op": "replace", "path": "/visibility", "value": act}
            producer.patch(f"/v2/images/{image_id}", [operation])
        late = consumer.get(INCOMING).document["memberships"]
        answered = consumer.put(f"{INCOMING}/{image_id}", {"status": "accepted"})
    now = consumer.get(INCOMING).document["memberships"]

    assert [one["image_id"] for one in late] == [image_id]
    assert answered.status == status
    assert [one["usable"] for one in now] == ([] if act == "deleted" else [False])


def test_an_answer_that_is_repeated_changes_nothing(
    producer: Actor, consumer: Actor
) -> None:
    """It says so, and the table is identical."""
    image_id = shared(producer, "consumer")
    first = consumer.put(f"{INCOMING}/{image_id}", {"status": "accepted"})
    before = stored()

    second = consumer.put(f"{INCOMING}/{image_id}", {"status": "accepted"})

    assert first.document["result"] == "changed"
    assert second.document == first.document | {"result": "unchanged"}
    assert stored() == before


def test_leaving_ends_access_until_the_next_offer(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """The producer may offer it again; the old note does not come back."""
    image_id = producer.make_image()
    share = f"/ext/v1/outgoing/{image_id}/consumer"
    producer.put(share, {"note": "first"})

    left = [consumer.delete(f"{INCOMING}/{image_id}").status for _ in range(2)]
    gone = consumer.get(f"/v2/images/{image_id}").status
    producer.put(share)
    again = consumer.get(f"{INCOMING}/{image_id}").document
    pump.step()

    assert (left, gone) == ([204, 204], 404)
    assert (again["status"], again["note"]) == ("pending", None)
    assert all(not item["sk"]["S"].startswith("NOTE#") for item in stored())
    assert producer.get(f"/v2/images/{image_id}/members").status == 200


def test_many_answers_are_given_at_once(producer: Actor, consumer: Actor) -> None:
    """A result for each; a bad one stops no other, and a dry run says the same."""
    images = [shared(producer, "consumer") for _ in range(3)]
    absent = str(uuid4())
    asked = {
        "answers": [
            {"image_id": images[0], "status": "accepted"},
            {"image_id": absent, "status": "accepted"},
            {"image_id": images[1], "status": "pending"},
            {"image_id": images[2], "leave": True},
        ]
    }
    before = stored()

    dry = consumer.post(INCOMING, asked | {"dry_run": True})
    untouched = stored() == before
    real = consumer.post(INCOMING, asked)
    again = consumer.post(INCOMING, asked)

    assert untouched
    assert dry.document == real.document
    assert real.document == {
        "results": [
            {"image_id": images[0], "result": "changed"},
            {"image_id": absent, "result": "refused", "reason": "not-found"},
            {"image_id": images[1], "result": "unchanged"},
            {"image_id": images[2], "result": "left"},
        ],
        "next": None,
    }
    results = [one["result"] for one in again.document["results"]]
    assert results == ["unchanged", "refused", "unchanged", "unchanged"]


def test_a_call_that_runs_out_of_time_says_where_to_go_on(
    producer: Actor, consumer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer that was not tried."""
    image_id = shared(producer, "consumer")
    monkeypatch.setattr(extension, "BULK_SECONDS", -1)

    asked = {"answers": [{"image_id": image_id, "status": "accepted"}]}
    answer = consumer.post(INCOMING, asked)

    assert answer.document == {"results": [], "next": {"image_id": image_id}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'The body must have "answers".'),
        ({"answers": []}, "/answers must have 1 or more items."),
        (
            {"answers": [{"image_id": "x" * 36, "status": "accepted"}]},
            "/answers/0 must be an image's id.",
        ),
        (
            {"answers": [{"image_id": "x" * 36, "statsu": "accepted"}]},
            "/answers/0 must have either status or leave.",
        ),
        (
            {"answers": [{"image_id": "x" * 36, "leave": True}], "dry": True},
            "/dry is not a key of this body.",
        ),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_a_pointer(
    body: Any, message: str, consumer: Actor
) -> None:
    """A misspelt key must answer nothing."""
    answer = consumer.post(INCOMING, body)

    assert answer.status == 400
    assert answer.document["detail"] == message


@pytest.mark.parametrize(
    "query",
    [
        "?stauts=accepted",
        "?status=x",
        "?limit=0",
        "?limit=00000000199",
        "?marker=x",
        "?muted=1",
    ],
)
def test_a_parameter_that_is_wrong_is_refused(query: str, consumer: Actor) -> None:
    """With what it may be."""
    assert reason(consumer.get(INCOMING + query)) == (400, "invalid")


def test_a_hidden_offer_looks_absent(
    producer: Actor, stranger: Actor, image_id: str
) -> None:
    """To who is no member, and to the owner on this side."""
    absent = str(uuid4())
    for actor in (stranger, producer):
        for method, body in (("GET", None), ("PUT", {"status": "accepted"})):
            hidden = actor.ask(method, f"{INCOMING}/{image_id}", body)
            missing = actor.ask(method, f"{INCOMING}/{absent}", body)
            assert hidden.status == missing.status == 404
            assert hidden.body.replace(image_id.encode(), absent.encode()) == (
                missing.body
            )
        assert actor.delete(f"{INCOMING}/{image_id}").status == 204
        assert actor.delete(f"{INCOMING}/{absent}").status == 204


def test_nobody_answers_an_offer_for_another(
    producer: Actor, consumer: Actor, admin: Actor
) -> None:
    """An administrator reads what another project sees, and writes nothing for it."""
    image_id = shared(producer, "consumer")
    reader = consumer.using("reader")

    seen = admin.get(f"{INCOMING}?project_id=consumer").document["memberships"]
    answered = admin.put(f"{INCOMING}/{image_id}", {"status": "accepted"})
    forced = admin.put(
        f"{INCOMING}/{image_id}?project_id=consumer", {"status": "accepted"}
    )

    assert [one["image_id"] for one in seen] == [image_id]
    assert (answered.status, forced.status) == (404, 400)
    assert reason(producer.get(f"{INCOMING}?project_id=consumer")) == (403, "forbidden")
    assert reader.get(INCOMING).status == 200
    assert reader.put(f"{INCOMING}/{image_id}", {"status": "accepted"}).status == 403
    assert reader.delete(f"{INCOMING}/{image_id}").status == 403


def test_the_extension_can_be_switched_off(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are then as every unknown one; direct uploads stay."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    configure(monkeypatch, extension="off")

    for target in (
        "/ext/v1",
        INCOMING,
        f"/ext/v1/outgoing/{image_id}",
        "/ext/v1/rules",
    ):
        off, unknown = producer.get(target), producer.get("/ext/v1/nothing")
        assert (off.status, off.body) == (unknown.status, unknown.body)
        assert producer.put(target).body == off.body
    assert producer.get(f"/ext/v1/images/{image_id}/uploads").status == 200


def test_the_limits_are_told(consumer: Actor) -> None:
    """What a call takes at most."""
    assert consumer.get("/ext/v1").document["limits"]["pairs"] == 500
