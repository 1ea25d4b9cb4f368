"""
What the tests of the real clients stand on: a service, and each client's programs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.environments import install
from tests.clients.library import Library, started
from tests.clients.terminal import Terminal
from tests.local.service import Run, running

Terminals = Callable[[str], Terminal]
"""Takes a token; returns the terminal of its user."""

Libraries = Callable[[str], Library]
"""Takes a token; returns the program of its user."""


@pytest.fixture(scope="module")
def service() -> Iterator[Run]:
    """The whole service, as `make run` starts it, without examples."""
    with running(DATA="none") as run:
        yield run


@pytest.fixture(autouse=True)
def _nothing_left(service: Run) -> Iterator[None]:
    """Delete what a test made, so that the next one of its file finds no images."""
    yield
    admin = service.actor("operators").using("admin")
    for hidden in ("false", "true"):
        for image_id in admin.listed(f"?visibility=all&os_hidden={hidden}&limit=1000"):
            path = f"/v2/images/{image_id}"
            unprotect = [{"op": "replace", "path": "/protected", "value": False}]
            assert admin.patch(path, unprotect).status == 200
            assert admin.delete(path).status == 204


@pytest.fixture
def stock(service: Run) -> dict[str, str]:
    """
    The ids of images of each kind, by name; a producer owns those not said otherwise.
    """
    producer, stranger = service.actor("producer"), service.actor("stranger")
    admin = service.actor("operators").using("admin")
    ubuntu = {"disk_format": "qcow2", "tags": ["lts", "cloud"], "os_distro": "ubuntu"}
    debian = {"disk_format": "raw", "tags": ["lts"], "visibility": "private"}
    rocky = {"disk_format": "iso", "tags": [], "visibility": "community"}
    fedora = {"disk_format": "qcow2", "visibility": "public"}
    ids = {
        "ubuntu": producer.make_image(name="ubuntu", **ubuntu),
        "debian": producer.make_image(name="debian", **debian),
        "rocky": producer.make_image(name="rocky", **rocky),
        "arch": producer.make_image(name="arch", os_hidden=True),
        "fedora": admin.make_image(name="fedora", **fedora),  # the operators'
        "mint": stranger.make_image(name="mint", visibility="community"),
        "gift": stranger.make_image(name="gift"),  # offered to the producer
    }
    stranger.share(ids["gift"], "producer")
    return ids


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user who has configured nothing."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def openstack(service: Run, home: Path) -> Terminals:
    """The `openstack` command, for whom a token names."""
    program = install("python-openstackclient") / "openstack"
    place = {"OS_AUTH_TYPE": "admin_token", "OS_ENDPOINT": f"{service.url}/v2"}
    return lambda token: Terminal(program, home, {**place, "OS_TOKEN": token})


@pytest.fixture(scope="module")
def glance(service: Run, home: Path) -> Terminals:
    """The `glance` command, for whom a token names."""
    program = install("python-glanceclient") / "glance"
    place = {"OS_IMAGE_URL": service.url}
    return lambda token: Terminal(program, home, {**place, "OS_AUTH_TOKEN": token})


@pytest.fixture(scope="module")
def sdk(service: Run, home: Path) -> Iterator[Libraries]:
    """The library openstacksdk, for whom a token names."""
    programs = install("openstacksdk")
    with started(programs, "openstack", service.url, home) as process:
        yield lambda token: Library(process, token)


@pytest.fixture(scope="module")
def glanceclient(service: Run, home: Path) -> Iterator[Libraries]:
    """The library python-glanceclient, for whom a token names."""
    programs = install("python-glanceclient")
    with started(programs, "glanceclient", service.url, home) as process:
        yield lambda token: Library(process, token)
