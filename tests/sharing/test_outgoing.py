"""The producer's side of the extension: shares, notes, bulk, and their end."""

from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.api import extension
from infra.local.worker import Pump
from tests.actors import Actor, Response
from tests.aws_faults import on, recording, second_writer, stored
from tests.configuring import configure
from tests.scene import at

OUTGOING = "/ext/v1/outgoing"
ONE = "00000000-0000-4000-8000-000000000000"
HIDING = (
    "/note must have no control characters and no characters that change the direction"
    " of text."
)


def results(answer: Response) -> dict[tuple[str, str], str]:
    """Return the result of each pair, or why it was refused."""
    assert answer.status == 200, answer.body
    return {
        (one["image_id"], one["project_id"]): one.get("reason", one["result"])
        for one in answer.document["results"]
    }


def bulk(images: list[str], projects: list[str], **more: Any) -> dict[str, Any]:
    """Return the body of a bulk call that shares."""
    return {"action": "share", "images": images, "projects": projects, **more}


def listed(actor: Actor, query: str = "") -> list[tuple[str, str, str | None]]:
    """Return image, project and note of all that an actor shares, page by page."""
    target: str | None = OUTGOING + query
    found: list[tuple[str, str, str | None]] = []
    while target:
        page = actor.get(target)
        assert page.status == 200, page.body
        found += [
            (one["image_id"], one["project_id"], one["note"])
            for one in page.document["memberships"]
        ]
        assert len(found) == len(set(found))
        target = page.document["next"]
    return found


def change(actor: Actor, image_id: str, name: str, value: Any) -> None:
    """Change one attribute of an image."""
    operation = {"op": "replace", "path": f"/{name}", "value": value}
    assert actor.patch(f"/v2/images/{image_id}", [operation]).status == 200


@pytest.mark.parametrize("most", [-1, 100])
def test_a_share_names_what_it_wants(
    most: int,
    producer: Actor,
    consumer: Actor,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A repeat finds it so; a note is written, changed, kept and removed.

    With a quota of offers and without.
    """
    configure(monkeypatch, offer_count_total=most)
    share = f"{OUTGOING}/{image_id}/consumer"
    bodies = [{"note": "one"}, {"note": "one"}, {}, {"note": "two"}, {"note": None}]
    seen = []
    for body in bodies:
        answer = producer.put(share, body)
        note = consumer.get(f"/ext/v1/incoming/{image_id}").document["note"]
        (member,) = producer.get(f"{OUTGOING}/{image_id}").document["members"]
        assert member["note"] == note
        seen.append((answer.status, answer.document["result"], note))

    assert seen == [
        (201, "shared", "one"),
        (200, "unchanged", "one"),
        (200, "unchanged", "one"),
        (200, "changed", "two"),
        (200, "changed", None),
    ]
    assert producer.put(share).document == {
        "image_id": image_id,
        "project_id": "consumer",
        "result": "unchanged",
        "known": False,
    }


def test_a_repeat_leaves_an_identical_table(producer: Actor, image_id: str) -> None:
    """Of each write of the producer."""
    share = f"{OUTGOING}/{image_id}/consumer"
    exact = {"members": [{"project_id": "consumer", "note": "hello"}]}
    for method, target, body in (
        ("PUT", share, {"note": "hello"}),
        ("PUT", f"{OUTGOING}/{image_id}", exact),
        ("POST", OUTGOING, bulk([image_id], ["consumer"], note="hello")),
        ("DELETE", share, None),
        ("POST", OUTGOING, bulk([image_id], ["consumer"]) | {"action": "revoke"}),
    ):
        first = producer.ask(method, target, body)
        before = stored()
        second = producer.ask(method, target, body)
        assert first.status in (200, 201, 204)
        assert second.status in (200, 204)
        assert stored() == before


def test_both_apis_see_the_same_membership(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """An ordinary member, with an ordinary status."""
    producer.put(f"{OUTGOING}/{image_id}/consumer", {"note": "hello"})
    consumer.set_status(image_id, "accepted")

    (member,) = producer.get(f"/v2/images/{image_id}/members").document["members"]
    (share,) = producer.get(f"{OUTGOING}/{image_id}").document["members"]

    assert (member["member_id"], member["status"]) == ("consumer", "accepted")
    assert (share["project_id"], share["status"]) == ("consumer", "accepted")
    assert consumer.listed() == [image_id]


def test_the_producer_sees_and_ends_what_a_private_image_kept(
    producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Before a flip back to shared gives access again."""
    producer.share(image_id, "consumer", "other")
    change(producer, image_id, "visibility", "private")

    page = producer.get(f"{OUTGOING}/{image_id}").document
    ended = producer.delete(f"{OUTGOING}/{image_id}/consumer")
    change(producer, image_id, "visibility", "shared")

    assert page["visibility"] == "private"
    assert [(one["project_id"], one["usable"]) for one in page["members"]] == [
        ("consumer", False),
        ("other", False),
    ]
    assert ended.status == 204
    assert consumer.get(f"/v2/images/{image_id}").status == 404
    assert producer.get(f"{OUTGOING}/{image_id}").document["members"][0][
        "project_id"
    ] == ("other")


def test_exactly_these_projects_are_members(producer: Actor, image_id: str) -> None:
    """Others are revoked, missing ones shared with, notes set where one is named."""
    producer.put(f"{OUTGOING}/{image_id}/kept", {"note": "old"})
    producer.put(f"{OUTGOING}/{image_id}/gone")
    producer.put(f"{OUTGOING}/{image_id}/noted")
    wanted = {
        "members": [
            {"project_id": "kept"},
            {"project_id": "noted", "note": "hello"},
            {"project_id": "new"},
            {"project_id": "producer"},
        ]
    }

    answer = producer.put(f"{OUTGOING}/{image_id}", wanted)

    assert results(answer) == {
        (image_id, "gone"): "revoked",
        (image_id, "kept"): "unchanged",
        (image_id, "noted"): "changed",
        (image_id, "new"): "shared",
        (image_id, "producer"): "own-project",
    }
    assert listed(producer) == [
        (image_id, "kept", "old"),
        (image_id, "new", None),
        (image_id, "noted", "hello"),
    ]


def test_bulk_says_what_came_of_each_pair(
    producer: Actor, stranger: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad pair stops no other, and a dry run says the same and writes nothing."""
    configure(monkeypatch, member_quota=60)
    projects = [f"project-{number}" for number in range(70)]
    image_id, private = producer.make_image(), producer.make_image(visibility="private")
    foreign, absent = stranger.make_image(), str(uuid4())
    producer.share(image_id, projects[3])
    asked = bulk([image_id, private, foreign, absent], projects, note="hello")
    before = stored()

    dry = producer.post(OUTGOING, asked | {"dry_run": True})
    untouched = stored() == before
    real = producer.post(OUTGOING, asked)

    assert untouched
    assert dry.document == real.document
    outcomes = results(real)
    assert outcomes[image_id, projects[3]] == "changed"
    mine = [outcomes[image_id, project] for project in projects]
    assert [mine.count(one) for one in ("shared", "limit-exceeded")] == [59, 10]
    assert {outcomes[private, project] for project in projects} == {"not-shared"}
    assert {outcomes[foreign, one] for one in projects} == {"not-found"}
    assert {outcomes[absent, one] for one in projects} == {"not-found"}
    assert len(producer.get(f"/v2/images/{image_id}/members").document["members"]) == 60


def test_bulk_revokes(producer: Actor) -> None:
    """Of each pair that is there."""
    images = [producer.make_image() for _ in range(2)]
    producer.share(images[0], "a", "b")

    asked = {"action": "revoke", "images": images, "projects": ["a", "b"]}
    dry = producer.post(OUTGOING, asked | {"dry_run": True})
    real = producer.post(OUTGOING, asked)

    assert dry.document == real.document
    assert results(real) == {
        (images[0], "a"): "revoked",
        (images[0], "b"): "revoked",
        (images[1], "a"): "unchanged",
        (images[1], "b"): "unchanged",
    }
    assert listed(producer) == []


def test_a_bulk_call_that_runs_out_of_time_says_where_to_go_on(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pair that was not tried."""
    monkeypatch.setattr(extension, "BULK_SECONDS", -1)
    projects = [f"project-{number:02}" for number in range(60)]

    asked = bulk([image_id], projects) | {"action": "revoke"}
    answer = producer.post(OUTGOING, asked)

    assert answer.document["next"] == {"image_id": image_id, "project_id": projects[0]}

    answer = producer.post(OUTGOING, bulk([image_id.upper()], projects))

    assert answer.document["next"] == {"image_id": image_id, "project_id": projects[49]}
    assert list(results(answer).values()) == ["shared"] * 49


def test_only_known_projects_are_shared_with_if_asked(
    producer: Actor, consumer: Actor, image_id: str, pump: Pump
) -> None:
    """One that published a profile, or has once answered."""
    first = producer.make_image()
    producer.share(first, "consumer", "silent")
    consumer.set_status(first, "rejected")
    published = replace(consumer, project="published")
    published.put("/ext/v1/profile", {"display_name": "P", "published": True})
    hidden = replace(consumer, project="hidden")
    hidden.put("/ext/v1/profile", {"display_name": "H"})
    pump.step()

    projects = ["consumer", "silent", "published", "hidden", "never"]
    answer = producer.post(OUTGOING, bulk([image_id], projects, known_only=True))
    revoked = producer.put(f"{OUTGOING}/{first}", {"members": []}).document["results"]

    assert [one["known"] for one in revoked] == [True, False]
    assert results(answer) == {
        (image_id, "consumer"): "shared",
        (image_id, "silent"): "unknown-recipient",
        (image_id, "published"): "shared",
        (image_id, "hidden"): "unknown-recipient",
        (image_id, "never"): "unknown-recipient",
    }
    shown = [producer.get(f"/ext/v1/recipients/{one}") for one in projects]
    assert [one.document["known"] for one in shown] == [True, False, True, False, False]
    hidden_body = shown[3].body.replace(b"hidden", b"never")
    assert hidden_body == shown[4].body


def test_the_list_is_narrowed(producer: Actor, consumer: Actor) -> None:
    """By member, by image and by status, across pages."""
    images = sorted(producer.make_image() for _ in range(3))
    for image_id in images:
        producer.share(image_id, "consumer", "other")
    consumer.set_status(images[1], "accepted")

    assert len(listed(producer, "?limit=4")) == 6
    by_member = [image for image, _, _ in listed(producer, "?member_id=other&limit=2")]
    assert by_member == images
    assert listed(producer, f"?image_id={images[0]}&limit=1") == [
        (images[0], "consumer", None),
        (images[0], "other", None),
    ]
    assert listed(producer, "?status=accepted&limit=1") == [
        (images[1], "consumer", None)
    ]
    assert listed(consumer) == []


@pytest.mark.parametrize(
    ("member_id", "image_id"),
    [("x" * 2000, ONE), ("\ud800", ONE), ("", ONE), ("a", "y" * 3000), ("b", ONE)],
)
def test_a_forged_marker_is_refused(
    member_id: str, image_id: str, producer: Actor
) -> None:
    """Also one of a list of another member: the index has no such place there."""
    marker = extension.encode_marker(member_id, image_id)

    answer = producer.get(f"{OUTGOING}?member_id=a&marker={marker}")

    assert (answer.status, answer.document["reason"]) == (400, "invalid")


def test_a_filter_that_finds_too_little_is_refused(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the lists of the Images API; what it found before is a page."""
    monkeypatch.setattr("chalicelib.store.outgoing.ROWS_MAX", 3)
    monkeypatch.setattr("chalicelib.store.outgoing._AT_ONCE", 2)
    image_id = producer.make_image()
    producer.share(image_id, "a", "b", "c", "d", "e")
    counted: list[int] = []

    with on(
        "after-call.dynamodb.Query",
        lambda parsed, **_: counted.append(parsed["ScannedCount"]),
    ):
        answer = producer.get(f"{OUTGOING}?status=accepted&limit=2")
    replace(producer, project="a").set_status(image_id, "accepted")
    replace(producer, project="e").set_status(image_id, "accepted")

    assert (answer.status, answer.document["reason"]) == (400, "invalid")
    assert answer.document["detail"] == (
        "None of 3 memberships fits the filter, which is what one request may look at."
        " Narrow the list by member_id or image_id."
    )
    assert sum(counted) == 3
    first = producer.get(f"{OUTGOING}?status=accepted&limit=2").document
    second = producer.get(first["next"]).document
    projects = [
        [one["project_id"] for one in page["memberships"]] for page in (first, second)
    ]
    assert (projects, second["next"]) == ([["a"], ["e"]], None)


@pytest.mark.parametrize("status", ["", "&status=pending"])
def test_each_page_is_full_but_the_last_which_is_not_empty(
    status: str, producer: Actor, image_id: str
) -> None:
    """With a filter and without, when no more rows are read than are shown."""
    producer.share(image_id, "a", "b", "c", "d")
    counted: list[int] = []
    with on(
        "after-call.dynamodb.Query",
        lambda parsed, **_: counted.append(parsed["ScannedCount"]),
    ):
        producer.get(f"{OUTGOING}?limit=3{status}")
    assert counted == [4 if status else 3]
    for limit, sizes in ((1, [1, 1, 1, 1]), (2, [2, 2]), (3, [3, 1]), (4, [4])):
        target, found = f"{OUTGOING}?limit={limit}{status}", []
        while target:
            page = producer.get(target).document
            found.append(len(page["memberships"]))
            assert len(found) < 9
            target = page["next"]
        assert found == sizes


def test_a_filter_reads_many_at_once(producer: Actor, image_id: str) -> None:
    """However few the page shows: 5,000 are to be looked at within a request."""
    projects = [f"project-{number:02}" for number in range(30)]
    assert producer.post(OUTGOING, bulk([image_id], projects)).status == 200

    with recording() as calls:
        assert listed(producer, "?status=accepted&limit=1") == []

    assert [name for name, _ in calls].count("Query") == 1


def test_an_image_that_is_deleted_meanwhile_ends_no_call(
    producer: Actor, image_id: str
) -> None:
    """Its pairs are as those of one that never was; the others are shared."""
    other = producer.make_image()
    body = bulk([image_id, other], ["a", "b"])

    delete = partial(producer.delete, f"/v2/images/{image_id}")
    with second_writer("TransactWriteItems", delete) as done:
        answer = producer.post(OUTGOING, body)

    assert done[0].status == 204
    assert list(results(answer).values()) == [
        *("not-found", "not-found"),
        *("shared", "shared"),
    ]


def test_an_image_given_away_takes_its_memberships_along(
    producer: Actor, admin: Actor, image_id: str, pump: Pump
) -> None:
    """Also where its new owner is a member, which can end that."""
    producer.put(f"{OUTGOING}/{image_id}/heir", {"note": "hello"})
    heir = replace(producer, project="heir")
    change(admin, image_id, "owner", "heir")
    at_once = listed(producer)
    pump.drain()

    assert (at_once, listed(producer)) == ([], [])
    assert listed(heir) == [(image_id, "heir", None)]
    assert heir.get("/ext/v1/incoming").document["counts"]["pending"] == 0
    assert heir.put(f"{OUTGOING}/{image_id}/heir").document["result"] == "unchanged"
    assert heir.delete(f"{OUTGOING}/{image_id}/heir").status == 204
    assert heir.put(f"{OUTGOING}/{image_id}/heir").status == 409


def test_a_lowered_quota_refuses_new_members_alone(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there stay, and may be declared; a dry run says the same."""
    producer.share(image_id, "a", "b", "c")
    configure(monkeypatch, member_quota=1)
    asked = bulk([image_id], ["a", "new"])

    runs = [producer.post(OUTGOING, asked | {"dry_run": dry}) for dry in (True, False)]
    members = [{"project_id": one} for one in ("a", "b", "new")]
    declared = producer.put(f"{OUTGOING}/{image_id}", {"members": members})

    for run in runs:
        assert list(results(run).values()) == ["unchanged", "limit-exceeded"]
    assert list(results(declared).values()) == [
        *("revoked", "unchanged", "unchanged", "limit-exceeded")
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (bulk([], ["a"]), "/images must have 1 or more items."),
        (bulk(["x" * 36], ["a"]), "/images/0 must be an image's id."),
        (bulk([str(uuid4())], ["a", "a"]), "/projects/1 is repeated: a."),
        (
            bulk([str(uuid4())], ["a"], note="\u202eevil"),
            HIDING,
        ),
        (
            bulk([str(uuid4())], ["a"], note="x" * 501),
            "/note must have at most 500 characters.",
        ),
        (
            bulk([str(uuid4()) for _ in range(6)], [f"p{n}" for n in range(100)]),
            "images and projects make 600 pairs; a call takes 500 at most.",
        ),
    ],
)
def test_a_bulk_body_that_is_wrong_is_refused(
    body: Any, message: str, producer: Actor
) -> None:
    """And nothing is shared."""
    answer = producer.post(OUTGOING, body)

    assert answer.status == 400
    assert answer.document["detail"] == message


def test_only_the_owner_has_an_outgoing_side(
    producer: Actor, consumer: Actor, admin: Actor, stranger: Actor, image_id: str
) -> None:
    """To members and strangers the image is as absent; an administrator reads."""
    producer.share(image_id, "consumer")
    absent = str(uuid4())
    for actor in (consumer, stranger, admin):
        for method, path, body in (
            ("GET", "", None),
            ("PUT", "", {"members": []}),
            ("PUT", "/x", {}),
            ("DELETE", "/consumer", None),
        ):
            hidden = actor.ask(method, f"{OUTGOING}/{image_id}{path}", body)
            missing = actor.ask(method, f"{OUTGOING}/{absent}{path}", body)
            assert hidden.status == missing.status == 404
            assert hidden.body.replace(image_id.encode(), absent.encode()) == (
                missing.body
            )
    with recording() as calls:
        for one in (image_id, absent):
            stranger.get(f"{OUTGOING}/{one}")
            stranger.get(f"{OUTGOING}?image_id={one}")
    assert [name for name, _ in calls] == ["BatchGetItem"] * 4
    read = admin.get(f"{OUTGOING}/{image_id}?project_id=producer")
    assert [one["project_id"] for one in read.document["members"]] == ["consumer"]
    reader = producer.using("reader")
    assert reader.get(OUTGOING).status == 200
    assert reader.put(f"{OUTGOING}/{image_id}/x").status == 403


def test_a_share_is_refused_as_by_the_images_api(
    producer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the quota 413, not shared 403; with itself 409."""
    configure(monkeypatch, member_quota=1)
    producer.share(image_id, "a")
    private = producer.make_image(visibility="private")

    statuses = [
        producer.put(f"{OUTGOING}/{image}/{project}").status
        for image, project in ((image_id, "b"), (private, "b"), (image_id, "producer"))
    ]

    assert statuses == [413, 403, 409]


def test_a_note_is_of_one_offer(
    producer: Actor, consumer: Actor, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with it, even before anything is cleaned up."""
    at(monkeypatch, "2026-11-28T10:00:00Z")
    producer.put(f"{OUTGOING}/{image_id}/consumer", {"note": "old"})
    producer.delete(f"/v2/images/{image_id}/members/consumer")
    at(monkeypatch, "2026-11-28T10:00:01Z")
    producer.share(image_id, "consumer")

    assert listed(producer) == [(image_id, "consumer", None)]
    assert consumer.get(f"/ext/v1/incoming/{image_id}").document["note"] is None


def test_a_note_is_of_the_owner_who_wrote_it(
    producer: Actor, consumer: Actor, admin: Actor, image_id: str
) -> None:
    """An image that is given away takes no word of its old owner along."""
    share = f"{OUTGOING}/{image_id}/consumer"
    producer.put(share, {"note": "ours"})
    change(admin, image_id, "owner", "heir")
    heir = replace(producer, project="heir")
    before = consumer.get(f"/ext/v1/incoming/{image_id}").document["note"]
    written = heir.put(share, {"note": "theirs"}).document["result"]

    after = consumer.get(f"/ext/v1/incoming/{image_id}").document["note"]
    assert (before, written, after) == (None, "changed", "theirs")


def test_a_deleted_image_leaves_no_note(
    producer: Actor, image_id: str, pump: Pump
) -> None:
    """Nor a membership."""
    producer.put(f"{OUTGOING}/{image_id}/consumer", {"note": "hello"})
    producer.delete(f"/v2/images/{image_id}")
    pump.step()

    kept = [item["sk"]["S"] for item in stored() if item["pk"]["S"].startswith("IMAGE")]
    assert kept == ["IMAGE"]
