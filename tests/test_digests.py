"""Digests that are saved and restored are those of the whole stream."""

import _hashlib
import base64
import ctypes
import hashlib
import subprocess
import sys
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.background import digests
from chalicelib.background.digests import Digests, DigestsError
from tests.readme import ROOT

# Sizes around the blocks of both hashes matter; what the bytes are does not.
PIECES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.sampled_from([63, 64, 65, 127, 128, 129])),
        st.booleans(),
    ),
    max_size=12,
)
TWO_BLOCKS_AND_A_BIT = bytes(range(256)) + b"a bit"

# What the service saved when it hashed by CPython 3.11's own modules: the text after so
# many bytes of STREAM.
STREAM = bytes(range(256)) * 4
SAVED = {
    0: (
        "AQAAAAAAAAAAZ0UjAe/Nq4mYutz+EDJUdmoJ5mfzvMkIu2euhYTKpzs8bvNy/pT4K6VP9TpfHTbxU"
        "Q5Sf63mgtGbBWiMKz5sHx+D2av7Qb1rW+DNGRN+IXmUt//B"
    ),
    1: (
        "AQAAAAAAAAABZ0UjAe/Nq4mYutz+EDJUdmoJ5mfzvMkIu2euhYTKpzs8bvNy/pT4K6VP9TpfHTbxU"
        "Q5Sf63mgtGbBWiMKz5sHx+D2av7Qb1rW+DNGRN+IXkA95RLEQ=="
    ),
    64: (
        "AQAAAAAAAABAkUTZytkB5Mly/Fs4Yl/1HmoJ5mfzvMkIu2euhYTKpzs8bvNy/pT4K6VP9TpfHTbxU"
        "Q5Sf63mgtGbBWiMKz5sHx+D2av7Qb1rW+DNGRN+IXkAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGR"
        "obHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/+dA94Q=="
    ),
    127: (
        "AQAAAAAAAAB/kUTZytkB5Mly/Fs4Yl/1HmoJ5mfzvMkIu2euhYTKpzs8bvNy/pT4K6VP9TpfHTbxU"
        "Q5Sf63mgtGbBWiMKz5sHx+D2av7Qb1rW+DNGRN+IXkAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGR"
        "obHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT1BRUlN"
        "UVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+WSwptw=="
    ),
    129: (
        "AQAAAAAAAACBuF5P1LA8z0L8jZAtDhuWKI4DlTzVfNaHkyEnCvpwxYJ7tbab5ZqPATAUfpTyrt973"
        "AHFbJI0PKi9g3u38CCPWiPhVWlFFrbxRwmdSRowsVGAFMl/XA=="
    ),
    1000: (
        "AQAAAAAAAAPolKnpadpqW0mLJLPBr4sG8C/vPf8dsGTOqovjkr4zSzAXhVAP+Mseus2Bi8npFbkF/"
        "flW3QgE+t/sfwgHUBkv8dTNttvp2yIZkqnL2w/dd3qAgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZ"
        "qbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tP"
        "U1dbX2Nna29zd3t/g4eLj5OXm5/1Y3ik="
    ),
}


def reference(data: bytes) -> tuple[str, str, int]:
    """Return what `hashlib` says of the data, and its size."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return md5, hashlib.sha512(data).hexdigest(), len(data)


def results(digests: Digests) -> tuple[str, str, int]:
    """Return all that digests tell."""
    return digests.md5, digests.sha512, digests.size


def saved_with(data: bytes) -> str:
    """Write saved digests whose check is right, whatever they hold."""
    return base64.b64encode(data + zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.fixture
def unloaded() -> Iterator[None]:
    """A process that has not loaded libcrypto yet; after the test, it will again."""
    digests._load_libcrypto.cache_clear()  # noqa: SLF001 - loaded once a process
    yield
    digests._load_libcrypto.cache_clear()  # noqa: SLF001 - as above


@settings(deadline=None)
@given(seed=st.binary(min_size=1, max_size=40), pieces=PIECES)
def test_any_split_gives_the_digests_of_the_whole(
    seed: bytes, pieces: list[tuple[int, bool]]
) -> None:
    """Saved after any piece or none; what was saved earlier does not change."""
    whole = b""
    running = Digests()
    for length, is_saved in pieces:
        piece = (seed * length)[:length]
        whole += piece
        running.update(piece)
        if is_saved:
            text = running.save()
            again = Digests.restore(text)

            assert again.save() == text
            assert results(again) == results(running)
            running = again

    assert results(running) == reference(whole)


def test_digests_go_on_in_another_process() -> None:
    """The text is all that the other process needs."""
    here = Digests()
    here.update(TWO_BLOCKS_AND_A_BIT)
    code = (
        "import sys; from chalicelib.background.digests import Digests;"
        "there = Digests.restore(sys.argv[1]); there.update(b' more');"
        "print(there.save())"
    )

    there = subprocess.run(
        [sys.executable, "-c", code, here.save()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    back = Digests.restore(there.stdout.strip())
    assert results(back) == reference(TWO_BLOCKS_AND_A_BIT + b" more")


def test_the_text_is_small_and_says_nothing_else() -> None:
    """
    The same stream gives the same text, however it was cut; 296 characters at most.
    """
    stream = bytes(range(127))
    at_once, by_bytes = Digests(), Digests()
    at_once.update(stream)
    for byte in stream:
        by_bytes.update(bytes([byte]))

    text = at_once.save()

    assert text == by_bytes.save()
    assert len(text) == 296
    assert text.isascii()


@pytest.mark.parametrize(("size", "text"), SAVED.items(), ids=SAVED)
def test_what_earlier_versions_saved_is_continued(size: int, text: str) -> None:
    """The text is the same as ever, and an upload that was under way goes on."""
    current = Digests()
    current.update(STREAM[:size])
    continued = Digests.restore(text)
    continued.update(STREAM[size:])

    assert current.save() == text
    assert results(continued) == reference(STREAM)


def test_a_long_stream_of_an_earlier_version_is_continued() -> None:
    """
    700 MiB of zeros and "abc", whose bits do not fit into 32 bits, and then " more".
    """
    text = (
        "AQAAAAArwAADuc6GG5qNg8nFUW3azFvxIL7fEg8K9SAXUEq1792GtJD7kA6DUhtL4EgwnXvfUZKVE"
        "Y5jdvPxvUXGyqO8J0GCY2NDY9nhJGC56GK7BQoXbgFhYmOHXJDM"
    )

    current = Digests.restore(text)
    current.update(b" more")

    assert results(current) == (
        "12fd6f8d35e6f2eb316a26ce0eb6bd87",
        (
            "fc39bd2afc91cdc08fd17012bd83514d4fe475dbbe1727c0ad98e22fd7ce4016"
            "51b4c2a6a5276cfe9a6e5cae552c7875eeac85f81f7d6c37a8878d191979c0d5"
        ),
        700 * 2**20 + 8,
    )


def test_more_than_32_bits_count() -> None:
    """A size whose bits need more than 32 of them, as MD5 counts in two words.

    No machine hashes that much in a test: the state is that of a shorter stream, with
    another size; both hashes must put it down as they took it up.
    """
    size = 10 * 2**40
    text = saved_with(bytes([1]) + size.to_bytes(8, "big") + bytes(16 + 64))

    current = Digests.restore(text)
    current.update(b"x" * 200)

    assert current.size == size + 200
    assert Digests.restore(current.save()).sha512 == current.sha512


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The saved digests are damaged."),
        ("not base64!", "The saved digests are not base64."),
        ("\N{BULLET}", "The saved digests are not base64."),
        ("AAAA", "The saved digests are damaged."),
        (saved_with(b"\x01" + bytes(87)), "The saved digests are damaged."),
        (saved_with(b"\x02" + bytes(88)), "The saved digests are of another kind."),
        (saved_with(b"\x01" + bytes(89)), "The saved digests are of another kind."),
        (
            saved_with(b"\x01" + bytes(7) + b"\x01" + bytes(80)),
            "The saved digests are of another kind.",
        ),
    ],
    ids=range(8),
)
def test_a_text_that_was_never_saved_is_refused(text: str, words: str) -> None:
    """
    Too short, of another version, with more or less in its end than its size says.
    """
    with pytest.raises(DigestsError) as refused:
        Digests.restore(text)

    assert str(refused.value) == words


@given(position=st.integers(0, 255), other=st.integers(1, 255))
def test_a_damaged_text_is_refused(position: int, other: int) -> None:
    """Whichever byte of it changed."""
    current = Digests()
    current.update(TWO_BLOCKS_AND_A_BIT)
    data = bytearray(base64.b64decode(current.save()))
    data[position % len(data)] ^= other

    with pytest.raises(DigestsError):
        Digests.restore(base64.b64encode(data).decode())


@pytest.mark.usefixtures("unloaded")
def test_a_python_without_files_of_its_own_uses_the_libcrypto_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where `_hashlib` is part of Python's own file, and so is a hidden libcrypto."""
    file, load, names = _hashlib.__file__, ctypes.CDLL, []

    def load_system(name: str | None) -> ctypes.CDLL:
        names.append(name)
        if name is None:
            raise AttributeError("MD5_Init")
        return load(file)

    monkeypatch.delattr(_hashlib, "__file__")
    monkeypatch.setattr(ctypes, "CDLL", load_system)
    current = Digests()
    current.update(STREAM)

    assert results(current) == reference(STREAM)
    assert names == [None, "libcrypto.so.3"]


@pytest.mark.usefixtures("unloaded")
def test_a_python_without_libcrypto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the file of `_hashlib` nor the system's can be loaded."""

    def refuse(name: str | None) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)

    with pytest.raises(DigestsError, match="No libcrypto of OpenSSL"):
        Digests()


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("kind", ["_Md5", "_Sha512"])
def test_a_libcrypto_with_other_structs_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each is tried before use: what is continued is compared with `hashlib`."""
    known = getattr(digests, kind)
    first, *others = known._fields_
    same = {name: vars(known)[name] for name in ("name", "digest_size", "word_bits")}
    fields = {"_fields_": [*others, first]}
    monkeypatch.setattr(digests, kind, type(kind, (known.__base__,), same | fields))

    with pytest.raises(DigestsError, match="No libcrypto of OpenSSL"):
        Digests()


def test_hashes_that_disagree_are_not_saved() -> None:
    """One of them was given what the other was not."""
    current = Digests()
    current.update(TWO_BLOCKS_AND_A_BIT)
    current._md5.update(b"more")  # noqa: SLF001 - stands for a fault of memory

    with pytest.raises(DigestsError, match="do not agree"):
        current.save()
