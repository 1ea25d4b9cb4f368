"""`tools/upload` waits for the service, which hashes what was sent."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests

from chalicelib.background import transfers
from chalicelib.errors import Unavailable
from chalicelib.store import objects
from infra.local.worker import Pump
from tests.actors import Actor
from tests.local.upload_tool import FORMATS, begun
from tools import uploading


class Clock:
    """The time that the tool sees; while it sleeps, something may happen."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self._now = 0.0
        self._happenings = list(happenings)

    def monotonic(self) -> float:
        """Return the time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self._now += seconds
        if self._happenings:
            self._happenings.pop(0)()


@dataclass(frozen=True)
class InProcess:
    """The service as the tool asks it, where nothing works unless a test lets it."""

    actor: Actor

    def ask(self, method: str, path: str, document: Any = None, **_: object) -> Any:
        """Ask it, of whom nothing is refused."""
        response = self.actor.ask(method, path, document)
        assert response.status < 300, response.body
        return response.document


def completed(owner: Actor, content: bytes) -> str:
    """Send an image's data, which a worker has to hash; return its id."""
    image_id = owner.make_image(**FORMATS)
    upload = begun(owner, image_id, size=len(content))
    requests.put(upload["parts"][0]["url"], content, timeout=10).raise_for_status()
    assert owner.post(f"{upload['self']}/complete").status == 202
    return image_id


def test_it_tells_what_it_waits_for(
    producer: Actor,
    pump: Pump,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Each time that there is news: as long as nobody works on it, and when a try failed.
    """
    small = tmp_path / "small"
    small.write_bytes(b"data")
    image_id = completed(producer, b"data")

    def fail_once() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(objects, "etag_of", Mock(side_effect=Unavailable("Down.")))
            pump.step()

    clock = Clock(lambda: None, fail_once, lambda: None, pump.drain)
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0)
    monkeypatch.setattr(uploading, "time", clock)
    monkeypatch.setattr(uploading, "connect", lambda: InProcess(producer))
    status = uploading.main(["--image", image_id, str(small)])

    assert status == 0
    assert capsys.readouterr().err.splitlines()[2:] == [
        "All is in S3. The service checks it, and hashes it.",
        "It waits for a worker; 0 % is hashed.",
        "A worker has it; 0 % is hashed. The last try failed: Down.",
    ]


def test_it_does_not_wait_for_ever(
    producer: Actor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where no worker runs: all was sent, and it can be looked at later."""
    small = tmp_path / "small"
    small.write_bytes(b"data")
    image_id = completed(producer, b"data")
    clock = Clock()
    monkeypatch.setattr(uploading, "time", clock)
    monkeypatch.setattr(uploading, "connect", lambda: InProcess(producer))
    status = uploading.main(["--image", image_id, str(small)])

    err = capsys.readouterr()
    assert (status, err.out) == (1, "")
    assert err.err.splitlines()[-2] == (
        "upload: All data was sent, but the service has not got any further for 30"
        " minutes. Nothing need be sent again; see how it is with:"
    )
    assert err.err.splitlines()[-1].endswith(f" --image {image_id} {small}")
    assert 1800 < clock.monotonic() < 1900
