"""What tests of sources stand on."""

import socket
from typing import Any

import pytest

from chalicelib.background import sources


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of production are for slow networks."""
    monkeypatch.setattr(sources, "SURPLUS_SECONDS", 0.1)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to; each refuses."""
    dialled: list[str] = []

    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            dialled.append(address[0])
            raise ConnectionRefusedError

    monkeypatch.setattr(socket, "socket", Refusing)
    return dialled
