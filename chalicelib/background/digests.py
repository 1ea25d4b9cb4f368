"""MD5 and SHA-512 of a long stream, saved as text and continued in another process.

The hashes of `hashlib` cannot be saved. Those of libcrypto's MD5_* and SHA512_* can:
openssl/md5.h and openssl/sha.h publish their structs. Only the state that the
algorithms define is saved (RFC 1321, 3.3; FIPS 180-4, 6.4), never memory as it is: the
text is the same on each machine, and holds nothing else of the process.
"""

import _hashlib
import base64
import ctypes
import hashlib
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Self

_VERSION = 1
_HEADER = struct.Struct(">BQ4I8Q")  # The version, the size, the words of both.
_CHECK = struct.Struct(">I")
_MD5_BLOCK = 64
_SHA512_BLOCK = 128


class DigestsError(Exception):
    """Digests cannot be computed, saved or restored without a wrong hash."""


class _Hash(ctypes.Structure):
    """A hash in the memory of libcrypto's functions."""

    name: ClassVar[str]
    digest_size: ClassVar[int]
    word_bits: ClassVar[int]

    def __init__(self, libcrypto: ctypes.CDLL) -> None:
        super().__init__()
        self._libcrypto = libcrypto
        self._call("Init", ctypes.byref(self))

    def update(self, data: bytes) -> None:
        self._call("Update", ctypes.byref(self), data, ctypes.c_size_t(len(data)))

    def hexdigest(self) -> str:
        # `Final` ends the hash that it is called on: here a copy.
        copy = type(self).from_buffer_copy(self)
        digest = ctypes.create_string_buffer(self.digest_size)
        self._call("Final", digest, ctypes.byref(copy))
        return digest.raw.hex()

    def state(self) -> tuple[list[int], int, bytes]:
        """Return the words, the size in bytes, and the bytes of an incomplete block."""
        bits = self.bits_high << self.word_bits | self.bits_low
        return list(self.words), bits // 8, bytes(self.block)[: self.waiting]

    def continue_from(self, words: Sequence[int], size: int, tail: bytes) -> None:
        """Set a new hash to a `state`."""
        self.words[:] = words
        bits = 8 * (size - len(tail))
        self.bits_high, self.bits_low = divmod(bits, 2**self.word_bits)
        self.update(tail)

    def _call(self, function: str, *arguments: Any) -> None:  # noqa: ANN401 - C's types
        getattr(self._libcrypto, f"{self.name}_{function}")(*arguments)


class _Md5(_Hash):
    """`MD5_CTX`."""

    name, digest_size, word_bits = "MD5", 16, 32
    _fields_: ClassVar = [
        ("words", ctypes.c_uint * 4),
        ("bits_low", ctypes.c_uint),
        ("bits_high", ctypes.c_uint),
        ("block", ctypes.c_ubyte * _MD5_BLOCK),
        ("waiting", ctypes.c_uint),
    ]


class _Sha512(_Hash):
    """`SHA512_CTX`."""

    name, digest_size, word_bits = "SHA512", 64, 64
    _fields_: ClassVar = [
        ("words", ctypes.c_ulonglong * 8),
        ("bits_low", ctypes.c_ulonglong),
        ("bits_high", ctypes.c_ulonglong),
        ("block", ctypes.c_ubyte * _SHA512_BLOCK),
        ("waiting", ctypes.c_uint),
        ("digest_length", ctypes.c_uint),
    ]


class Digests:
    """MD5 and SHA-512 of what came so far.

    Raises:
        DigestsError: This Python has no libcrypto whose hashes can be continued.
    """

    def __init__(self) -> None:
        libcrypto = _load_libcrypto()
        self._md5, self._sha512 = _Md5(libcrypto), _Sha512(libcrypto)
        self.size = 0

    def update(self, data: bytes) -> None:
        """Hash the bytes that come next."""
        self._md5.update(data)
        self._sha512.update(data)
        self.size += len(data)

    @property
    def md5(self) -> str:
        """MD5 in hexadecimal digits."""
        return self._md5.hexdigest()

    @property
    def sha512(self) -> str:
        """SHA-512 in hexadecimal digits."""
        return self._sha512.hexdigest()

    def save(self) -> str:
        """Return the state as text: at most 296 characters of base64.

        Raises:
            DigestsError: The two hashes do not agree on what came.
        """
        md5_words, md5_size, md5_tail = self._md5.state()
        words, size, tail = self._sha512.state()
        if not md5_size == size == self.size or md5_tail != _md5_tail(tail, size):
            raise DigestsError("The hashes do not agree on what came.")
        saved = _HEADER.pack(_VERSION, size, *md5_words, *words) + tail
        return base64.b64encode(saved + _CHECK.pack(zlib.crc32(saved))).decode("ascii")

    @classmethod
    def restore(cls, text: str) -> Self:
        """Continue where `save` returned the text.

        Raises:
            DigestsError: `save` never returned it, or libcrypto is missing.
        """
        saved = _checked(text)
        version, size, *words = _HEADER.unpack_from(saved)
        tail = saved[_HEADER.size :]
        if version != _VERSION or len(tail) != size % _SHA512_BLOCK:
            raise DigestsError("The saved digests are of another kind.")
        digests = cls()
        digests._md5.continue_from(words[:4], size, _md5_tail(tail, size))
        digests._sha512.continue_from(words[4:], size, tail)
        digests.size = size
        return digests


def _md5_tail(tail: bytes, size: int) -> bytes:
    """Return the incomplete block of MD5: the end of that of SHA-512."""
    return tail[len(tail) - size % _MD5_BLOCK :]


def _checked(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise DigestsError("The saved digests are not base64.") from exc
    saved, check = data[: -_CHECK.size], data[-_CHECK.size :]
    if len(saved) < _HEADER.size or check != _CHECK.pack(zlib.crc32(saved)):
        raise DigestsError("The saved digests are damaged.")
    return saved


@cache
def _load_libcrypto() -> ctypes.CDLL:
    """Return the libcrypto of `hashlib`, or the system's if Python has its own inside.

    The loader looks for a symbol in what a file is linked with, too, and `_hashlib` is
    linked with libcrypto.
    """
    for name in (getattr(_hashlib, "__file__", None), "libcrypto.so.3"):
        try:
            libcrypto = ctypes.CDLL(name)
            if _is_as_published(libcrypto):
                return libcrypto
        except (OSError, AttributeError):
            continue
    raise DigestsError("No libcrypto of OpenSSL was found whose hashes can be saved.")


def _is_as_published(libcrypto: ctypes.CDLL) -> bool:
    """Compare hashes that were continued with those of `hashlib`."""
    data = bytes(range(256)) * 3
    for kind in (_Md5, _Sha512):
        expected = hashlib.new(kind.name, data, usedforsecurity=False).hexdigest()
        for cut in (0, 1, 64, 127, 128, 333):
            first, second = kind(libcrypto), kind(libcrypto)
            first.update(data[:cut])
            words, size, tail = first.state()
            second.continue_from(words, size, tail)
            second.update(data[cut:])
            if (size, second.hexdigest()) != (cut, expected):
                return False
    return True
