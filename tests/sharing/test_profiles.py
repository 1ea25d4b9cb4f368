"""Profiles and offer rules: who a project is, and what it does with offers."""

import json
import re
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

import app as service
from chalicelib.background import stream
from chalicelib.background.stream import Record
from chalicelib.domain import offer_rules
from chalicelib.store.dynamodb import query_page
from infra.local.server import per_thread
from infra.local.worker import Pump
from tests.actors import Actor
from tests.aws_faults import second_writer, stored
from tests.configuring import configure

PROFILE = "/ext/v1/profile"
RULES = "/ext/v1/rules"
ACME = {"display_name": "ACME", "contact": "images@acme.example", "published": True}


def test_a_profile_is_what_a_project_says_of_itself(producer: Actor) -> None:
    """A repeat finds it so; without one there is none."""
    before = producer.get(PROFILE).status
    first = producer.put(PROFILE, ACME)
    table = stored()
    second = producer.put(PROFILE, ACME)

    assert (before, first.document["result"]) == (404, "changed")
    assert second.document["result"] == "unchanged"
    assert stored() == table
    shown = producer.get(PROFILE).document
    assert shown == {
        "project_id": "producer",
        **ACME,
        "verified": False,
        "updated_at": shown["updated_at"],
    }
    assert [producer.delete(PROFILE).status for _ in range(2)] == [204, 204]
    assert producer.get(PROFILE).status == 404


def test_an_administrators_word_is_on_what_it_read(
    producer: Actor, consumer: Actor, admin: Actor
) -> None:
    """Another name or contact is not verified; being published or not is no matter."""
    verified = "/ext/v1/profiles/producer/verified"
    missing = admin.put(verified, {"verified": True}).status
    producer.put(PROFILE, ACME)
    refused = producer.put(verified, {"verified": True}).status
    results = [admin.put(verified, {"verified": True}).document for _ in range(2)]
    hidden = producer.put(PROFILE, ACME | {"published": False}).document
    renamed = producer.put(PROFILE, ACME | {"display_name": "Debian"}).document

    assert (missing, refused) == (404, 403)
    assert [one["result"] for one in results] == ["changed", "unchanged"]
    assert (hidden["verified"], renamed["verified"]) == (True, False)
    assert consumer.get("/ext/v1/recipients/producer").document["profile"] == {
        "display_name": "Debian",
        "contact": "images@acme.example",
        "verified": False,
    }


@pytest.mark.parametrize(
    "changed", [{"display_name": "Debian"}, {"contact": None}, {"contact": "a@b"}]
)
def test_an_administrator_verifies_what_it_names(
    changed: dict[str, Any], producer: Actor, admin: Actor
) -> None:
    """Not what the project made of it since, before or during the call."""
    per_thread(service.app)
    producer.put(PROFILE, ACME)
    seen = admin.get(f"{PROFILE}?project_id=producer").document
    named = {name: seen[name] for name in ("display_name", "contact")}
    wanted = {"verified": True, **named}
    verified = "/ext/v1/profiles/producer/verified"

    with second_writer("PutItem", lambda: producer.put(PROFILE, ACME | changed)):
        during = admin.put(verified, wanted)
    after = admin.put(verified, wanted)
    shown = producer.get(PROFILE).document
    producer.put(PROFILE, ACME)

    assert (during.status, during.document["reason"]) == (409, "conflict")
    assert (after.status, after.body) == (409, during.body)
    assert shown["verified"] is False
    assert admin.put(verified, wanted).document["verified"] is True


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"display_name": ""},
        {"display_name": " x"},
        {"display_name": "x" * 81},
        {"display_name": "\u202ex"},
        {"display_name": "a\nb"},
        {"display_name": "a\u2028b"},
        {"display_name": "x", "contact": "http://acme.example"},
        {"display_name": "x", "contact": "javascript:alert(1)"},
        {"display_name": "x", "contact": "a@b c"},
        {"display_name": "x", "contact": "https://acme.example:x@evil.example/"},
        {"display_name": "x", "contact": "https://acme.example/\u202egnp"},
        {"display_name": "x", "contact": "a@b\x00"},
        {"display_name": "x", "contact": "a@\ud800"},
        {"display_name": "x", "verified": True},
    ],
)
def test_a_profile_that_is_wrong_is_refused(body: Any, producer: Actor) -> None:
    """And nothing is kept."""
    assert producer.put(PROFILE, body).status == 400
    assert stored() == []


def test_rules_are_set_shown_and_removed(consumer: Actor) -> None:
    """By the producer's id, or for every other one."""
    answers = [consumer.put(f"{RULES}/*", {"effect": "mute"}) for _ in range(2)]
    consumer.put(f"{RULES}/producer", {"effect": "accept"})
    shown = consumer.get(RULES).document
    single = consumer.get(f"{RULES}/producer").document
    removed = [consumer.delete(f"{RULES}/producer").status for _ in range(2)]

    assert [one.document["result"] for one in answers] == ["changed", "unchanged"]
    assert shown == {
        "rules": [
            {"producer_id": "*", "effect": "mute"},
            {"producer_id": "producer", "effect": "accept"},
        ],
        "next": None,
    }
    assert single == {"producer_id": "producer", "effect": "accept"}
    assert removed == [204, 204]
    assert consumer.get(f"{RULES}/producer").status == 404


def test_no_rule_is_lost_where_they_take_more_than_a_page(
    consumer: Actor, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of long ids may: what is muted stays muted."""
    for one in ("a", "b", "producer"):
        consumer.put(f"{RULES}/{one}", {"effect": "mute"})
    producer.share(producer.make_image(), "consumer")
    monkeypatch.setattr(
        "chalicelib.store.offer_rules.query_page", partial(query_page, limit=1)
    )

    assert len(consumer.get(RULES).document["rules"]) == 3
    assert consumer.get("/ext/v1/incoming").document["memberships"] == []


def test_rules_have_a_bound(consumer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there may still be changed; one that was removed counts for a day."""
    monkeypatch.setattr("chalicelib.store.offer_rules.RULES_MAX", 1)
    consumer.put(f"{RULES}/a", {"effect": "mute"})

    beyond = consumer.put(f"{RULES}/b", {"effect": "mute"})
    changed = consumer.put(f"{RULES}/a", {"effect": "ask"})
    consumer.delete(f"{RULES}/a")
    still = consumer.put(f"{RULES}/b", {"effect": "mute"})
    again = consumer.put(f"{RULES}/a", {"effect": "ask"})

    assert (beyond.status, beyond.document["reason"]) == (413, "limit-exceeded")
    assert still.document == beyond.document
    assert [one.document["result"] for one in (changed, again)] == ["changed"] * 2
    (rule,) = (one for one in stored() if one["sk"]["S"] == "RULE#a")
    assert "expires_at" not in rule
    assert offer_rules.RULES_MAX == 500


def test_a_rule_accepts_an_offer_that_arrives(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """The producer's call says pending; a moment later the image is in the list."""
    consumer.put(f"{RULES}/producer", {"effect": "accept"})
    image_id = producer.make_image()
    answer = producer.post(
        f"/v2/images/{image_id}/members", {"member": "consumer"}
    ).document
    before = consumer.listed()
    pump.step()

    assert (answer["status"], before) == ("pending", [])
    assert consumer.listed() == [image_id]
    pump.step()
    assert producer.get("/ext/v1/recipients/consumer").document["known"] is True


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        (["rejected"], "rejected"),
        (["rejected", "pending"], "pending"),
        (["pending"], "accepted"),
        (["accepted", "rejected"], "rejected"),
    ],
)
def test_a_rule_never_overrules_the_consumers_own_answer(
    answers: list[str], status: str, producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """An answer before the rule acts wins; pending on pending is none."""
    consumer.put(f"{RULES}/producer", {"effect": "accept"})
    image_id = producer.make_image()
    producer.share(image_id, "consumer")
    for answer in answers:
        consumer.set_status(image_id, answer)
    pump.step()
    pump.step()

    member = consumer.get(f"/v2/images/{image_id}/members/consumer").document
    assert member["status"] == status


def test_a_rule_acts_once_on_each_offer(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """What the consumer answers later stays; a new offer is a new one."""
    consumer.put(f"{RULES}/producer", {"effect": "accept"})
    image_id = producer.make_image()
    producer.share(image_id, "consumer")
    pump.step()
    consumer.set_status(image_id, "pending")
    pump.step()
    later = consumer.listed()
    producer.delete(f"/v2/images/{image_id}/members/consumer")
    producer.share(image_id, "consumer")
    pump.step()

    assert (later, consumer.listed()) == ([], [image_id])


@pytest.mark.parametrize("before", [None, "ask", "mute"])
def test_a_rule_acts_on_no_offer_from_before_it_was_set(
    before: str | None, producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """However long that waited in the stream; on the next one it does."""
    rule = f"{RULES}/{'*' if before else 'producer'}"
    if before:
        consumer.put(rule, {"effect": before})
    image_id = producer.make_image()
    producer.share(image_id, "consumer")
    consumer.put(rule, {"effect": "accept"})
    pump.step()
    waiting = consumer.listed()
    later = producer.make_image()
    producer.share(later, "consumer")
    pump.step()

    assert (waiting, consumer.listed()) == ([], [later])


@pytest.mark.parametrize("removed", ["ask", "mute", "accept"])
def test_no_rule_for_everyone_accepts_an_offer_from_before_one_was_removed(
    removed: str, producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """The removed rule decided when it was made; the next offer is accepted."""
    for rule, effect in (("*", "accept"), ("producer", removed)):
        consumer.put(f"{RULES}/{rule}", {"effect": effect})
    first, second = producer.make_image(), producer.make_image()
    producer.share(first, "consumer")
    consumer.delete(f"{RULES}/producer")
    producer.share(second, "consumer")
    consumer.delete(f"{RULES}/producer")
    rules = consumer.get(RULES).document["rules"]
    pump.step()

    assert rules == [{"producer_id": "*", "effect": "accept"}]
    assert consumer.listed() == [second]
    assert consumer.get(f"/ext/v1/incoming/{first}").document["status"] == "pending"


def test_a_record_that_comes_again_has_no_effect(
    producer: Actor, consumer: Actor, image_id: str, pump: Pump
) -> None:
    """Whatever became of the offer since: an answer, a return to pending, a new one."""
    consumer.put(f"{RULES}/producer", {"effect": "accept"})
    producer.share(image_id, "consumer")
    (offer,) = (one for one in stored() if one["sk"]["S"] == "MEMBER#consumer")
    pump.step()
    states = []
    for change in (
        partial(consumer.set_status, image_id, "rejected"),
        partial(consumer.set_status, image_id, "pending"),
        partial(producer.delete, f"/ext/v1/outgoing/{image_id}/consumer"),
        partial(producer.share, image_id, "consumer"),
    ):
        change()
        before = stored()
        stream.accept_by_rule(Record(None, offer, "1"))
        states.append([one for one in stored() if one not in before])

    assert [
        [one for one in state if "RECENT#" not in one["sk"]["S"]] for state in states
    ] == [[]] * 4


def test_a_producer_cannot_tell_that_it_is_muted(
    producer: Actor, consumer: Actor, pump: Pump
) -> None:
    """Every answer that it can get is the same, byte for byte."""

    def seen(member: str) -> list[bytes]:
        image_id = str(uuid4())
        producer.make_image(id=image_id)
        share = f"/ext/v1/outgoing/{image_id}/{member}"
        answers = [producer.put(share, {"note": "hi"}), producer.put(share)]
        pump.step()
        answers += [
            producer.get(f"/ext/v1/outgoing/{image_id}"),
            producer.get(f"/ext/v1/outgoing?image_id={image_id}"),
            producer.get(f"/ext/v1/recipients/{member}"),
            producer.get(f"/v2/images/{image_id}/members/{member}"),
        ]
        texts = [one.body.replace(image_id.encode(), b"image") for one in answers]
        return [
            _without_times(text.replace(member.encode(), b"member")) for text in texts
        ]

    consumer.put(f"{RULES}/producer", {"effect": "mute"})

    assert seen("consumer") == seen("another")


def _without_times(text: bytes) -> bytes:
    return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"time", text)


def test_a_record_of_an_older_version_fails_no_stream(
    producer: Actor, consumer: Actor
) -> None:
    """What it lacks is lacking: no rule acts, nobody is noted, and it is done with."""
    consumer.put(f"{RULES}/*", {"effect": "accept"})
    image_id = producer.make_image()
    producer.share(image_id, "consumer")
    (item,) = (one for one in stored() if one["sk"]["S"] == "MEMBER#consumer")
    lacking = {"owner", "offered_at", "group_pk", "group_sk", "image_version"}
    older = {name: item[name] for name in item.keys() - lacking}
    answered = older | {"status": {"S": "accepted"}}
    bare = {name: answered[name] for name in answered.keys() - {"changed"}}
    noted = json.dumps(json.loads(older["changed"]["S"]) | {"project_id": "consumer"})
    before = stored()

    changes = [(None, older), (older, bare), (older, None)]
    changes.append((older, answered | {"changed": {"S": noted.replace("owner", "x")}}))
    done = stream.process_records(
        Record(old, new, str(number)) for number, (old, new) in enumerate(changes)
    )

    assert done == {"batchItemFailures": []}
    assert stored() == before


def test_no_rule_acts_while_the_extension_is_off(
    producer: Actor, consumer: Actor, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its project could not see or change it."""
    consumer.put(f"{RULES}/*", {"effect": "accept"})
    configure(monkeypatch, extension="off")
    producer.share(producer.make_image(), "consumer")
    pump.step()

    assert consumer.listed() == []
