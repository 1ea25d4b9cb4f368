"""
The `openstack` and `glance` commands, on images' data: up, down, and from the web.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.examples import CONSUMER, PRODUCER
from tests.clients.conftest import Terminals
from tests.clients.environments import install
from tests.clients.library import Library, started
from tests.local.service import Run, running
from tests.web_source import WebSource, serving

LIMIT = 4_500_000
FORMATS = "--disk-format raw --container-format bare"
TOO_LARGE = re.compile(r"413.*more than the 4500000 bytes", re.DOTALL)

pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("clients-data")]


@pytest.fixture(scope="module")
def source() -> Iterator[WebSource]:
    """A web server that has an image."""
    source = WebSource(bytes(range(256)) * 40_000)
    with serving(source):
        yield source


@pytest.fixture(scope="module")
def service(source: WebSource) -> Iterator[Run]:
    """The whole service, which may import from that server."""
    with running(DATA="none", IMPORT_ALLOW=f"127.0.0.1:{source.port}") as run:
        yield run


def file_of(home: Path, size: int) -> tuple[str, bytes]:
    """Make a file of some size in a user's home; return its name and content."""
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    (home / f"{size}.raw").write_bytes(content)
    return f"{size}.raw", content


def wait_until_active(service: Run, image_id: str) -> Any:
    """Wait for an image to have its data; return its document."""
    producer = service.actor("producer")
    for _ in range(300):
        image = producer.get(f"/v2/images/{image_id}").document
        if image["status"] == "active":
            return image
        assert image["status"] == "importing", image
        time.sleep(0.1)
    raise AssertionError(image)


@pytest.mark.parametrize("size", [1, LIMIT])
def test_openstack_uploads_and_saves(
    openstack: Terminals, home: Path, size: int
) -> None:
    """The consumer gets what the producer sent, and checks its hash."""
    name, content = file_of(home, size)
    producer, consumer = openstack(PRODUCER), openstack(CONSUMER)

    made = producer.json(f"image create {FORMATS} --file {name} up-{size}")
    producer.do(f"image add project {made['id']} consumer")
    consumer.do(f"image save --file down.raw {made['id']}")

    shown = producer.json(f"image show {made['id']}")
    assert (home / "down.raw").read_bytes() == content
    assert (shown["status"], shown["size"]) == ("active", size)
    assert shown["properties"]["os_hash_value"] == hashlib.sha512(content).hexdigest()


@pytest.mark.parametrize("size", [1, LIMIT])
def test_glance_uploads_and_downloads(
    glance: Terminals, service: Run, home: Path, size: int
) -> None:
    """In chunks, and without a length."""
    name, content = file_of(home, size)
    image_id = service.actor("producer").make_image(
        disk_format="raw", container_format="bare"
    )
    producer = glance(PRODUCER)

    producer.do(f"image-upload --file {name} {image_id}")
    producer.do(f"image-download --file down.raw {image_id}")

    assert (home / "down.raw").read_bytes() == content


def test_one_byte_more_is_refused_with_the_other_ways(
    openstack: Terminals, glance: Terminals, service: Run, home: Path
) -> None:
    """Both commands show what the service says."""
    name, _ = file_of(home, LIMIT + 1)
    image_id = service.actor("producer").make_image(
        disk_format="raw", container_format="bare"
    )

    said = [
        openstack(PRODUCER).refused(f"image create {FORMATS} --file {name} up"),
        glance(PRODUCER).refused(f"image-upload --file {name} {image_id}"),
    ]

    assert [text for text in said if not TOO_LARGE.search(text)] == []


def test_data_is_staged_and_imported(
    openstack: Terminals, glance: Terminals, service: Run, home: Path
) -> None:
    """By `image create --import`, and by `image-create-via-import`."""
    name, content = file_of(home, 100_000)

    made = openstack(PRODUCER).json(f"image create {FORMATS} --import --file {name} a")
    also = glance(PRODUCER).fields(
        f"image-create-via-import --name b --file {name} {FORMATS}"
    )

    for image_id in (made["id"], also["id"]):
        image = wait_until_active(service, image_id)
        assert image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    (task,) = glance(PRODUCER).rows(f"image-tasks {also['id']}")
    assert task["Status"] == "success"


def test_data_is_imported_from_the_web(
    openstack: Terminals,
    glance: Terminals,
    service: Run,
    source: WebSource,
    home: Path,
) -> None:
    """By a worker: more than a request takes."""
    wanted = hashlib.sha512(source.content).hexdigest()
    web = f"--import-method web-download --uri '{source.uri}'"
    made = openstack(PRODUCER).json(f"image create {FORMATS} web")
    openstack(PRODUCER).do(
        f"image import --method web-download --uri '{source.uri}' {made['id']}"
    )
    also = glance(PRODUCER).fields(
        f"image-create-via-import --name web {web} {FORMATS}"
    )

    for image_id in (made["id"], also["id"]):
        assert wait_until_active(service, image_id)["os_hash_value"] == wanted
    openstack(PRODUCER).do(f"image save --file web.raw {made['id']}")
    assert (home / "web.raw").read_bytes() == source.content


def test_openstacksdk_moves_data(service: Run, home: Path) -> None:
    """Its uploads, downloads, staging and imports."""
    name, content = file_of(home, 100_000)
    with started(install("openstacksdk"), "openstack", service.url, home) as process:
        producer = Library(process, PRODUCER)
        made = producer.do(
            "image.create_image",
            "sdk",
            filename=str(home / name),
            disk_format="raw",
            container_format="bare",
        )
        producer.do("image.download_image", made["id"], output=str(home / "sdk.raw"))

    assert (home / "sdk.raw").read_bytes() == content
    assert service.actor("producer").download(made["id"]).body == content


def test_the_log_has_neither_urls_nor_tokens(service: Run) -> None:
    """Neither of a download, nor of what was asked before in this file."""
    producer = service.actor("producer")
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.upload(image_id, b"data")
    producer.download(image_id)

    service.log.seek(0)
    log = service.log.read()

    assert f"/{image_id}/file 307 " in log
    secrets = ("X-Amz", "signature", ":producer:", ":consumer:")
    assert [secret for secret in secrets if secret in log] == []
