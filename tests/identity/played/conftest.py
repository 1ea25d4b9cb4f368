"""A Keystone that is played: it knows tokens and passwords, and what it was asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.identity import keystone as client
from chalicelib.identity.http_client import Response, UpstreamError
from chalicelib.identity.methods import Identify, choose_identity
from tests.identity.conftest import Clock
from tests.identity.test_settings import ARN, KEYSTONE

START = datetime(2030, 1, 1, tzinfo=UTC)
APPLICATION = {
    "OS_APPLICATION_CREDENTIAL_ID": "id",
    "OS_APPLICATION_CREDENTIAL_SECRET": "secret",
}


class Frozen(Clock):
    """A time that stands still but for what a test adds to it."""

    def now(self) -> datetime:
        """Return the time."""
        return START + self.ahead

    def monotonic(self) -> float:
        """Return the time that no one sets."""
        return self.ahead.total_seconds()


@dataclass
class Played:
    """The tokens and passwords that Keystone knows, and what it was asked."""

    tokens: dict[str, Any] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    accepts: str = "secret"
    hides: bool = False
    signs_in: Response | None = None
    secret: dict[str, str] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def send(self, method: str, url: str, **parts: Any) -> Response:
        """Respond as Keystone does."""
        self.asked.append({"method": method, "url": url, **parts})
        if method == "POST":
            return self._sign_in(json.dumps(parts["document"]))
        headers = parts["headers"]
        if headers["X-Auth-Token"] not in self.own:
            return Response(404 if self.hides else 401, {}, b"{}")
        subject = headers["X-Subject-Token"]
        if subject in self.own:
            return Response(200, {}, b"{}")
        if subject not in self.tokens:
            return Response(404, {}, b"{}")
        return Response(200, {}, json.dumps({"token": self.tokens[subject]}).encode())

    def _sign_in(self, document: str) -> Response:
        if self.signs_in:
            return self.signs_in
        if f'"{self.accepts}"' not in document:
            return Response(401, {}, b"{}")
        own = f"own-{len(self.asked)}"
        self.own.add(own)
        return signed_in(own)

    def read_secret(self, arn: str) -> Mapping[str, str]:
        """Return the secret of AWS."""
        self.asked.append({"method": "READ", "arn": arn})
        if self.secret is None:
            raise UpstreamError("unreadable")
        return self.secret

    def methods(self) -> str:
        """Return what was asked since the last call, as GET, POST or READ."""
        methods = " ".join(request["method"] for request in self.asked)
        self.asked.clear()
        return methods


def described(seconds: float = 3600, **changes: Any) -> dict[str, Any]:
    """Return what Keystone says of a token that lives so long."""
    return {
        "expires_at": (START + timedelta(seconds=seconds)).isoformat(),
        "user": {"id": "user"},
        "project": {"id": "project"},
        "roles": [{"name": "member"}],
        **changes,
    }


def signed_in(own: str, status: int = 201, seconds: float = 3600) -> Response:
    """Return the response that has a token of the service's own."""
    body = json.dumps({"token": described(seconds)}).encode()
    return Response(status, {"x-subject-token": own}, body)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    """The clock of the service, which stands still."""
    frozen = Frozen()
    monkeypatch.setattr("chalicelib.clock.now", frozen.now)
    moved = SimpleNamespace(monotonic=frozen.monotonic)
    monkeypatch.setattr(client, "time", moved)
    return frozen


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """A Keystone that knows one token for an hour."""
    played = Played({"good": described()})
    monkeypatch.setattr(client, "send_request", played.send)
    monkeypatch.setattr("chalicelib.identity.secret.read_secret", played.read_secret)
    return played


@pytest.fixture
def identify() -> Identify:
    """The identity of a container that has just started."""
    return choose_identity("keystone", KEYSTONE)


@pytest.fixture
def kept(played: Played) -> Identify:
    """The identity of a container whose credential is a secret of AWS."""
    played.secret = dict(APPLICATION)
    url = KEYSTONE["OS_AUTH_URL"]
    return choose_identity("keystone", {"OS_AUTH_URL": url, "KEYSTONE_CREDENTIAL": ARN})
