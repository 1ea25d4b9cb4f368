"""What tests of identity stand on: a service with a real Keystone, and an issuer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chalicelib import clock as service_clock
from chalicelib.identity.methods import Identify
from infra.local import issuer as local_issuer
from infra.local.environments import install
from infra.local.issuer import Issuer
from infra.local.keystone import REQUIREMENTS, Keystone
from tests.identity.issuing import choose
from tests.local.service import Run, running


@dataclass
class Cloud:
    """A service, as `make run AUTH=keystone` starts it, and its Keystone."""

    run: Run
    keystone: Keystone


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A service and a Keystone, with the examples, started once for all."""
    install(REQUIREMENTS)  # Here, as the service's surroundings may have no index.
    with running(AUTH="keystone") as run:
        ((url, password),) = re.findall(
            r"Keystone serves at (\S+)\.\n.* password (\S+)\.\n", run.greeting
        )
        (file,) = re.findall(r"export OS_CLIENT_CONFIG_FILE=(\S+)", run.greeting)
        yield Cloud(run, Keystone(url, password, Path(file).parent))


@pytest.fixture
def keystone(cloud: Cloud) -> Keystone:
    """The Keystone, as its administrator calls it."""
    return cloud.keystone


class Clock:
    """The time that the service sees: the true one, and what was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the service in this process."""
    clock = Clock()
    monkeypatch.setattr(service_clock, "now", clock.now)
    return clock


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer with a key for each algorithm."""
    with local_issuer.running() as issuer:
        issuer.add_key("curve", "ES256")
        issuer.add_key("edwards", "EdDSA")
        yield issuer


@pytest.fixture
def identify(issuer: Issuer) -> Identify:
    """The identity of a container that has just started."""
    issuer.asked.clear()
    return choose(issuer.url)
