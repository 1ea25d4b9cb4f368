"""Data is inspected on each way into an image, before the image has it."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from chalicelib.background import runs, transfers
from chalicelib.domain import formats
from chalicelib.store import objects
from infra.local.worker import Pump
from tests import disks
from tests.actors import Actor
from tests.bucket_faults import multiparts, stored_objects
from tests.configuring import configure
from tests.scene import CONTENT, error
from tests.web_source import WebSource, allow, serving

BACKED = disks.qcow2(backing_file=104)
REFUSED = {
    "qcow2 with a backing file": (
        "qcow2",
        BACKED,
        "qcow2 with a backing file is not accepted.",
    ),
    "qcow2 with an external data file": (
        "qcow2",
        disks.qcow2(features=0b100),
        "qcow2 with an external data file is not accepted.",
    ),
    "vmdk of another type": (
        "vmdk",
        disks.vmdk(text=disks.descriptor("monolithicFlat")),
        "vmdk other than monolithicSparse and streamOptimized is not accepted.",
    ),
    "another format": (
        "qcow2",
        disks.vmdk(),
        "The data is not in the format qcow2: it is vmdk.",
    ),
    "no format": ("vmdk", CONTENT, "The data is not in the format vmdk."),
    "raw that is a backed qcow2": (
        "raw",
        BACKED,
        "qcow2 with a backing file is not accepted.",
    ),
}
"""Data that is refused: the format of its image, the data, the message."""

KNOWN = {
    "qcow2": (disks.qcow2(), disks.DISK),
    "vmdk": (disks.stream_vmdk(), disks.DISK),
    "vdi": (disks.vdi(), disks.DISK),
    "vhd": (disks.dynamic_vhd(), disks.DISK),
    "vhdx": (disks.vhdx(), disks.DISK),
    "iso": (disks.iso(), 175 * 2048),
    "ploop": (disks.ploop(), disks.DISK),
    "raw": (disks.partitioned(disks.GPT), disks.MIB),
    "ami": (CONTENT, None),
}
"""Data of each format, and the bytes of its disk."""


@pytest.fixture(params=REFUSED)
def refused(request: pytest.FixtureRequest) -> tuple[str, bytes, str]:
    """Data that is refused."""
    return REFUSED[request.param]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebSource]:
    """A web server that an image is imported from."""
    allow(monkeypatch, "127.0.0.1")
    source = WebSource(b"")
    with serving(source):
        yield source


@pytest.fixture
def _off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting that inspects nothing."""
    configure(monkeypatch, image_formats="off")


def make(producer: Actor, disk_format: str, container_format: str = "bare") -> str:
    """Create an image of these formats; return its id."""
    return producer.make_image(
        disk_format=disk_format, container_format=container_format
    )


def show(producer: Actor, image_id: str) -> Any:
    """Return an image's document."""
    return producer.get(f"/v2/images/{image_id}").document


def import_staged(producer: Actor, image_id: str) -> int:
    """Import what was staged; return the status of the response."""
    path = f"/v2/images/{image_id}/import"
    return producer.post(path, {"method": {"name": "glance-direct"}}).status


def bring(
    producer: Actor, source: WebSource, pump: Pump, disk_format: str, content: bytes
) -> list[str]:
    """Bring data into an image on each way; return the images' ids."""
    uploaded, staged, imported, sent = (make(producer, disk_format) for _ in range(4))
    source.content = content
    producer.upload(uploaded, content)
    producer.upload(staged, content, to="stage")
    import_staged(producer, staged)
    import_from(producer, imported, source)
    send_direct(producer, sent, content)
    pump.drain()
    return [uploaded, staged, imported, sent]


def import_from(producer: Actor, image_id: str, source: WebSource) -> None:
    """Ask for an import from a web server."""
    path = f"/v2/images/{image_id}/import"
    method = {"name": "web-download", "uri": source.uri}
    assert producer.post(path, {"method": method}).status == 202


def send_direct(producer: Actor, image_id: str, content: bytes) -> Any:
    """Upload data directly, to the point where a worker takes over."""
    path = f"/ext/v1/images/{image_id}/uploads"
    upload = producer.post(path, {"size": len(content)}).document
    (part,) = upload["parts"]
    requests.put(part["url"], content, timeout=10).raise_for_status()
    assert producer.post(f"{upload['self']}/complete").status == 202
    return upload


def newest_task(producer: Actor, image_id: str) -> tuple[str, str]:
    """Return what became of the latest import, and its message."""
    task, *_ = producer.get(f"/v2/images/{image_id}/tasks").document["tasks"]
    return task["status"], task["message"]


def test_an_upload_is_refused(producer: Actor, refused: tuple[str, bytes, str]) -> None:
    """`PUT …/file` answers 415; nothing is stored, and the image waits for data."""
    disk_format, content, message = refused
    image_id = make(producer, disk_format)
    before = show(producer, image_id)

    response = producer.upload(image_id, content)

    wanted = error(415, "Unsupported Media Type", message)
    assert (response.status, response.document) == wanted
    assert show(producer, image_id) == before
    assert stored_objects(image_id) == []


def test_staged_data_is_refused_at_its_import(
    producer: Actor, refused: tuple[str, bytes, str]
) -> None:
    """The import is taken and fails; the image stays staged, and says why."""
    disk_format, content, message = refused
    image_id = make(producer, disk_format)

    staged = producer.upload(image_id, content, to="stage")
    between = show(producer, image_id)
    imported = import_staged(producer, image_id)

    image = show(producer, image_id)
    assert (staged.status, imported) == (204, 202)
    assert (between["status"], image["status"]) == ("uploading", "uploading")
    assert "os_glance_failed_import" not in between
    assert image["os_glance_failed_import"] == message
    assert (image["checksum"], image["virtual_size"]) == (None, None)
    assert newest_task(producer, image_id) == ("failure", message)
    assert producer.download(image_id).status == 204


def test_an_import_from_a_url_fails(
    producer: Actor,
    refused: tuple[str, bytes, str],
    source: WebSource,
    pump: Pump,
) -> None:
    """The image is queued again, without data, and says why."""
    disk_format, source.content, message = refused
    image_id = make(producer, disk_format)

    import_from(producer, image_id, source)
    pump.drain()

    image = show(producer, image_id)
    assert (image["status"], image["size"]) == ("queued", None)
    assert image["os_glance_failed_import"] == message
    assert newest_task(producer, image_id) == ("failure", message)
    assert stored_objects(image_id) == []
    assert multiparts(image_id) == []


def test_a_direct_upload_fails(
    producer: Actor, refused: tuple[str, bytes, str], pump: Pump
) -> None:
    """The image is queued again, without data, and says why, as the upload does."""
    disk_format, content, message = refused
    image_id = make(producer, disk_format)

    upload = send_direct(producer, image_id, content)
    pump.drain()

    image = show(producer, image_id)
    ended = producer.get(upload["self"]).document
    assert (image["status"], image["size"]) == ("queued", None)
    assert image["os_glance_failed_import"] == message
    assert (ended["state"], ended["message"]) == ("failure", message)
    assert stored_objects(image_id) == []


@pytest.mark.parametrize("disk_format", KNOWN)
def test_the_size_of_the_disk_is_known_on_each_way(
    producer: Actor, source: WebSource, pump: Pump, disk_format: str
) -> None:
    """`virtual_size` is that of the disk in the data, where its format has one."""
    content, virtual_size = KNOWN[disk_format]
    for image_id in bring(producer, source, pump, disk_format, content):
        image = show(producer, image_id)
        assert (image["status"], image["size"]) == ("active", len(content))
        assert image["virtual_size"] == virtual_size
        assert image["checksum"] == hashlib.md5(content).hexdigest()  # noqa: S324 - as the reference


@pytest.mark.parametrize("container_format", ["ovf", "ova", "docker", "compressed"])
def test_data_in_a_container_is_not_inspected(
    producer: Actor, container_format: str
) -> None:
    """Its disk's size is not known, of raw data neither."""
    for disk_format in ("raw", "qcow2"):
        image_id = make(producer, disk_format, container_format)

        assert producer.upload(image_id, BACKED).status == 204
        assert show(producer, image_id)["virtual_size"] is None


def test_formats_may_be_set_until_data_comes(producer: Actor) -> None:
    """After a refusal the image takes another format, and then the data."""
    image_id = make(producer, "vmdk")
    assert producer.upload(image_id, disks.qcow2()).status == 415

    change = {"op": "replace", "path": "/disk_format", "value": "qcow2"}
    assert producer.patch(f"/v2/images/{image_id}", [change]).status == 200
    assert producer.upload(image_id, disks.qcow2()).status == 204

    assert show(producer, image_id)["virtual_size"] == disks.DISK


@pytest.mark.usefixtures("_off")
@pytest.mark.parametrize(("disk_format", "known"), [("qcow2", False), ("raw", True)])
def test_nothing_is_inspected_where_the_setting_is_off(
    producer: Actor, source: WebSource, pump: Pump, disk_format: str, *, known: bool
) -> None:
    """All data is taken as what it is said to be: raw data is a disk of its size."""
    for image_id in bring(producer, source, pump, disk_format, BACKED):
        image = show(producer, image_id)
        assert image["status"] == "active"
        assert image["virtual_size"] == (len(BACKED) if known else None)


def test_a_worker_reads_bounded_pieces_of_what_is_stored(
    producer: Actor, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large direct upload it reads four pieces, beside what it hashes."""
    pieces: list[tuple[int, int]] = []
    read_piece = objects.read_piece

    def reading(upload: Any, start: int, length: int) -> bytes:
        pieces.append((start, length))
        return read_piece(upload, start, length)

    monkeypatch.setattr(objects, "read_piece", reading)
    image_id = make(producer, "vhdx")
    send_direct(producer, image_id, disks.vhdx(start=9 * disks.MIB))

    pump.drain()

    assert show(producer, image_id)["virtual_size"] == disks.DISK
    assert len(pieces) == formats.READS_MAX
    assert sum(length for _, length in pieces) < 200_000


def test_an_upload_hashed_in_several_runs_is_inspected_in_the_last(
    producer: Actor, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of an inspection has to be kept between the runs of a worker."""
    seen: list[str] = []
    transfer = transfers.transfer

    def transfer_a_piece(image_id: str, upload_id: str, *_: object) -> None:
        seen.append(image_id)
        transfer(image_id, upload_id, lambda: True)

    monkeypatch.setattr(runs, "PIECE_BYTES", 100_000)
    monkeypatch.setattr(transfers, "transfer", transfer_a_piece)
    good, bad = make(producer, "qcow2"), make(producer, "qcow2")
    send_direct(producer, good, disks.qcow2())
    send_direct(producer, bad, BACKED)

    pump.drain()

    assert [seen.count(image_id) for image_id in (good, bad)] == [4, 4]
    assert show(producer, good)["virtual_size"] == disks.DISK
    assert show(producer, bad)["status"] == "queued"
