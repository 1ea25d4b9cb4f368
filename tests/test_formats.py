"""Data is judged as OpenStack Glance 33 judges it, by a few bounded pieces of it.

The reference's judgement is that of oslo.utils, used as Glance uses it; where ours is
another, it is named here.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from oslo_utils.imageutils import format_inspector

from chalicelib.domain.formats import (
    BYTES_MAX,
    HEAD_BYTES,
    READS_MAX,
    VIRTUAL_SIZE_MAX,
    FormatRefused,
    inspect,
)
from tests import disks
from tests.disks import DISK, GPT, KIB, LINUX, MIB, SECTOR, put

Judgement = int | str | None
"""How many bytes the disk has, `None` where that is unknown, or `REFUSED`."""

REFUSED: Final = "refused"
FORMATS: Final = (
    *("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ploop"),
    *("ami", "ari", "aki"),
)
CHUNK: Final = 64 * KIB
STARTS: Final = (0, 446, SECTOR, 32 * KIB, 192 * KIB, 2 * MIB)
"""Where headers and tables of the formats are."""

GOOD: Final = {
    "qcow2": ("qcow2", disks.qcow2()),
    "qcow2 of version 2": ("qcow2", disks.qcow2(version=2)),
    "qcow2 that is dirty": ("qcow2", disks.qcow2(features=0b1)),
    "qcow2 with zstd": ("qcow2", disks.qcow2(features=0b1000)),
    "vhd": ("vhd", disks.dynamic_vhd()),
    "vhdx": ("vhdx", disks.vhdx()),
    "vhdx with its metadata far out": ("vhdx", disks.vhdx(start=5 * MIB)),
    "vmdk": ("vmdk", disks.vmdk()),
    "vmdk of version 3": ("vmdk", disks.vmdk(version=3)),
    "vmdk with a long descriptor": ("vmdk", disks.vmdk(length=1000)),
    "vmdk that was streamed": ("vmdk", disks.stream_vmdk()),
    "vmdk with an endless descriptor": ("vmdk", disks.vmdk(length=2**64 - 1)),
    "vmdk with 2 MiB of descriptor": ("vmdk", disks.vmdk(length=4096)),
    "vdi": ("vdi", disks.vdi()),
    "iso": ("iso", disks.iso()),
    "iso that boots from a disk": ("iso", disks.partitioned(LINUX, disk=disks.iso())),
    "iso with a boot sector of its own": ("iso", disks.partitioned(disk=disks.iso())),
    "udf": ("iso", put(disks.iso(), 32 * KIB, b"\0NSR02")),
    "raw": ("raw", bytes(MIB)),
    "raw of one byte": ("raw", b"x"),
    "raw of none": ("raw", b""),
    "raw text": ("raw", b"cloud images\n" * 10_000),
    "raw that is not text": ("raw", bytes(range(256)) * KIB),
    "raw with an MBR": ("raw", disks.partitioned(LINUX)),
    "raw with a GPT": ("raw", disks.partitioned(GPT)),
    "raw with a FAT file system": (
        "raw",
        put(disks.partitioned((0x12, b"fat", 1, 1)), 0x10, b"\x02\0\0\0\0\xf8"),
    ),
    "raw that is encrypted": ("raw", disks.luks()),
    "ami": ("ami", bytes(MIB)),
    "ari": ("ari", b"070701" + bytes(MIB)),
    "aki": ("aki", b"\x7fELF" + bytes(MIB)),
}
"""Data that is accepted, and the format that it is of."""

BAD: Final = {
    "qcow2 with a backing file": ("qcow2", disks.qcow2(backing_file=104)),
    "qcow2 of version 2 with one": ("qcow2", disks.qcow2(version=2, backing_file=72)),
    "qcow2 with an external data file": ("qcow2", disks.qcow2(features=0b100)),
    "qcow2 with both": ("qcow2", disks.qcow2(backing_file=1, features=0b100)),
    "qcow2 of version 1": ("qcow2", disks.qcow2(version=1)),
    "qcow2 of version 4": ("qcow2", disks.qcow2(version=4)),
    "qcow2 with subclusters": ("qcow2", disks.qcow2(features=0b10000)),
    "qcow2 with a feature to come": ("qcow2", disks.qcow2(features=1 << 63)),
    **{
        f"vmdk that is {kind}": ("vmdk", disks.vmdk(text=disks.descriptor(kind)))
        for kind in (
            *("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"),
            *("vmfs", "vmfsSparse", "fullDevice", "partitionedDevice", "custom", ""),
        )
    },
    "vmdk with another's file": (
        "vmdk",
        disks.vmdk(text=disks.descriptor(extent='RW 8 SPARSE "/etc/passwd"')),
    ),
    "vmdk without an extent": ("vmdk", disks.vmdk(text=disks.descriptor(extent="#"))),
    "vmdk with a line unheard of": (
        "vmdk",
        disks.vmdk(text=disks.descriptor() + b"include the rest\n"),
    ),
    "vmdk without a descriptor": ("vmdk", disks.vmdk(text=b"")),
    "vmdk with none at all": ("vmdk", disks.vmdk(length=0)),
    "vmdk without its type": ("vmdk", disks.vmdk(text=b"version=1\nRW 8 SPARSE x\n")),
    "vmdk with an open quote": (
        "vmdk",
        disks.vmdk(text=b'createType="monolithicSparse'),
    ),
    "vmdk with two types": (
        "vmdk",
        disks.vmdk(text=disks.descriptor("vmfs") + disks.descriptor()),
    ),
    "vmdk with umlauts": (
        "vmdk",
        disks.vmdk(text=disks.descriptor() + "# für alle\n".encode()),
    ),
    "vmdk of version 4": ("vmdk", disks.vmdk(version=4)),
    "vmdk with its descriptor elsewhere": ("vmdk", disks.vmdk(start=2)),
    "vmdk that is text": ("vmdk", disks.descriptor("monolithicFlat")),
    "vmdk with a footer of another version": (
        "vmdk",
        disks.stream_vmdk(footer=disks.vmdk_header(DISK, 1)),
    ),
    "vmdk with a footer with another descriptor": (
        "vmdk",
        disks.stream_vmdk(footer=disks.vmdk_header(DISK, 3, length=40)),
    ),
    "vmdk with a footer that names another": (
        "vmdk",
        disks.stream_vmdk(footer=disks.vmdk_header(DISK, 3, directory=2**64 - 1)),
    ),
    "vmdk with no footer": ("vmdk", disks.stream_vmdk(footer=bytes(SECTOR))),
    "vmdk with no marker before the footer": (
        "vmdk",
        put(disks.stream_vmdk(), len(disks.stream_vmdk()) - 1536 + 12, b"\x02"),
    ),
    "vmdk with no marker after the footer": (
        "vmdk",
        put(disks.stream_vmdk(), len(disks.stream_vmdk()) - 512, b"\x01"),
    ),
    "iso and qcow2": ("iso", put(disks.iso(), 0, disks.qcow2()[:SECTOR])),
    "qcow2 and iso": ("qcow2", put(disks.iso(), 0, disks.qcow2()[:SECTOR])),
    "vdi and a partition table": ("vdi", disks.partitioned(LINUX, disk=disks.vdi())),
    "iso that boots, as raw": ("raw", disks.partitioned(LINUX, disk=disks.iso())),
    "qed": ("raw", disks.qed()),
    "luks of version 2": ("raw", disks.luks(2)),
    "MBR without a partition": ("raw", disks.partitioned()),
    "MBR with an odd flag": ("raw", disks.partitioned((1, b"\0\0\0", 0x83, 63))),
    "GPT beside another partition": ("raw", disks.partitioned(GPT, LINUX)),
    "GPT that is not the first": ("raw", disks.partitioned(LINUX, GPT)),
    "GPT that starts elsewhere": ("raw", disks.partitioned((0, b"\0\2\0", 0xEE, 2))),
    "GPT that starts oddly": ("raw", disks.partitioned((0, b"\0\1\0", 0xEE, 1))),
}
"""Data that is refused although it is of its format, or is said to be raw."""

HOSTILE: Final = {
    "vmdk with a descriptor far out": ("vmdk", disks.vmdk(start=2**63)),
    "vmdk that is one long line": ("vmdk", disks.vmdk(text=b"=" * 9000)),
    "vmdk with a type without end": (
        "vmdk",
        disks.vmdk(text=b'createType="' + b"a" * 9000),
    ),
    "vhdx with metadata beyond its end": ("vhdx", disks.vhdx()[: 2 * MIB]),
    "vhdx whose size is long": (
        "vhdx",
        disks.vhdx(
            metadata=disks.vhdx_metadata((disks.VIRTUAL_SIZE, 64 * KIB, 2**32 - 1))
        ),
    ),
    "vhdx whose size is beyond its end": (
        "vhdx",
        disks.vhdx(metadata=disks.vhdx_metadata((disks.VIRTUAL_SIZE, 2**32 - 9, 8))),
    ),
}
"""Data that is made to keep an inspection busy, or to break it; all is refused."""

STRICTER: Final = {
    "vhdx with regions without end": (
        "vhdx",
        disks.vhdx(
            regions=disks.vhdx_regions((disks.METADATA, 2 * MIB), count=2**32 - 1)
        ),
    ),
    "vhdx with the most regions": (
        "vhdx",
        disks.vhdx(regions=disks.vhdx_regions((disks.BAT, 0), count=2047)),
    ),
    "vhdx whose size is short, as raw": (
        "raw",
        disks.vhdx(metadata=disks.vhdx_metadata((disks.VIRTUAL_SIZE, 64 * KIB, 4))),
    ),
    "vhdx with too much metadata": (
        "vhdx",
        disks.vhdx(metadata=disks.vhdx_metadata(count=2**16 - 1)),
    ),
    "vhdx with other metadata": ("vhdx", disks.vhdx(metadata=b"METADATA")),
    "vhdx without a table of regions": ("vhdx", disks.vhdx(regions=bytes(64))),
    "vhdx without metadata": (
        "vhdx",
        disks.vhdx(regions=disks.vhdx_regions((disks.BAT, 3 * MIB))),
    ),
    "vhdx without a size": (
        "vhdx",
        disks.vhdx(metadata=disks.vhdx_metadata((disks.BAT, 64 * KIB, 8))),
    ),
    "vmdk with another size in its footer": (
        "vmdk",
        disks.stream_vmdk(footer=disks.vmdk_header(2 * DISK, 3)),
    ),
    "qcow2 of a size beyond 64 bits": ("qcow2", disks.qcow2(2**64 - 1)),
    "text of a vmdk with umlauts": (
        "vmdk",
        b"#" * SECTOR + "\n# für alle\n".encode() + disks.descriptor("monolithicFlat"),
    ),
    "text that begins in ASCII, as qcow2": (
        "qcow2",
        b"#" * SECTOR + "\n# für alle\n".encode(),
    ),
    "text of a vmdk and NUL": ("raw", disks.descriptor("monolithicFlat") + bytes(99)),
    "text of a good vmdk, as raw": ("raw", disks.descriptor()),
    "long text of a vmdk, as raw": (
        "raw",
        b"# more\n" * 20_000 + disks.descriptor("monolithicFlat"),
    ),
    "qcow2 of less than a sector": ("raw", disks.qcow2()[:104]),
}
"""
Data that Glance takes and this service does not: it is damaged, or oslo.utils stumbles.
"""

MORE: Final = {
    "vhd of a fixed size": ("vhd", disks.fixed_vhd()),
    "vhd of a fixed size, partitioned": (
        "vhd",
        disks.fixed_vhd(disk=disks.partitioned(LINUX)),
    ),
    "ploop": ("ploop", disks.ploop()),
    "ploop of old": ("ploop", disks.ploop(magic=b"WithoutFreeSpace")),
}
"""Data of which this service knows more: Glance refuses the first two, and takes ploop
without a look.
"""

ALL: Final = {**GOOD, **BAD, **HOSTILE}


class Reader:
    """Reads pieces of data, and counts them."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.pieces: list[int] = []

    def __call__(self, start: int, length: int) -> bytes:
        """Read a piece, which must be in the data."""
        assert start >= 0
        assert length > 0
        assert start + length <= self.size
        self.pieces.append(length)
        return self.data[start : start + length].ljust(length, b"\0")

    @property
    def is_bounded(self) -> bool:
        """Whether no more was read than may be of data of any size."""
        return len(self.pieces) <= READS_MAX and sum(self.pieces) <= BYTES_MAX


def judge(data: bytes, disk_format: str) -> Judgement:
    """Judge data as the service does."""
    reader = Reader(data)
    try:
        return inspect(reader, reader.size, disk_format, "bare")
    except FormatRefused:
        return REFUSED
    finally:
        assert reader.is_bounded


def judge_as_glance(data: bytes, disk_format: str) -> Judgement:
    """Judge data as `set_data` in `glance/location.py` does, with Glance's defaults."""
    stream = format_inspector.InspectWrapper(
        iter([data[at : at + CHUNK] for at in range(0, len(data), CHUNK)])  # type: ignore[arg-type] # Glance gives it iterators, too
    )
    for _ in stream:
        pass
    size = 0
    try:
        kinds = {str(kind): kind for kind in stream.formats or []}
        recognized = kinds["iso"] if kinds.keys() == {"iso", "gpt"} else stream.format
        assert recognized is not None
        if str(recognized) == disk_format:
            size = recognized.virtual_size
        elif disk_format == "raw":
            assert stream.format is not None  # Glance logs it, and so refuses several.
            size = recognized.actual_size
        elif str(recognized) != "raw" or disk_format in format_inspector.ALL_FORMATS:
            return REFUSED
        recognized.safety_check()
    except AttributeError:
        return None  # What Glance means for data that it did not look at.
    except Exception:  # noqa: BLE001 - whatever it is, Glance refuses the data
        return REFUSED
    return size or None


def cuts(data: bytes) -> Iterator[bytes]:
    """Cut data off before, at and after each place where something begins or ends."""
    places = {
        *(0, 4, 8, 32, 48, 64, 72, 80, 104, 376, 510, SECTOR, 592, 2 * SECTOR),
        *(21 * SECTOR, 32 * KIB, 0x8006, 34 * KIB, 64 * KIB, 192 * KIB, 256 * KIB),
        *(2 * MIB, 2 * MIB + 32, 2 * MIB + 64 * KIB, 2 * MIB + 64 * KIB + 8),
        *(len(data) - SECTOR, len(data) - 2 * SECTOR, len(data) - 3 * SECTOR),
        len(data),
    }
    ends = {place + off for place in places for off in (-1, 0, 1)}
    for end in sorted(end for end in ends if 0 <= end < len(data)):
        yield data[:end]


@pytest.mark.parametrize("name", GOOD)
def test_good_data_is_accepted(name: str) -> None:
    """Data of its format is accepted, with the size that Glance tells of its disk."""
    disk_format, data = GOOD[name]

    assert judge(data, disk_format) == judge_as_glance(data, disk_format) != REFUSED


@pytest.mark.parametrize(
    "disk_format", ["qcow2", "vhd", "vhdx", "vmdk", "vdi", "ploop"]
)
def test_the_size_of_the_disk_is_known(disk_format: str) -> None:
    """The size of the disk in the data is that which the format has."""
    data = {**GOOD, "ploop": ("ploop", disks.ploop())}[disk_format][1]

    assert judge(data, disk_format) == DISK


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused(name: str) -> None:
    """
    What a consumer should not boot is refused, as the format it is and as raw data.
    """
    disk_format, data = BAD[name]

    assert judge(data, disk_format) == judge_as_glance(data, disk_format) == REFUSED


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_is_refused(name: str) -> None:
    """Data whose lengths, counts and places are lies is refused, by bounded reads."""
    disk_format, data = HOSTILE[name]

    assert judge(data, disk_format) == judge_as_glance(data, disk_format) == REFUSED


@pytest.mark.parametrize("name", ALL)
def test_data_of_another_format_is_judged_as_glance_judges_it(name: str) -> None:
    """
    Whatever the format of the image, never more is accepted, nor another size known.
    """
    _, data = ALL[name]

    judgements = {
        disk_format: (judge(data, disk_format), judge_as_glance(data, disk_format))
        for disk_format in FORMATS
    }
    others = {name: both for name, both in judgements.items() if both[0] != both[1]}

    assert others == {}


@pytest.mark.parametrize("name", STRICTER)
def test_damaged_data_is_refused(name: str) -> None:
    """Data that Glance takes by mistake is refused."""
    disk_format, data = STRICTER[name]

    assert judge(data, disk_format) == REFUSED != judge_as_glance(data, disk_format)


@pytest.mark.parametrize("name", MORE)
def test_more_is_known_of_vhd_and_ploop(name: str) -> None:
    """A footer alone tells a vhd of a fixed size, and a ploop tells its size."""
    disk_format, data = MORE[name]

    assert judge(data, disk_format) == DISK
    assert judge_as_glance(data, disk_format) in (REFUSED, None)


@pytest.mark.parametrize("name", [*GOOD, "vhd of a fixed size"])
def test_data_that_is_cut_off_is_refused(name: str) -> None:
    """Data that ends anywhere is never accepted where Glance refuses it."""
    disk_format, data = {**GOOD, **MORE}[name]

    for cut in cuts(data):
        for claim in {disk_format, "raw"}:
            ours, theirs = judge(cut, claim), judge_as_glance(cut, claim)
            assert ours in (theirs, REFUSED), len(cut)


def test_data_with_wrong_bytes_is_never_accepted_where_glance_refuses_it() -> None:
    """Of 3,000 files with wrong bytes where they say what they are, none."""
    chance = random.Random(18)  # noqa: S311 - the same files each time
    samples = list(ALL.values())
    count = Counter[str]()
    for _ in range(3000):
        disk_format, data = chance.choice(samples)
        for _ in range(chance.randint(1, 3)):
            wrong = chance.choice((b"\0", b"\xff", chance.randbytes(8)))
            at = chance.choice(STARTS) + chance.randrange(80)
            data = put(data, at, wrong) if at < len(data) else data
        ours, theirs = judge(data, disk_format), judge_as_glance(data, disk_format)
        if ours == REFUSED:
            count["refused by both" if theirs == REFUSED else "refused"] += 1
        elif ours == theirs or theirs is None:  # It did not look.
            count["accepted by both"] += 1
        else:
            count["accepted"] += 1

    assert count["accepted"] == 0
    assert count["refused"] < 60
    assert min(count["accepted by both"], count["refused by both"]) > 500


@pytest.mark.parametrize("container_format", ["ovf", "ova", "docker", "compressed"])
def test_what_is_in_a_container_is_not_looked_at(container_format: str) -> None:
    """Only what is bare is read; of no other is the disk's size known."""
    reader = Reader(disks.qcow2(backing_file=104))
    for disk_format in FORMATS:
        assert inspect(reader, reader.size, disk_format, container_format) is None

    assert reader.pieces == []


@pytest.mark.parametrize("name", ALL)
def test_what_is_read_of_the_largest_data_is_bounded(name: str) -> None:
    """Data of 5 TiB costs four reads at most."""
    _, data = ALL[name]

    for disk_format in FORMATS:
        reader = Reader(data, 5 * 1024**4)
        with suppress(FormatRefused):
            inspect(reader, reader.size, disk_format, "bare")
        assert reader.is_bounded


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("qcow2", [HEAD_BYTES]),
        ("iso", [HEAD_BYTES]),
        ("vmdk", [HEAD_BYTES]),
        ("vmdk with a long descriptor", [HEAD_BYTES, 1000 * SECTOR]),
        ("vmdk that was streamed", [HEAD_BYTES, 3 * SECTOR]),
        ("vhdx", [HEAD_BYTES, 64 * KIB, 64 * KIB, 8]),
        ("raw", [HEAD_BYTES]),
        ("raw of one byte", [1]),
        ("raw of none", []),
    ],
)
def test_what_is_read_of_a_format(name: str, pieces: list[int]) -> None:
    """One read is enough for most, and never one of nothing."""
    disk_format, data = GOOD[name]
    reader = Reader(data)

    inspect(reader, reader.size, disk_format, "bare")

    assert reader.pieces == pieces


@pytest.mark.parametrize(
    ("disk_format", "data", "message"),
    [
        ("qcow2", bytes(MIB), "The data is not in the format qcow2."),
        ("qcow2", disks.vdi(), "The data is not in the format qcow2: it is vdi."),
        ("vmdk", disks.vmdk()[:800], "The data is truncated."),
        (
            "qcow2",
            disks.qcow2(backing_file=104),
            "qcow2 with a backing file is not accepted.",
        ),
        (
            "vmdk",
            disks.vmdk(text=disks.descriptor("vmfs")),
            "vmdk other than monolithicSparse and streamOptimized is not accepted.",
        ),
        (
            "raw",
            disks.partitioned(LINUX, disk=disks.iso()),
            "The data has several formats: iso, gpt.",
        ),
    ],
)
def test_a_refusal_says_why(disk_format: str, data: bytes, message: str) -> None:
    """Its message is for the image's owner."""
    with pytest.raises(FormatRefused) as refused:
        inspect(Reader(data), len(data), disk_format, "bare")

    assert str(refused.value) == message


def test_the_largest_disk_is_accepted() -> None:
    """A disk may have as many bytes as the integers of clients hold, and none more."""
    data = put(disks.qcow2(), 24, struct.pack(">Q", VIRTUAL_SIZE_MAX))
    more = put(disks.qcow2(), 24, struct.pack(">Q", VIRTUAL_SIZE_MAX + 1))

    assert (judge(data, "qcow2"), judge(more, "qcow2")) == (VIRTUAL_SIZE_MAX, REFUSED)
    assert judge(more, "raw") == len(more)
