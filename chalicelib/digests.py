"""
MD5 and SHA-512 of a long stream, put down as text and taken up in another process.

OpenSSL's hashes, which `hashlib` prefers, cannot be saved. CPython's own can: the
memory of `_md5.md5` and `_sha512.sha512` is a plain struct without pointers
(`Modules/md5module.c`, `Modules/sha512module.c` of CPython 3.11). Only the state that
the algorithms define is saved (RFC 1321, 3.3; FIPS 180-4, 6.4), never memory as it is:
the text is the same on each machine, and holds nothing else of the process.
"""

import _md5  # type: ignore[import-not-found] # CPython's own have no stubs
import _sha512  # type: ignore[import-not-found] # as above
import base64
import ctypes
import hashlib
import struct
import sys
import zlib
from functools import cache
from typing import Any, ClassVar, Self

_VERSION = 1
_HEADER = struct.Struct(">BQ16s64s")  # The version, the size, the words of both.
_CHECK = struct.Struct(">I")
_MD5_BLOCK = 64
_SHA512_BLOCK = 128


class DigestsError(Exception):
    """
    The digests cannot be put down or taken up: a wrong hash would come of it.
    """


class _Md5State(ctypes.Structure):
    _fields_: ClassVar = [
        ("bits", ctypes.c_uint64),  # Of whole blocks.
        ("words", ctypes.c_uint32 * 4),
        ("waiting", ctypes.c_uint32),
        ("block", ctypes.c_ubyte * _MD5_BLOCK),
    ]


class _Sha512State(ctypes.Structure):
    _fields_: ClassVar = [
        ("words", ctypes.c_uint64 * 8),
        ("bits_low", ctypes.c_uint32),  # Of all that came.
        ("bits_high", ctypes.c_uint32),
        ("block", ctypes.c_ubyte * _SHA512_BLOCK),
        ("waiting", ctypes.c_int),
        ("digest_size", ctypes.c_int),
    ]


class _Hashes:
    """
    One hash of each kind, and the states that they keep in their own memory.
    """

    def __init__(self) -> None:
        self.md5: Any = _md5.md5(usedforsecurity=False)
        self.sha512: Any = _sha512.sha512()
        after_head = object.__basicsize__
        self.md5_state = _Md5State.from_address(id(self.md5) + after_head)
        self.sha512_state = _Sha512State.from_address(id(self.sha512) + after_head)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        self.md5.update(data)
        self.sha512.update(data)

    def hexdigests(self) -> tuple[str, str]:
        return self.md5.hexdigest(), self.sha512.hexdigest()

    def sizes(self) -> tuple[int, int]:
        """
        Give how many bytes each hash says that it was given.
        """
        md5, sha512 = self.md5_state, self.sha512_state
        bits = sha512.bits_high << 32 | sha512.bits_low
        return md5.bits // 8 + md5.waiting, bits // 8

    def tails(self) -> tuple[bytes, bytes]:
        """
        Give the bytes that wait in each hash for their block to be whole.
        """
        md5, sha512 = self.md5_state, self.sha512_state
        return bytes(md5.block)[: md5.waiting], bytes(sha512.block)[: sha512.waiting]


class Digests:
    """
    MD5 and SHA-512 of what came so far.

    Raises:
        DigestsError: This Python does not keep its hashes as CPython 3.11 does.
    """

    def __init__(self) -> None:
        _check_this_python()
        self._hashes = _Hashes()
        self.size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """
        Hash what comes next: less than 4 GiB at a time.
        """
        self._hashes.update(data)
        self.size += memoryview(data).nbytes

    @property
    def md5(self) -> str:
        """
        MD5 in hexadecimal digits.
        """
        return self._hashes.hexdigests()[0]

    @property
    def sha512(self) -> str:
        """
        SHA-512 in hexadecimal digits.
        """
        return self._hashes.hexdigests()[1]

    def put_down(self) -> str:
        """
        Give the state as text: at most 296 characters of base64.

        Raises:
            DigestsError: The two hashes do not agree on what came.
        """
        return _write(self._hashes, self.size)

    @classmethod
    def take_up(cls, text: str) -> Self:
        """
        Go on where `put_down` gave the text.

        Raises:
            DigestsError: It never did, or this Python keeps its hashes otherwise.
        """
        digests = cls()
        digests._hashes, digests.size = _read(text)
        return digests


def _write(hashes: _Hashes, size: int) -> str:
    md5_tail, tail = hashes.tails()
    agree = hashes.sizes() == (size, size) and tail.endswith(md5_tail)
    if not agree or len(tail) != size % _SHA512_BLOCK:
        raise DigestsError("The hashes do not agree on what came.")
    md5_words = struct.pack(">4I", *hashes.md5_state.words)
    sha512_words = struct.pack(">8Q", *hashes.sha512_state.words)
    saved = _HEADER.pack(_VERSION, size, md5_words, sha512_words) + tail
    return base64.b64encode(saved + _CHECK.pack(zlib.crc32(saved))).decode("ascii")


def _read(text: str) -> tuple[_Hashes, int]:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise DigestsError("The saved digests are not base64.") from exc
    saved, check = data[: -_CHECK.size], data[-_CHECK.size :]
    if len(saved) < _HEADER.size or check != _CHECK.pack(zlib.crc32(saved)):
        raise DigestsError("The saved digests are damaged.")
    version, size, md5_words, sha512_words = _HEADER.unpack_from(saved)
    tail = saved[_HEADER.size :]
    if version != _VERSION or len(tail) != size % _SHA512_BLOCK:
        raise DigestsError("The saved digests are of another kind.")
    hashes = _Hashes()
    hashes.md5_state.words[:] = struct.unpack(">4I", md5_words)
    hashes.md5_state.bits = 8 * (size - size % _MD5_BLOCK)
    hashes.md5.update(tail[len(tail) - size % _MD5_BLOCK :])
    hashes.sha512_state.words[:] = struct.unpack(">8Q", sha512_words)
    high, low = divmod(8 * (size - len(tail)), 2**32)
    hashes.sha512_state.bits_high, hashes.sha512_state.bits_low = high, low
    hashes.sha512.update(tail)
    return hashes, size


@cache
def _check_this_python() -> None:
    """
    Compare the memory to what is expected, before any is written; then the hashes.
    """
    if not (_keeps_hashes_as_expected() and _goes_on_rightly()):
        raise DigestsError(
            "Digests are put down and taken up by CPython 3.11 alone, not by"
            f" {sys.implementation.name} {sys.version.split()[0]}."
        )


def _keeps_hashes_as_expected() -> bool:
    if sys.implementation.name != "cpython":
        return False
    for some, state in ((_md5.md5(), _Md5State), (_sha512.sha512(), _Sha512State)):
        size = object.__basicsize__ + ctypes.sizeof(state)
        if {type(some).__basicsize__, some.__sizeof__()} != {size}:
            return False
    hashes = _Hashes()
    md5, sha512 = hashes.md5_state, hashes.sha512_state
    # Where both algorithms start (RFC 1321, 3.3; FIPS 180-4, 5.3.5).
    starts = (md5.words[0], sha512.words[0]) == (0x67452301, 0x6A09E667F3BCC908)
    data = bytes(range(_SHA512_BLOCK + 3))
    hashes.update(data)
    return (
        starts
        and hashes.sizes() == (len(data), len(data))
        and hashes.tails() == (data[-3:], data[-3:])
        and sha512.digest_size == hashlib.sha512().digest_size
    )


def _goes_on_rightly() -> bool:
    data = bytes(range(256)) * 3
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    wanted = md5, hashlib.sha512(data).hexdigest()
    for cut in (0, 1, 64, 127, 128, 333):
        hashes = _Hashes()
        hashes.update(data[:cut])
        again, _ = _read(_write(hashes, cut))
        again.update(data[cut:])
        hashes.update(data[cut:])
        if {hashes.hexdigests(), again.hexdigests()} != {wanted}:
            return False
    return True
