"""What tests of `tools/upload` stand on: a service, and the tool of a user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors import Actor
from tests.local.service import Run, running
from tests.local.upload_tool import Tool


@pytest.fixture(scope="module")
def service() -> Iterator[Run]:
    """The whole service, without examples."""
    with running(DATA="none") as run:
        yield run


@pytest.fixture
def owner(service: Run) -> Actor:
    """The project whose images these are."""
    return service.actor("producer")


@pytest.fixture
def tool(service: Run, tmp_path: Path) -> Tool:
    """The tool of one of its users."""
    return Tool(tmp_path, service.url)
