"""The quotas of a project: what it uses is counted once, and 413 beyond."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.background import sweep
from chalicelib.background.stream import Record, count_usage
from chalicelib.store import dynamodb, recounts
from chalicelib.store import usage as usage_store
from chalicelib.store.items import UsageItem
from chalicelib.store.keys import offers_key, usage_key
from infra.local.worker import Pump
from infra.tools import quota
from tests.actors import Actor
from tests.aws_faults import recording, stored
from tests.configuring import configure
from tests.scene import CONTENT, error

MEBIBYTE = 2**20
FORMATS = {"disk_format": "raw", "container_format": "bare"}
UNSET = dict.fromkeys(
    (
        *("image_count_total", "image_size_total", "image_stage_total"),
        *("image_count_uploading", "offer_count_total", "offer_count_per_consumer"),
    ),
    -1,
)

Limit = Callable[..., None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Set some quotas, and no others."""

    def change(**limits: int) -> None:
        values: dict[str, Any] = {**UNSET, **limits}
        configure(monkeypatch, **values)

    return change


def usage(actor: Actor) -> Any:
    """Return the document of a project's quotas."""
    response = actor.get("/v2/info/usage")
    assert response.status == 200
    return response.document["usage"]


def begin(actor: Actor, image_id: str) -> Any:
    """Begin a direct upload."""
    return actor.post(f"/ext/v1/images/{image_id}/uploads", {"size": 12})


def import_url(actor: Actor, image_id: str) -> Any:
    """Begin an import from a URL."""
    method = {"name": "web-download", "uri": "https://example.org/"}
    return actor.post(f"/v2/images/{image_id}/import", {"method": method})


def import_staged(actor: Actor, image_id: str) -> Any:
    """Import what was staged."""
    body = {"method": {"name": "glance-direct"}}
    return actor.post(f"/v2/images/{image_id}/import", body)


def over(name: str, most: int, used: int, delta: int) -> tuple[int, Any]:
    """Return the response to what is over a limit, in the reference's words."""
    return error(
        413,
        "Request Entity Too Large",
        f"Project producer is over a limit for [Resource {name} is over limit of {most}"
        f" due to current usage {used} and delta {delta}]",
    )


def test_without_quotas_nothing_is_counted(producer: Actor, pump: Pump) -> None:
    """No item is written for them, and none is reported."""
    image_id = producer.make_image(**FORMATS)
    begin(producer, image_id)
    producer.share(producer.make_image(), "consumer")
    pump.drain()

    assert usage(producer) == {}
    kinds = {item["sk"]["S"].partition("#")[0] for item in stored()}
    assert not kinds & {"USAGE", "OFFERS", "COUNTED"}


def test_a_project_has_as_many_images_as_it_may(
    producer: Actor, consumer: Actor, admin: Actor, pump: Pump, limit: Limit
) -> None:
    """Of another project's nobody is told; a deletion makes room again."""
    limit(image_count_total=2)
    first = producer.make_image()
    producer.make_image()
    pump.drain()

    refused = producer.post("/v2/images", {})
    assert over("image_count_total", 2, 2, 1) == (refused.status, refused.document)
    assert usage(producer) == {"image_count_total": {"limit": 2, "usage": 2}}
    assert usage(consumer) == {"image_count_total": {"limit": 2, "usage": 0}}
    assert admin.post("/v2/images", {"owner": "producer"}).status == 201
    for image_id in (first, *producer.listed()[:1]):
        assert producer.delete(f"/v2/images/{image_id}").status == 204
    pump.drain()
    assert producer.post("/v2/images", {}).status == 201


def test_bytes_are_counted_in_mebibytes_and_one_upload_may_go_over(
    producer: Actor, pump: Pump, limit: Limit
) -> None:
    """As in the reference, which cannot know the size beforehand."""
    limit(image_size_total=1, image_stage_total=0)
    ids = [producer.make_image(**FORMATS) for _ in range(3)]
    statuses = []
    for image_id in ids:
        statuses.append(producer.upload(image_id, b"x" * MEBIBYTE).status)
        pump.drain()

    refused = producer.upload(ids[2], CONTENT)
    assert statuses == [204, 204, 413]
    assert over("image_size_total", 1, 2, 0) == (refused.status, refused.document)
    assert usage(producer)["image_size_total"] == {"limit": 1, "usage": 2}
    assert begin(producer, ids[2]).status == 413
    assert import_url(producer, ids[2]).status == 413
    assert producer.upload(ids[2], b"x" * MEBIBYTE, "stage").status == 204
    pump.drain()
    assert usage(producer)["image_stage_total"] == {"limit": 0, "usage": 1}
    late = producer.make_image(**FORMATS)
    assert producer.upload(late, CONTENT, "stage").status == 413
    refused = import_staged(producer, ids[2])
    assert over("image_size_total", 1, 2, 1) == (refused.status, refused.document)
    producer.delete(f"/v2/images/{ids[0]}")
    producer.delete(f"/v2/images/{ids[1]}")
    pump.drain()
    assert import_staged(producer, ids[2]).status == 202
    pump.drain()
    assert {name: one["usage"] for name, one in usage(producer).items()} == {
        "image_size_total": 1,
        "image_stage_total": 0,
    }


def test_an_import_from_a_url_needs_room_to_stage(
    producer: Actor, admin: Actor, pump: Pump, limit: Limit
) -> None:
    """A direct upload does not; an administrator's import is not limited."""
    limit(image_stage_total=0, image_size_total=1)
    ids = [producer.make_image(**FORMATS) for _ in range(4)]
    assert producer.upload(ids[0], b"x" * (MEBIBYTE - 1), "stage").status == 204
    pump.drain()
    assert import_url(producer, producer.make_image(**FORMATS)).status == 202
    assert producer.upload(producer.make_image(**FORMATS), b"x", "stage").status == 204
    pump.drain()

    refused = import_url(producer, ids[1])

    words = over("image_stage_total", 0, 1, 0)[1]["message"]
    assert words in (refused.document.get("message"), refused.document.get("detail"))
    assert begin(producer, ids[1]).status == 201
    assert import_url(admin, ids[2]).status == 202
    assert producer.upload(ids[3], b"x" * (2 * MEBIBYTE - 1)).status == 204
    pump.drain()
    assert usage(producer)["image_size_total"] == {"limit": 1, "usage": 1}
    assert begin(producer, producer.make_image(**FORMATS)).status == 201


def test_uploads_at_once_are_counted_exactly(
    producer: Actor, pump: Pump, limit: Limit
) -> None:
    """As they begin and end, before the stream's function runs; deletions by that."""
    limit(image_count_uploading=2)
    ids = [producer.make_image(**FORMATS) for _ in range(4)]
    first = begin(producer, ids[0])
    second = import_url(producer, ids[1])

    refused = [
        (response.status, response.document["detail"])
        for response in (begin(producer, ids[2]),)
    ]
    assert (first.status, second.status) == (201, 202)
    text = over("image_count_uploading", 2, 2, 1)[1]["message"]
    assert refused == [(413, text)]
    assert import_url(producer, ids[2]).status == 413
    assert producer.upload(ids[2], CONTENT).status == 413
    assert producer.upload(ids[2], CONTENT, "stage").status == 413
    assert producer.delete(first.document["self"]).status == 204
    assert usage(producer) == {"image_count_uploading": {"limit": 2, "usage": 1}}
    assert producer.upload(ids[2], CONTENT, "stage").status == 204
    assert producer.delete(f"/v2/images/{ids[1]}").status == 204
    pump.drain()
    assert usage(producer)["image_count_uploading"]["usage"] == 1
    assert import_staged(producer, ids[2]).status == 202
    pump.drain()
    assert usage(producer)["image_count_uploading"]["usage"] == 0


def test_a_staged_image_that_is_given_away_counts_for_its_heir(
    producer: Actor, admin: Actor, pump: Pump, limit: Limit
) -> None:
    """Its upload is in progress still, and no record of the stream stays behind."""
    limit(image_count_uploading=2)
    image_id = producer.make_image(**FORMATS)
    producer.upload(image_id, CONTENT, "stage")
    pump.drain()

    give = [{"op": "replace", "path": "/owner", "value": "heir"}]
    assert admin.patch(f"/v2/images/{image_id}", give).status == 200
    pump.drain()

    assert usage(producer)["image_count_uploading"]["usage"] == 0
    assert usage(Actor(producer.send, "heir"))["image_count_uploading"]["usage"] == 1


def test_a_project_may_have_limits_of_its_own(
    producer: Actor, limit: Limit, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's tool writes them, and the write of an upload compares them."""
    limit(image_count_total=5, image_size_total=5, image_count_uploading=1)
    table = dynamodb.connection.table_name
    ids = [producer.make_image(**FORMATS) for _ in range(3)]
    words = ["image_count_uploading=2", "image_size_total=7", "image_count_total=0"]
    quota.main([table, "producer", *words])

    own = sorted(capsys.readouterr().out.split())
    assert own == sorted(words)
    assert usage(producer) == {
        "image_size_total": {"limit": 7, "usage": 0},
        "image_count_total": {"limit": 0, "usage": 0},
        "image_count_uploading": {"limit": 2, "usage": 0},
    }
    assert producer.post("/v2/images", {}).status == 413
    assert [begin(producer, one).status for one in ids] == [201, 201, 413]
    quota.main([table, "producer", "image_count_total="])
    assert producer.post("/v2/images", {}).status == 201
    quota.main([table, "producer", "image_count_uploading=0", "image_size_total="])
    assert import_url(producer, ids[2]).status == 413


@pytest.mark.parametrize(
    "words", [["name"], ["nothing=1"], ["image_count_total=-1"], ["image_count_total"]]
)
def test_a_wrong_limit_is_refused(words: list[str]) -> None:
    """In one line, before anything is written."""
    with pytest.raises(SystemExit) as refused:
        quota.main(["table", "producer", *words])

    assert str(refused.value).startswith(f"quota: {words[0]!r} must be NAME=LIMIT")


def test_an_offer_is_counted_until_it_is_answered(
    producer: Actor, consumer: Actor, pump: Pump, limit: Limit
) -> None:
    """Those to one consumer, and all; 413 beyond, and no such quota is reported."""
    limit(offer_count_total=3, offer_count_per_consumer=2)
    ids = [producer.make_image() for _ in range(3)]
    for image_id in ids[:2]:
        producer.share(image_id, "consumer")
    pump.drain()

    def offer(project: str) -> Any:
        return producer.post(f"/v2/images/{ids[2]}/members", {"member": project})

    refused = offer("consumer")
    wanted = over("offer_count_per_consumer", 2, 2, 1)
    assert wanted == (refused.status, refused.document)
    assert offer("other").status == 200
    pump.drain()
    refused = offer("third")
    assert over("offer_count_total", 3, 3, 1) == (refused.status, refused.document)
    assert usage(producer) == {}
    consumer.set_status(ids[0], "accepted")
    pump.drain()
    assert offer("consumer").status == 200
    pump.drain()
    assert offer("third").status == 413
    producer.delete(f"/v2/images/{ids[2]}")
    pump.drain()
    assert usage_store.load_usage("producer").used["offer_count_total"] == 1


def test_offers_of_the_extension_are_limited_too(
    producer: Actor, pump: Pump, limit: Limit
) -> None:
    """One by one, and in a call of many: in a dry run, too."""
    limit(offer_count_total=3, offer_count_per_consumer=1)
    first, second = producer.make_image(), producer.make_image()
    producer.share(first, "a")
    pump.drain()
    body = {"action": "share", "images": [second], "projects": ["a", "b", "c", "d"]}

    one = producer.put(f"/ext/v1/outgoing/{second}/a", {})
    runs = [
        producer.post("/ext/v1/outgoing", body | {"dry_run": dry}).document["results"]
        for dry in (True, False)
    ]

    assert (one.status, one.document["reason"]) == (413, "limit-exceeded")
    for results in runs:
        assert [result["result"] for result in results] == [
            *("refused", "shared", "shared", "refused")
        ]
        assert {result.get("reason") for result in results} == {None, "limit-exceeded"}


def test_one_call_for_many_images_obeys_the_quota_of_offers(
    producer: Actor, limit: Limit
) -> None:
    """What it offered is counted at once; what it refuses for itself takes no place."""
    limit(offer_count_total=3, offer_count_per_consumer=2)
    images = [producer.make_image() for _ in range(3)]
    body = {"action": "share", "images": images, "projects": ["producer", "a", "b"]}

    dry, real = (
        producer.post("/ext/v1/outgoing", body | {"dry_run": dry}).document
        for dry in (True, False)
    )

    assert dry == real
    assert [one.get("reason") for one in real["results"]] == [
        *("own-project", None, None),
        *("own-project", None, "limit-exceeded"),
        *("own-project", "limit-exceeded", "limit-exceeded"),
    ]


def test_a_record_that_is_delivered_again_is_not_counted_again(
    producer: Actor, limit: Limit
) -> None:
    """Its sequence number is marked in the transaction that counts it."""
    limit(image_count_total=9)
    image_id = producer.make_image()
    (item,) = (one for one in stored() if one["sk"]["S"] == "IMAGE")
    for number in ("1", "1", "2"):
        count_usage(Record(None, item, number))

    assert usage(producer)["image_count_total"]["usage"] == 2
    count_usage(Record(item, {**item, "owner": {"S": "heir"}}, "3"))
    assert usage(producer)["image_count_total"]["usage"] == 1
    assert usage_store.load_usage("heir").used == {"image_count_total": 1}
    assert image_id


def test_the_sweep_mends_what_was_counted_wrongly(
    producer: Actor, pump: Pump, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second run, if it finds the same: a difference may be on its way."""
    producer.make_image()
    staged = producer.make_image(**FORMATS)
    producer.upload(staged, CONTENT, "stage")
    begin(producer, producer.make_image(**FORMATS))
    producer.share(producer.make_image(), "consumer")
    pump.drain()
    limit(image_count_total=9, image_count_uploading=9, offer_count_total=9)
    producer.make_image()
    pump.drain()

    def used() -> dict[str, int]:
        return dict(usage_store.load_usage("producer").used)

    wrong = used()
    sweep.sweep(60)
    assert used() == wrong
    sweep.sweep(60)
    assert used() == {
        "image_count_total": 5,
        "image_stage_total": len(CONTENT),
        "image_count_uploading": 2,
        "offer_count_total": 1,
    }
    item = UsageItem(*usage_key("producer"))
    item.update(actions=[UsageItem.image_count_total.add(3)])
    sweep.sweep(60)
    assert used()["image_count_total"] == 8
    now = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: now)
    sweep.sweep(60)
    item.update(actions=[UsageItem.image_count_total.add(1)])
    sweep.sweep(60)
    assert used()["image_count_total"] == 9
    sweep.sweep(60)
    assert used()["image_count_total"] == 5
    assert dynamodb.get_item(usage_key("producer")) is not None


def test_a_recount_mends_nothing_where_something_was_counted_meanwhile(
    producer: Actor, pump: Pump, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where two recounts miss as much, as of a project that works steadily."""
    limit(image_count_total=9)
    producer.make_image(visibility="private")
    pump.drain()
    monkeypatch.setattr(recounts, "PAGES_MAX", 3)

    for made in range(2, 4):
        recounts.recount("producer")  # It has counted images, and not all else.
        producer.make_image(visibility="private")
        pump.drain()
        assert not recounts.recount("producer")
        assert usage_store.load_usage("producer").used == {"image_count_total": made}
    while not recounts.recount("producer"):
        pass
    assert usage_store.load_usage("producer").used == {"image_count_total": 3}


def test_a_recount_is_bounded_and_goes_on_where_it_ended(
    producer: Actor, pump: Pump, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pages at a time; what was there before a quota was set is counted, too."""
    consumers = ["a", "a#b", "c", "d"]
    for _ in range(3):
        producer.share(producer.make_image(), *consumers)
    Actor(producer.send, "c").set_status(producer.listed()[0], "accepted")
    Actor(producer.send, "d").set_status(producer.listed()[0], "accepted")
    pump.drain()
    limit(image_count_total=9, offer_count_total=90, offer_count_per_consumer=9)
    producer.make_image(visibility="private")
    pump.drain()
    stray = UsageItem(*offers_key("producer", "nobody"))
    stray.update(actions=[UsageItem.offer_count_per_consumer.add(7)])
    monkeypatch.setattr(recounts, "ROWS", 2)
    monkeypatch.setattr(recounts, "PAGES_MAX", 2)

    def used(member_id: str) -> int:
        raw = dynamodb.get_item(offers_key("producer", member_id))
        return usage_store.usage_of(raw).reported("offer_count_per_consumer")

    reads = []
    for _ in range(20):
        with recording() as calls:
            recounts.recount("producer")
        reads.append(len([name for name, _ in calls if name == "Query"]))
        item = dynamodb.get_item(usage_key("producer"))
        assert item
        if not item["project_sk"]["S"].startswith("1970"):
            break

    assert max(reads) <= 2 + 2 * 2  # A query more for each count of a page.
    assert 8 <= len(reads) < 20
    assert usage_store.load_usage("producer").used == {
        "image_count_total": 4,
        "offer_count_total": 10,
    }
    assert [used(one) for one in (*consumers, "nobody")] == [3, 3, 2, 2, 0]
