"""A table of the first layout is copied into one of today's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.client import BaseClient

from chalicelib.store import dynamodb
from chalicelib.store.items import image_item, image_of, member_item, member_of
from infra.local.worker import Pump
from infra.tools.copy_table import copy_table
from tests.actors import Actor
from tests.aws_faults import stored
from tests.configuring import configure
from tests.events.stream import sending

FIRST: Any = json.loads(
    (Path(__file__).parent / "first_layout.json").read_text("utf-8")
)
"""What the code of commit 280a5df made of some images, shares and an upload."""

COPIED = 12
"""Its items but for hints and the membership in a deleted image."""


@pytest.fixture
def first() -> Iterator[str]:
    """A table of the first layout; its name."""
    client = dynamodb.connection.connection.client
    client.create_table(TableName="first", **FIRST["table"])
    for item in FIRST["items"]:
        client.put_item(TableName="first", Item=item)
    yield "first"
    client.delete_table(TableName="first")


def test_a_copy_lists_what_the_first_layout_listed(
    first: str, table: str, tmp_path: Path, producer: Actor, consumer: Actor
) -> None:
    """In the owner's list, and in those of members by their responses and by names."""
    done = copy_table(first, table, tmp_path / "reached")
    owned = producer.get("/v2/images?sort=created_at:asc").document["images"]
    accepted = consumer.get("/v2/images?name=ubuntu").document["images"]
    offers = "?visibility=shared&member_status=pending&os_hidden="

    assert done == COPIED
    assert [image["name"] for image in owned] == [
        *("ubuntu", "nightly", "rocky", "debian", "waiting")
    ]
    assert [image["name"] for image in accepted] == ["ubuntu"]
    assert len(consumer.listed(f"{offers}true")) == 1
    assert consumer.listed(f"{offers}false") == []


def test_each_item_is_as_today_writes_it(
    first: str, table: str, tmp_path: Path
) -> None:
    """An image keeps all it has; a membership is as if it were new."""
    copy_table(first, table, tmp_path / "reached")
    items = {(raw["pk"]["S"], raw["sk"]["S"]): raw for raw in stored()}
    first_items = {(raw["pk"]["S"], raw["sk"]["S"]): raw for raw in FIRST["items"]}
    wanted = {}
    for (pk, sk), raw in first_items.items():
        kept = {
            n: v for n, v in raw.items() if n != "changed" and "visibility_" not in n
        }
        image = image_of(first_items[pk, "IMAGE"]) if pk.startswith("IMAGE") else None
        if sk == "IMAGE" and image:
            wanted[pk, sk] = kept | image_item(image).to_dynamodb_dict()
        elif sk.startswith("MEMBER") and image:
            wanted[pk, sk] = member_item(member_of(raw), image).to_dynamodb_dict()
        elif sk == "IMAGE" or pk.startswith("UPLOAD"):
            wanted[pk, sk] = kept

    assert items == wanted


def test_a_copy_goes_on_where_it_was_stopped(
    first: str, table: str, tmp_path: Path
) -> None:
    """Page by page; nothing that is there is written over."""
    reached = tmp_path / "reached"
    call, pages = BaseClient._make_api_call, []  # noqa: SLF001 - to be stopped

    def stopping(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "Scan" and parameters["TableName"] == first:
            pages.append(parameters.get("ExclusiveStartKey"))
            parameters = {**parameters, "Limit": 5}
            if len(pages) == 3:
                raise KeyboardInterrupt
        return call(client, operation, parameters)

    with patch.object(BaseClient, "_make_api_call", stopping):
        with pytest.raises(KeyboardInterrupt):
            copy_table(first, table, reached)
        partly = len(stored())
        done = copy_table(first, table, reached)
    whole = stored()
    again = copy_table(first, table, reached)

    assert 0 < partly < COPIED
    assert done == COPIED - partly
    assert pages[2] == pages[3]
    assert (again, stored(), reached.exists()) == (0, whole, False)


def test_a_copy_makes_no_event(
    first: str,
    table: str,
    tmp_path: Path,
    pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first table's stream published what happened."""
    configure(monkeypatch, event_bus="default")
    with sending() as sent:
        copy_table(first, table, tmp_path / "reached")
        pump.drain()

    assert sent == []
