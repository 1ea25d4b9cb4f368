"""
Data as images have it, made byte by byte: a small file of each format, or a bad one.
"""

import struct
from typing import Final
from uuid import UUID

DISK: Final = 10 * 1024**2
"""How many bytes the disk in each has."""

SECTOR: Final = 512
KIB: Final = 1024
MIB: Final = 1024**2

METADATA: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
VIRTUAL_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
BAT: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le


def put(data: bytes, at: int, *pieces: bytes) -> bytes:
    """Return the data with pieces written over it, from one byte on."""
    piece = b"".join(pieces)
    return data[:at].ljust(at, b"\0") + piece + data[at + len(piece) :]


def qcow2(
    size: int = DISK, *, version: int = 3, backing_file: int = 0, features: int = 0
) -> bytes:
    """Make a qcow2 without any cluster of data."""
    cluster = 64 * KIB
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", version, backing_file, 0, 16, size, 0),
        *(1, 3 * cluster, cluster, 1, 0, 0),
        *((features, 0, 0, 4, 104) if version > 2 else (0, 0, 0, 0, 0)),
    )
    refcounts = struct.pack(">Q", 2 * cluster)
    block = 4 * struct.pack(">H", 1)
    return (
        header.ljust(cluster, b"\0")
        + refcounts.ljust(cluster, b"\0")
        + block.ljust(cluster, b"\0")
        + bytes(cluster)
    )


def vhd(size: int = DISK, kind: int = 3) -> bytes:
    """Make the footer of a vhd, of which a dynamic one (3) has a copy at its start."""
    cylinders, heads, sectors = size // (17 * 4 * SECTOR), 4, 17
    footer = struct.pack(
        ">8sIIQI4sI4sQQHBBII16sB427x",
        *(b"conectix", 2, 0x10000, SECTOR if kind == 3 else 2**64 - 1, 0),
        *(b"qem2", 0x50003, b"Wi2k", size, size, cylinders, heads, sectors),
        *(kind, 0, bytes(16), 0),
    )
    return put(footer, 64, struct.pack(">I", ~sum(footer) & 0xFFFFFFFF))


def dynamic_vhd(size: int = DISK) -> bytes:
    """Make a vhd without any block of data."""
    blocks = -(-size // (2 * MIB))
    header = struct.pack(
        ">8sQQIII4x988x", b"cxsparse", 2**64 - 1, 3 * SECTOR, 0x10000, blocks, 2 * MIB
    )
    header = put(header, 36, struct.pack(">I", ~sum(header) & 0xFFFFFFFF))
    table = (b"\xff" * 4 * blocks).ljust(SECTOR, b"\xff")
    return vhd(size) + header + table + vhd(size)


def fixed_vhd(size: int = DISK, disk: bytes = b"") -> bytes:
    """Make a vhd that is a disk as it is, and a footer."""
    return disk.ljust(size, b"\0") + vhd(size, 2)


def vhdx(
    size: int = DISK,
    *,
    regions: bytes | None = None,
    metadata: bytes | None = None,
    start: int = 2 * MIB,
) -> bytes:
    """Make what leads to the size of a vhdx: a table of regions, one of metadata."""
    if regions is None:
        regions = vhdx_regions((BAT, 3 * MIB), (METADATA, start))
    if metadata is None:
        metadata = vhdx_metadata((VIRTUAL_SIZE, 64 * KIB, 8))
    data = put(b"vhdxfile", 192 * KIB, regions)
    data = put(data, start, metadata)
    return put(data, start + 64 * KIB, struct.pack("<Q", size), bytes(SECTOR))


def vhdx_regions(*regions: tuple[bytes, int], count: int | None = None) -> bytes:
    """Make a table of regions: of each its UUID, and where it starts."""
    entries = [uuid + struct.pack("<QII", at, MIB, 1) for uuid, at in regions]
    header = struct.pack(
        "<4sIII", b"regi", 0, len(entries) if count is None else count, 0
    )
    return header + b"".join(entries)


def vhdx_metadata(*items: tuple[bytes, int, int], count: int | None = None) -> bytes:
    """Make a table of metadata: of each item its UUID, where it is, and its length."""
    entries = [
        uuid + struct.pack("<IIII", at, length, 6, 0) for uuid, at, length in items
    ]
    header = struct.pack(
        "<8sHH20x", b"metadata", 0, len(entries) if count is None else count
    )
    return header + b"".join(entries)


DESCRIPTOR: Final = """\
# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="{kind}"

# Extent description
{extent}

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "20"
ddb.adapterType = "ide"
"""
"""The text of a vmdk that says what it is."""


def descriptor(kind: str = "monolithicSparse", extent: str = "") -> bytes:
    """Write the descriptor of a vmdk."""
    extent = extent or f'RW {DISK // SECTOR} SPARSE "disk.vmdk"'
    return DESCRIPTOR.format(kind=kind, extent=extent).encode()


def vmdk(  # noqa: PLR0913 - each is a field of the header
    size: int = DISK,
    text: bytes | None = None,
    *,
    version: int = 1,
    start: int = 1,
    length: int = 20,
    directory: int = 26,
) -> bytes:
    """Make a vmdk: the header, and the descriptor."""
    header = vmdk_header(size, version, start, length, directory)
    text = descriptor() if text is None else text
    least = min((1 + length) * SECTOR, 3 * MIB)
    return (header + text).ljust(max(least, 64 * KIB), b"\0")


def vmdk_header(
    size: int, version: int = 1, start: int = 1, length: int = 20, directory: int = 26
) -> bytes:
    """Make the header of a vmdk, which a footer has again."""
    return struct.pack(
        "<4sIIQQQQIQQQB4sH433x",
        *(b"KDMV", version, 3, size // SECTOR, 128, start, length, 512),
        *(21, directory, 128, 0, b"\n \r\n", 0),
    )


def stream_vmdk(size: int = DISK, footer: bytes | None = None) -> bytes:
    """Make a vmdk that was streamed: its header says that a footer has the rest."""
    text = descriptor("streamOptimized")
    head = vmdk(size, text, version=3, directory=2**64 - 1)
    if footer is None:
        footer = vmdk_header(size, 3)
    return head + struct.pack("<QII496x", 1, 0, 3) + footer + bytes(SECTOR)


def vdi(size: int = DISK) -> bytes:
    """Make a vdi without any block of data."""
    blocks = -(-size // MIB)
    header = struct.pack(
        "<64sIIIII256sIIIIIIIQIIII16s16s16s16s",
        *(b"<<< QEMU VM Virtual Disk Image >>>\n", 0xBEDA107F, 0x10001, 0x180, 1, 0),
        *(b"", 512, 1024, 0, 0, 0, SECTOR, 0, size, MIB, 0, blocks, 0),
        *(b"1" * 16, b"2" * 16, bytes(16), bytes(16)),
    )
    return put(header, SECTOR, (b"\xff" * 4 * blocks).ljust(SECTOR, b"\xff"))


def iso(blocks: int = 175, block_bytes: int = 2048, kind: int = 1) -> bytes:
    """Make the volume descriptors of an iso, and blocks without files."""
    primary = put(
        bytes([kind]) + b"CD001\x01",
        80,
        struct.pack("<I", blocks) + struct.pack(">I", blocks),
        bytes(40),
        struct.pack("<H", block_bytes) + struct.pack(">H", block_bytes),
    )
    data = put(b"", 32 * KIB, primary)
    data = put(data, 34 * KIB, b"\xffCD001\x01")
    return data.ljust(175 * 2048, b"\0")


def partitioned(*partitions: tuple[int, bytes, int, int], disk: bytes = b"") -> bytes:
    """
    Put a partition table on a disk: of each the flag, the start, the kind, the sector.
    """
    table = b"".join(
        struct.pack("<B3sB3sII", flag, start, kind, b"\xff" * 3, first, 2048)
        for flag, start, kind, first in partitions
    )
    disk = disk or bytes(MIB)
    return put(disk, 446, table.ljust(64, b"\0"), b"\x55\xaa")


LINUX: Final = (0x80, b"\x20\x21\x00", 0x83, 2048)
GPT: Final = (0, b"\x00\x02\x00", 0xEE, 1)
"""Partitions: one to boot from, and the one that stands for a GPT."""


def luks(version: int = 1) -> bytes:
    """Make the header of a disk that is encrypted as a whole."""
    header = struct.pack(
        ">6sH32s32s32sII", b"LUKS\xba\xbe", version, b"aes", b"xts", b"sha256", 4096, 32
    )
    return header.ljust(MIB, b"\0")


def ploop(size: int = DISK, magic: bytes = b"WithouFreSpacExt") -> bytes:
    """Make a ploop without any block of data."""
    header = struct.pack(
        "<16sIIIIIQIIIQ", magic, 2, 16, 20, 2048, 10, size // SECTOR, 0, 2048, 0, 0
    )
    return header.ljust(MIB, b"\0")


def qed() -> bytes:
    """Make the header of a qed."""
    return struct.pack(
        "<4sIIIQQQQQ", b"QED\0", 65536, 4, 1, 0, 0, 0, 65536, DISK
    ).ljust(64 * KIB, b"\0")
