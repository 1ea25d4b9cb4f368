"""What each request costs, counted: the table of docs/costs.md is what is measured."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

import app as service
from chalicelib import aws
from chalicelib.domain.quotas import IMAGE_QUOTAS, OFFER_QUOTAS
from tests.actors import Actor, Response, in_process
from tests.configuring import configure
from tests.cost.meter import Bill, counting
from tests.readme import table
from tests.scene import CONTENT

Request = Callable[[Actor, Actor, str], Response]


def _patch(name: str, value: str) -> Request:
    def ask(producer: Actor, _consumer: Actor, image_id: str) -> Response:
        operation = {"op": "add", "path": f"/{name}", "value": value}
        return producer.patch(f"/v2/images/{image_id}", [operation])

    return ask


def _import(**method: str) -> Request:
    def ask(producer: Actor, _consumer: Actor, image_id: str) -> Response:
        return producer.post(f"/v2/images/{image_id}/import", {"method": method})

    return ask


def _uploads(image_id: str) -> str:
    return f"/ext/v1/images/{image_id}/uploads"


def _begun(producer: Actor, image_id: str) -> str:
    """Return the path of a direct upload that was begun before anything was counted."""
    return f"{_uploads(image_id)}/{BEGUN[producer.project, image_id]}"


def _bulk(image_id: str) -> dict[str, Any]:
    projects = [f"project-{number}" for number in range(48)]
    return {"action": "share", "images": [image_id], "projects": projects}


BEGUN: dict[tuple[str, str], str] = {}

COSTS = table("Counted units", "docs/costs.md")
WITH_QUOTAS = table("With quotas", "docs/costs.md")

REQUESTS: dict[str, Request] = {
    "show image": lambda p, _, i: p.get(f"/v2/images/{i}"),
    "create image": lambda p, _, __: p.post("/v2/images", {"name": "new"}),
    "update image": _patch("os_distro", "other"),
    "rename image": _patch("name", "other"),
    "change visibility": _patch("visibility", "private"),
    "add tag": lambda p, _, i: p.put(f"/v2/images/{i}/tags/new"),
    "remove tag": lambda p, _, i: p.delete(f"/v2/images/{i}/tags/lts"),
    "deactivate image": lambda p, _, i: p.post(f"/v2/images/{i}/actions/deactivate"),
    "delete image with one member": lambda p, _, i: p.delete(f"/v2/images/{i}"),
    "add member": lambda p, _, i: p.post(f"/v2/images/{i}/members", {"member": "x"}),
    "set status": lambda _, c, i: c.put(
        f"/v2/images/{i}/members/{c.project}", {"status": "rejected"}
    ),
    "remove member": lambda p, c, i: p.delete(f"/v2/images/{i}/members/{c.project}"),
    "list members, owner": lambda p, _, i: p.get(f"/v2/images/{i}/members"),
    "list members, member": lambda _, c, i: c.get(f"/v2/images/{i}/members"),
    "show member": lambda _, c, i: c.get(f"/v2/images/{i}/members/{c.project}"),
    "list images, first page": lambda _, c, __: c.get("/v2/images"),
    "list images, next page": lambda _, c, i: c.get(f"/v2/images?marker={i}"),
    "list images by name": lambda p, _, __: p.get("/v2/images?name=ubuntu"),
    "list images by id": lambda p, _, i: p.get(f"/v2/images?id={i}"),
    "list images sorted by name": lambda _, c, __: c.get("/v2/images?sort=name:asc"),
    "list images sorted by status": lambda _, c, __: c.get("/v2/images?sort=status"),
    "list images, administrator": lambda p, _, __: p.using("admin").get("/v2/images"),
    "list pending offers": lambda _, c, __: c.get(
        "/v2/images?visibility=shared&member_status=pending"
    ),
    "download": lambda _, c, i: c.get(f"/v2/images/{i}/file"),
    "upload": lambda p, _, i: p.upload(i, CONTENT),
    "stage": lambda p, _, i: p.upload(i, CONTENT, "stage"),
    "import what was staged": _import(name="glance-direct"),
    "import from a URL": _import(name="web-download", uri="https://example.org/"),
    "list tasks": lambda p, _, i: p.get(f"/v2/images/{i}/tasks"),
    "begin direct upload": lambda p, _, i: p.post(_uploads(i), {"size": 12}),
    "get URLs of parts": lambda p, _, i: p.post(
        _begun(p, i) + "/urls", {"part_numbers": [1]}
    ),
    "complete direct upload": lambda p, _, i: p.post(_begun(p, i) + "/complete"),
    "abort direct upload": lambda p, _, i: p.delete(_begun(p, i)),
    "list incoming": lambda _, c, __: c.get("/ext/v1/incoming?status=accepted"),
    "show incoming": lambda _, c, i: c.get(f"/ext/v1/incoming/{i}"),
    "answer incoming": lambda _, c, i: c.put(
        f"/ext/v1/incoming/{i}", {"status": "rejected"}
    ),
    "leave": lambda _, c, i: c.delete(f"/ext/v1/incoming/{i}"),
    "list outgoing": lambda p, _, __: p.get("/ext/v1/outgoing"),
    "show outgoing": lambda p, _, i: p.get(f"/ext/v1/outgoing/{i}"),
    "share": lambda p, _, i: p.put(f"/ext/v1/outgoing/{i}/x"),
    "share with a note": lambda p, _, i: p.put(
        f"/ext/v1/outgoing/{i}/x", {"note": "hello"}
    ),
    "change a note": lambda p, _, i: p.put(
        f"/ext/v1/outgoing/{i}/consumer", {"note": "hello"}
    ),
    "revoke": lambda p, _, i: p.delete(f"/ext/v1/outgoing/{i}/consumer"),
    "share with 48 projects": lambda p, _, i: p.post("/ext/v1/outgoing", _bulk(i)),
    "show recipient": lambda p, _, __: p.get("/ext/v1/recipients/x"),
    "set profile": lambda p, _, __: p.put("/ext/v1/profile", {"display_name": "P"}),
    "set rule": lambda _, c, __: c.put("/ext/v1/rules/producer", {"effect": "mute"}),
    "any request for an image that is hidden": lambda p, _, i: Actor(
        p.send, "stranger"
    ).get(f"/v2/images/{i}"),
    "any request for an id never used": lambda p, _, __: p.get(
        "/v2/images/00000000-0000-4000-8000-000000000000"
    ),
}
"""Each request, made on one shared image that its consumer accepted."""


def _measure(request: str) -> Bill:
    send = in_process(service.app)
    producer, consumer = Actor(send, "producer"), Actor(send, "consumer")
    formats = {"disk_format": "raw", "container_format": "bare"}
    image_id = producer.make_image(name="ubuntu", tags=["lts"], **formats)
    if request in ("deactivate image", "download"):
        producer.upload(image_id, CONTENT)
    if request in ("import what was staged", "list tasks"):
        producer.upload(image_id, CONTENT, "stage")
    if request == "list tasks":
        REQUESTS["import what was staged"](producer, consumer, image_id)
    if request in (
        "get URLs of parts",
        "complete direct upload",
        "abort direct upload",
    ):
        begun = producer.post(_uploads(image_id), {"size": len(CONTENT)}).document
        BEGUN[producer.project, image_id] = begun["id"]
        requests.put(begun["parts"][0]["url"], CONTENT, timeout=10)
    producer.share(image_id, "consumer")
    consumer.set_status(image_id, "accepted")
    if "next page" in request:
        image_id = consumer.make_image(name="newer")
    with counting() as bill:
        response = REQUESTS[request](producer, consumer, image_id)
    assert (response.status >= 400) == request.startswith("any request")
    return bill


def test_the_readme_has_a_row_for_each_request() -> None:
    """Nothing is measured that docs/costs.md does not tell, and the other way round."""
    assert list(REQUESTS) == [row["request"] for row in COSTS]


@pytest.mark.parametrize("row", COSTS, ids=lambda r: r["request"])
def test_calls_and_round_trips_are_those_of_the_document(row: dict[str, str]) -> None:
    """A call or a wait more than docs/costs.md tells is a failure."""
    bill = _measure(row["request"])

    assert (row["calls"], row["round trips"]) == (bill.calls, str(bill.round_trips))


@pytest.mark.java
@pytest.mark.usefixtures("on_dynamodb_local")
@pytest.mark.xdist_group("dynamodb-local")
@pytest.mark.parametrize("row", COSTS, ids=lambda r: r["request"])
def test_units_are_those_of_the_document(row: dict[str, str]) -> None:
    """DynamoDB Local charges what docs/costs.md tells, indexes included."""
    bill = _measure(row["request"])

    assert (row["RCU"], row["WCU"]) == (f"{bill.read_units:g}", f"{bill.write_units:g}")


@pytest.fixture
def quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all quotas of projects."""
    names = [*IMAGE_QUOTAS, *OFFER_QUOTAS]
    limited: dict[str, Any] = dict.fromkeys(names, 1_000)
    configure(monkeypatch, **limited)


@pytest.mark.usefixtures("quotas")
@pytest.mark.parametrize("row", WITH_QUOTAS, ids=lambda r: r["request"])
def test_quotas_cost_what_the_document_says(row: dict[str, str]) -> None:
    """In calls and round trips; what is not there costs what it does without them."""
    bill = _measure(row["request"])

    assert (row["calls"], row["round trips"]) == (bill.calls, str(bill.round_trips))


@pytest.mark.java
@pytest.mark.usefixtures("on_dynamodb_local", "quotas")
@pytest.mark.xdist_group("dynamodb-local")
@pytest.mark.parametrize("row", WITH_QUOTAS, ids=lambda r: r["request"])
def test_quotas_cost_two_units_at_most(row: dict[str, str]) -> None:
    """As the document says; a create one, and one round trip."""
    bill = _measure(row["request"])
    without = next(one for one in COSTS if one["request"] == row["request"])

    assert (row["RCU"], row["WCU"]) == (f"{bill.read_units:g}", f"{bill.write_units:g}")
    units = sum(float(without[name]) for name in ("RCU", "WCU"))
    assert bill.read_units + bill.write_units <= units + 2


def test_a_download_makes_no_client_of_s3(
    producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make one takes longer than all the rest of a cold start's first request."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.upload(image_id, CONTENT)
    made: dict[str, Any] = {}
    monkeypatch.setattr(aws, "_made", made)  # As in a new container.

    response = producer.get(f"/v2/images/{image_id}/file")

    assert response.status == 307
    assert made == {}
