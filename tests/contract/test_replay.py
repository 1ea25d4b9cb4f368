"""The recorded conversations with the reference implementation, step by step."""

from collections.abc import Iterator
from typing import Any

import pytest

import app as service
from infra.local.server import serve
from tests.actors import Send, in_process, over_http
from tests.configuring import configure
from tests.contract.player import RECORDINGS, Conversation, read

SETTINGS: dict[str, dict[str, Any]] = {
    "quota": {"member_quota": 2},
    "list-filters": {"image_formats": "off"},
    "list-pages": {"image_formats": "off"},
}
"""What a recording was made with, beside the default: some upload text as qcow2."""

NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))

BEHIND_A_STAGE = ("documents", "list-pages", "workflow")
"""Those whose responses have URLs or paths, which a stage begins."""

LONG = ("list-sharing", "members-matrix", "visibility-matrix")
"""Those of hundreds of steps: a server has nothing to add to each."""

WAYS = [
    *(("in process", name) for name in NAMES),
    *(
        pytest.param(
            "over HTTP", name, marks=[pytest.mark.thorough] if name in LONG else []
        )
        for name in NAMES
    ),
    *(("behind a stage", name) for name in BEHIND_A_STAGE),
]


@pytest.fixture
def send(way: str) -> Iterator[Send]:
    """Call the Lambda handler with events, or a server of it with requests."""
    if way == "in process":
        yield in_process(service.app)
        return
    prefix = "/api" if way == "behind a stage" else ""
    with serve(service.app, prefix=prefix) as url:
        yield over_http(url)


@pytest.mark.parametrize(("way", "name"), WAYS)
def test_each_step_answers_as_recorded(
    name: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reference answered, this service answers."""
    configure(monkeypatch, **SETTINGS.get(name, {}))
    talk = Conversation(send)

    differences = {
        f"{number} {step['name']}": wrong
        for number, step in enumerate(read(name), 1)
        if (wrong := talk.play(step))
    }

    assert differences == {}
