"""`tools/sharing`: both sides of a share, by the command, in process."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors import Actor
from tools import sharing_commands
from tools.access import RefusedError


class InProcess:
    """Calls the service as an actor does, in place of the tool's HTTP."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Make a call; return the document that came."""
        response = self._actor.ask(method, path, document)
        if response.status >= 400:
            raise RefusedError(response.status, response.document["detail"])
        return response.document


Tool = Callable[..., tuple[int, str]]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run the tool as an actor; return its exit status, and what it printed."""

    def run(actor: Actor, *words: str) -> tuple[int, str]:
        monkeypatch.setattr(sharing_commands, "connect", lambda: InProcess(actor))
        status = sharing_commands.main(words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def lines(output: str) -> list[list[str]]:
    """Return the words of each line of a table but its head."""
    return [line.split() for line in output.splitlines()[1:]]


def test_both_sides_act_by_the_command(
    producer: Actor, consumer: Actor, image_id: str, tool: Tool
) -> None:
    """Share, see, accept, see, leave; each prints what came of it."""
    shared = tool(producer, "share", image_id, "--with", "consumer", "--note", "hello")
    offered = tool(consumer, "incoming")
    accepted = tool(consumer, "accept", image_id)
    seen = tool(producer, "outgoing", "--with", "consumer")
    left = tool(consumer, "leave", image_id)
    revoked = tool(producer, "revoke", image_id, "--with", "consumer")

    assert lines(shared[1]) == [
        [image_id, "consumer", "shared", "no:", "check", "the", "id"]
    ]
    (row,) = lines(offered[1])
    assert row[:4] + row[6:] == [image_id, "ubuntu", "pending", "producer", "hello"]
    assert lines(accepted[1]) == [[image_id, "changed"]]
    assert lines(seen[1])[0][:4] == [image_id, "ubuntu", "consumer", "accepted"]
    assert lines(left[1]) == [[image_id, "left"]]
    assert lines(revoked[1])[0][2] == "unchanged"
    statuses = [one[0] for one in (shared, offered, accepted, seen, left, revoked)]
    assert set(statuses) == {0}


def test_programs_get_json(consumer: Actor, tool: Tool) -> None:
    """The documents of the API."""
    assert json.loads(tool(consumer, "whoami", "--json")[1]) == {
        "project_id": "consumer"
    }
    assert json.loads(tool(consumer, "incoming", "--json")[1]) == {"memberships": []}


def test_a_refused_pair_is_a_failure(
    producer: Actor, image_id: str, tool: Tool
) -> None:
    """With its reason; the others are shared. One's own project is known."""
    projects = ["producer", *(f"project-{number}" for number in range(60))]
    dry = tool(producer, "share", image_id, "--with", *projects, "--dry-run")
    real = tool(producer, "share", image_id, "--with", *projects)
    known = tool(producer, "share", image_id, "--with", "x", "--known-only")

    assert (dry[0], lines(dry[1])) == (real[0], lines(real[1]))
    assert "Would be" in dry[1]
    assert real[0] == 1
    assert lines(real[1])[0][2:] == ["refused", "(own-project)", "yes"]
    assert lines(known[1])[0][2:4] == ["refused", "(unknown-recipient)"]
    assert real[1].count(" shared ") == 60


def test_words_of_others_cannot_move_the_cursor(
    producer: Actor, consumer: Actor, tool: Tool
) -> None:
    """A name is printed as text, whatever is in it."""
    image_id = producer.make_image(name="\u001b[2Jevil\u202e")
    producer.share(image_id, "consumer")

    printed = tool(consumer, "incoming")[1]

    assert "?[2Jevil?" in printed
    assert "\u001b" not in printed


def test_a_wrong_use_ends_in_one_line(consumer: Actor, tool: Tool) -> None:
    """Of the command line, and what the service refuses: by what was typed."""
    status, printed = tool(consumer, "accept", "no-id")
    assert (status, printed.count("\n")) == (1, 1)
    assert '"no-id" must be an image\'s id' in printed
    project = tool(consumer, "share", consumer.make_image(), "--with", "x", "a/b")[1]
    assert '"a/b" must be a project\'s id' in project
    with pytest.raises(SystemExit):
        tool(consumer, "share", "x")
