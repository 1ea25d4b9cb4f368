"""What an image's data is: of its format or not, safe to boot or not, of which disk.

The judgement is that of OpenStack Glance 33 by default, from bounded pieces of data of
any size (`docs/decisions/0018-formats-by-pieces.md`).
"""

import re
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Self
from uuid import UUID

Read = Callable[[int, int], bytes]
"""Reads a piece that the data has: from which byte on, and how many bytes."""

HEAD_BYTES: Final = 64 * 1024
"""Size of the first read, in bytes: all that most formats need."""

DESCRIPTOR_BYTES_MAX: Final = 1024**2 - 1
"""Maximum size of a vmdk's descriptor, in bytes, as in QEMU."""

READS_MAX: Final = 4
"""Maximum number of reads: the head, two tables, and the size in a vhdx."""

BYTES_MAX: Final = HEAD_BYTES + DESCRIPTOR_BYTES_MAX + 3 * 512
"""
Maximum number of bytes that are read: head, descriptor and footer of a vmdk.
"""

VIRTUAL_SIZE_MAX: Final = 2**63 - 1
"""Maximum size of a disk, in bytes: what 64-bit integers of clients hold."""

_MAGICS: Final = {
    "qcow2": (0, (b"QFI\xfb",)),
    "qed": (0, (b"QED\0",)),
    "vhd": (0, (b"conectix",)),
    "vhdx": (0, (b"vhdxfile",)),
    "vmdk": (0, (b"KDMV",)),
    "luks": (0, (b"LUKS\xba\xbe",)),
    "vdi": (0x40, (b"\x7f\x10\xda\xbe",)),
    "iso": (0x8001, (b"CD001", b"NSR02", b"NSR03")),
}
"""
At which byte the data of a format has what; gpt, and vmdk of text, have rules instead.
"""

_UNMARKED: Final = frozenset({"raw", "ami", "ari", "aki", "ploop"})
"""The formats of images whose data need have no mark."""

_SECTOR: Final = 512
_MEBIBYTE: Final = 1024**2

_QCOW2_VERSIONS: Final = frozenset({2, 3})
_QCOW2_DATA_FILE: Final = 0b100
_QCOW2_FEATURES: Final = 0b1111  # Dirty, corrupt, data file, type of compression.

_VHD_FIXED: Final = 2

_VHDX_REGIONS: Final = 192 * 1024
_VHDX_TABLE_BYTES: Final = 64 * 1024
_VHDX_ENTRY_BYTES: Final = 32
_VHDX_ENTRIES_MAX: Final = 2047
_VHDX_METADATA: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_VHDX_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_VHDX_SIZE_BYTES: Final = 8

_VMDK_VERSIONS: Final = frozenset({1, 2, 3})
_VMDK_TYPES: Final = frozenset({"monolithicsparse", "streamoptimized"})
_VMDK_EXTENTS: Final = frozenset({"rw", "rdonly", "noaccess"})
_VMDK_AT_END: Final = 2**64 - 1
_VMDK_FOOTER: Final = struct.pack("<II496x", 0, 3)
_VMDK_END: Final = bytes(_SECTOR)
_TEXT: Final = re.compile(rb"[\t-\r\x1c-~]+")

_PARTITIONS: Final = range(446, 510, 16)
_GPT: Final = 0xEE
_GPT_START: Final = (b"\0\2\0", 1)
_FAT_DISK: Final = (2, 0xF8)

_ISO_HEADER: Final = 0x8000
_ISO_HEADER_BYTES: Final = 2048
_ISO_PRIMARY: Final = 1

_LUKS_HEADER_BYTES: Final = 592

_PLOOP_OLD: Final = b"WithoutFreeSpace"
_PLOOP: Final = b"WithouFreSpacExt"


class FormatRefused(Exception):  # noqa: N818 - as the API's errors are named
    """The data is refused; the message tells the image's owner why."""


def inspect(
    read: Read,
    size: int,
    disk_format: str | None,
    container_format: str | None,
    *,
    trusted: bool = False,
) -> int | None:
    """Return how many bytes the disk in the data has: `None` where that is unknown.

    Nothing is read where the formats are trusted, or where one is not known yet.

    Raises:
        FormatRefused: The data has another format, or must not be booted.
    """
    if container_format != "bare" or disk_format is None:
        return None
    if trusted:
        return size if size and disk_format == "raw" else None
    data = _Data(read, size)
    kind = _recognize(data, disk_format)
    if kind is None and disk_format not in _UNMARKED:
        raise FormatRefused(f"The data is not in the format {disk_format}.")
    if kind is not None and disk_format not in (kind, "raw"):
        raise FormatRefused(
            f"The data is not in the format {disk_format}: it is {kind}."
        )
    virtual_size = _INSPECT[kind](data) if kind else 0
    if disk_format == "raw":
        virtual_size = size
    elif disk_format == "ploop":
        virtual_size = _ploop_size(data)
    if virtual_size > VIRTUAL_SIZE_MAX:
        raise FormatRefused(f"A disk of {virtual_size} bytes is not accepted.")
    return virtual_size or None


class _Data:
    """Data of a known size, of which pieces are read."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self.size = size
        self.head = read(0, min(size, HEAD_BYTES)) if size else b""

    def piece(self, start: int, length: int) -> bytes:
        """Return a piece of the data; it may lie anywhere.

        Raises:
            FormatRefused: The data has not all of it.
        """
        end = start + length
        if start < 0 or end > self.size:
            raise FormatRefused("The data is truncated.")
        return self.head[start:end] if end <= HEAD_BYTES else self._read(start, length)


def _recognize(data: _Data, disk_format: str) -> str | None:
    """Return the format that the data has the marks of, if any.

    Raises:
        FormatRefused: It has the marks of several, and could be read as any of them.
    """
    kinds = [
        kind
        for kind, (start, magics) in _MAGICS.items()
        if data.head.startswith(magics, start)
    ]
    if _is_descriptor(data):
        kinds.append("vmdk")
    if _is_partitioned(data.head):
        kinds.append("gpt")
    if disk_format == "iso" and kinds == ["iso", "gpt"]:
        return "iso"  # It boots from a disk, too.
    if disk_format == "vhd" and kinds in ([], ["gpt"]) and _is_fixed_vhd(data):
        return "vhd"  # The disk as it is, and a footer.
    if len(kinds) > 1:
        raise FormatRefused(f"The data has several formats: {', '.join(kinds)}.")
    return kinds[0] if kinds else None


def _is_descriptor(data: _Data) -> bool:
    """
    Return whether the data is a vmdk's descriptor alone: text, up to the first NUL.
    """
    text, nul, _ = data.head.partition(b"\0")
    if not _TEXT.fullmatch(text, 0, _SECTOR):
        return False
    if not nul and data.size > HEAD_BYTES:
        start = data.piece(0, min(data.size, DESCRIPTOR_BYTES_MAX))
        text, _, _ = start.partition(b"\0")
    return b'createtype="' in text.lower()


def _is_partitioned(head: bytes) -> bool:
    """
    Return whether the data begins with a partition table, and not with FAT's sector.
    """
    return head.startswith(b"\x55\xaa", 510) and (head[16], head[21]) != _FAT_DISK


def _is_fixed_vhd(data: _Data) -> bool:
    if data.size < _SECTOR:
        return False
    footer = data.piece(data.size - _SECTOR, _SECTOR)
    return footer.startswith(b"conectix") and footer[63] == _VHD_FIXED


def _inspect_qcow2(data: _Data) -> int:
    header = data.piece(0, _SECTOR)
    version, backing_file, size, features = struct.unpack_from(">4xIQ8xQ40xQ", header)
    if version not in _QCOW2_VERSIONS:
        raise FormatRefused(f"qcow2 of version {version} is not accepted.")
    if backing_file:
        raise FormatRefused("qcow2 with a backing file is not accepted.")
    if features & _QCOW2_DATA_FILE:
        raise FormatRefused("qcow2 with an external data file is not accepted.")
    if version > min(_QCOW2_VERSIONS) and features & ~_QCOW2_FEATURES:
        raise FormatRefused("qcow2 with such features is not accepted.")
    return int(size)


def _inspect_qed(_: _Data) -> int:
    raise FormatRefused("qed is not accepted.")


def _inspect_vhd(data: _Data) -> int:
    header = data.piece(0, _SECTOR)
    if not header.startswith(b"conectix"):
        header = data.piece(data.size - _SECTOR, _SECTOR)
    return int.from_bytes(header[40:48])


def _inspect_vhdx(data: _Data) -> int:
    """Follow the table of regions to that of metadata, and that one to the size."""
    table = data.piece(_VHDX_REGIONS, _VHDX_TABLE_BYTES)
    signature, count = struct.unpack_from("<4s4xI", table)
    start, _ = _vhdx_entry(table, 16, count, _VHDX_METADATA, "<QQ")
    if signature != b"regi" or start < _MEBIBYTE:
        raise _damaged("vhdx")
    table = data.piece(start, _VHDX_TABLE_BYTES)
    signature, count = struct.unpack_from("<8s2xH", table)
    item, length = _vhdx_entry(table, 32, count, _VHDX_SIZE, "<II")
    if (signature, length) != (b"metadata", _VHDX_SIZE_BYTES) or item < len(table):
        raise _damaged("vhdx")
    return int.from_bytes(data.piece(start + item, length), "little")


def _vhdx_entry(
    table: bytes, first: int, count: int, uuid: bytes, form: str
) -> tuple[int, int]:
    if count <= _VHDX_ENTRIES_MAX:
        for at in range(first, first + count * _VHDX_ENTRY_BYTES, _VHDX_ENTRY_BYTES):
            if table.startswith(uuid, at):
                one, two = struct.unpack_from(form, table, at + len(uuid))
                return one, two
    raise _damaged("vhdx")


class _VmdkHeader(NamedTuple):
    """What counts in the header of a vmdk; sizes and places are sectors."""

    magic: bytes
    version: int
    size: int
    descriptor: int
    descriptor_size: int
    grains: int

    @classmethod
    def of(cls, sector: bytes) -> Self:
        return cls(*struct.unpack_from("<4sI4xQ8xQQ12xQ", sector))


def _inspect_vmdk(data: _Data) -> int:
    if not data.head.startswith(b"KDMV"):
        raise FormatRefused("vmdk whose disk is in other files is not accepted.")
    header = _VmdkHeader.of(data.piece(0, _SECTOR))
    if header.version not in _VMDK_VERSIONS or header.descriptor != 1:
        raise _damaged("vmdk")
    size = min(header.descriptor_size * _SECTOR, DESCRIPTOR_BYTES_MAX)
    _check_descriptor(data.piece(_SECTOR, size))
    if header.grains == _VMDK_AT_END:
        _check_footer(header, data.piece(data.size - 3 * _SECTOR, 3 * _SECTOR))
    return header.size * _SECTOR


def _check_descriptor(descriptor: bytes) -> None:
    """
    Check that the disk is in this file alone, and that each line can be understood.
    """
    text = descriptor.partition(b"\0")[0].decode("latin-1").lower()
    kind, quote, _ = text.partition('createtype="')[2].partition('"')
    if not quote or kind not in _VMDK_TYPES:
        raise FormatRefused(
            "vmdk other than monolithicSparse and streamOptimized is not accepted."
        )
    extents = 0
    for line in map(str.strip, text.split("\n")):
        name, equals, _ = line.partition("=")
        if not line or line.startswith(("#", "ddb")) or (equals and " " not in name):
            continue
        if line.split(" ")[0] not in _VMDK_EXTENTS:
            raise _damaged("vmdk")
        if "/" in line:
            raise FormatRefused("vmdk whose disk is in other files is not accepted.")
        extents += 1
    if not extents or not text.isascii():
        raise _damaged("vmdk")


def _check_footer(header: _VmdkHeader, tail: bytes) -> None:
    """Check that the header at the end, which is the one that counts, is no other."""
    marker, again, end = (
        tail[at : at + _SECTOR] for at in range(0, len(tail), _SECTOR)
    )
    footer = _VmdkHeader.of(again)
    if (
        footer.grains == _VMDK_AT_END
        or footer != header._replace(grains=footer.grains)
        or marker[8:] != _VMDK_FOOTER
        or end != _VMDK_END
    ):
        raise _damaged("vmdk")


def _inspect_vdi(data: _Data) -> int:
    return int.from_bytes(data.piece(0, _SECTOR)[0x170:0x178], "little")


def _inspect_iso(data: _Data) -> int:
    header = data.piece(_ISO_HEADER, _ISO_HEADER_BYTES)
    if header[0] != _ISO_PRIMARY:
        return 0
    blocks, block_bytes = struct.unpack_from("<I44xH", header, 80)
    return int(blocks) * int(block_bytes)


def _inspect_gpt(data: _Data) -> int:
    """Check the partition table of a disk, be it an MBR or the one before a GPT."""
    kinds = []
    for at in _PARTITIONS:
        active, start, kind, first = struct.unpack_from("<B3sB3xI", data.head, at)
        if active & 0x7F or (kind == _GPT and (start, first) != _GPT_START):
            raise _damaged("partition table")
        kinds.append(kind)
    if not any(kinds) or (_GPT in kinds and any(kinds[1:])):
        raise _damaged("partition table")
    return 0


def _inspect_luks(data: _Data) -> int:
    version = int.from_bytes(data.piece(0, _LUKS_HEADER_BYTES)[6:8])
    if version != 1:
        raise FormatRefused(f"luks of version {version} is not accepted.")
    return 0


def _ploop_size(data: _Data) -> int:
    if data.head.startswith((_PLOOP, _PLOOP_OLD)):
        (sectors,) = struct.unpack_from("<Q", data.piece(0, 64), 36)
        if data.head.startswith(_PLOOP_OLD):
            sectors &= 2**32 - 1
        return int(sectors) * _SECTOR
    return 0


def _damaged(what: str) -> FormatRefused:
    return FormatRefused(f"The {what} is damaged, or of a kind that is not accepted.")


_INSPECT: Final = {
    "qcow2": _inspect_qcow2,
    "qed": _inspect_qed,
    "vhd": _inspect_vhd,
    "vhdx": _inspect_vhdx,
    "vmdk": _inspect_vmdk,
    "vdi": _inspect_vdi,
    "iso": _inspect_iso,
    "gpt": _inspect_gpt,
    "luks": _inspect_luks,
}
"""Checks data that is known by its marks; returns its disk's size, or 0."""
