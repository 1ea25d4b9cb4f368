"""The operator's tool for a project that goes away, and for an audit."""

import os

import pytest

from chalicelib.store import dynamodb
from infra.local.worker import Pump
from infra.tools import project
from tests.actors import Actor
from tests.aws_faults import stored


@pytest.fixture(autouse=True)
def settings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the tool sets in the environment from other tests."""
    for name in ("TABLE_NAME", "BUCKET_NAME", "QUEUE_URL", "AUTH"):
        monkeypatch.setenv(name, os.environ[name])


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run the tool; return the lines that it printed."""
    project.main([dynamodb.connection.table_name, *words])
    return capsys.readouterr().out.splitlines()


def test_a_project_is_listed_then_removed(
    producer: Actor, consumer: Actor, pump: Pump, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is its own, and nothing of others; the same again finds nothing."""
    own, offered = consumer.make_image(), producer.make_image(name="kept")
    consumer.share(own, "partner")
    producer.share(offered, "consumer", "partner")
    consumer.put("/ext/v1/profile", {"display_name": "C", "published": True})
    consumer.put("/ext/v1/rules/producer", {"effect": "mute"})
    before = stored()

    listed = run(capsys, "consumer")
    untouched = stored() == before
    removed = run(capsys, "consumer", "--remove")
    pump.drain()

    assert untouched
    assert {f"image {own}", f"membership {offered}"} <= set(listed)
    assert "item PROJECT#consumer PROFILE" in listed
    assert removed == [*listed, "All of it was removed."]
    assert run(capsys, "consumer") == []
    members = producer.get(f"/v2/images/{offered}/members").document["members"]
    assert [one["member_id"] for one in members] == ["partner"]


def test_an_audit_tells_who_sees_an_image(
    producer: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    """With statuses and notes."""
    image_id = producer.make_image()
    producer.put(f"/ext/v1/outgoing/{image_id}/consumer", {"note": "hello"})

    assert run(capsys, "--image", image_id) == [
        "owner producer, visibility shared",
        "member consumer pending: 'hello'",
    ]


@pytest.mark.parametrize("words", [[], ["table"], ["table", "project", "--rm"]])
def test_a_wrong_use_ends_in_one_line(words: list[str]) -> None:
    """With the right use."""
    with pytest.raises(SystemExit, match=r"^Usage: "):
        project.main(words)
