"""
Digests that are put down and taken up are those of the whole stream.
"""

import base64
import hashlib
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib import digests
from chalicelib.digests import Digests, DigestsError
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


def reference(data: bytes) -> tuple[str, str, int]:
    """
    Give what `hashlib` says of the data, and its size.
    """
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return md5, hashlib.sha512(data).hexdigest(), len(data)


def told(some: Digests) -> tuple[str, str, int]:
    """
    Give all that digests tell.
    """
    return some.md5, some.sha512, some.size


def saved_with(data: bytes) -> str:
    """
    Write saved digests whose check is right, whatever they hold.
    """
    return base64.b64encode(data + zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.fixture
def unchecked() -> Iterator[None]:
    """
    A Python that was not checked yet; after the test, it is again.
    """
    digests._check_this_python.cache_clear()  # noqa: SLF001 - made once a process
    yield
    digests._check_this_python.cache_clear()  # noqa: SLF001 - as above


@settings(deadline=None)
@given(seed=st.binary(min_size=1, max_size=40), pieces=PIECES)
def test_any_split_gives_the_digests_of_the_whole(
    seed: bytes, pieces: list[tuple[int, bool]]
) -> None:
    """
    Put down after any piece or none; what was put down earlier does not change.
    """
    whole = b""
    running = Digests()
    for length, put_down in pieces:
        piece = (seed * length)[:length]
        whole += piece
        running.update(piece)
        if put_down:
            text = running.put_down()
            again = Digests.take_up(text)

            assert again.put_down() == text
            assert told(again) == told(running)
            running = again

    assert told(running) == reference(whole)


@given(data=st.binary(max_size=600), kind=st.sampled_from([bytearray, memoryview]))
def test_any_buffer_is_hashed(data: bytes, kind: Any) -> None:
    """
    What `read` and `readinto` give, without a copy.
    """
    some = Digests()
    some.update(kind(data))

    assert told(some) == reference(data)


def test_digests_go_on_in_another_process() -> None:
    """
    The text is all that the other process needs.
    """
    here = Digests()
    here.update(TWO_BLOCKS_AND_A_BIT)
    code = (
        "import sys; from chalicelib.digests import Digests;"
        "there = Digests.take_up(sys.argv[1]); there.update(b' more');"
        "print(there.put_down())"
    )

    there = subprocess.run(
        [sys.executable, "-c", code, here.put_down()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    back = Digests.take_up(there.stdout.strip())
    assert told(back) == reference(TWO_BLOCKS_AND_A_BIT + b" more")


def test_the_text_is_small_and_says_nothing_else() -> None:
    """
    The same stream gives the same text, however it was cut; 296 characters at most.
    """
    stream = bytes(range(127))
    at_once, by_bytes = Digests(), Digests()
    at_once.update(stream)
    for byte in stream:
        by_bytes.update(bytes([byte]))

    text = at_once.put_down()

    assert text == by_bytes.put_down()
    assert len(text) == 296
    assert text.isascii()


def test_the_text_of_nothing_is_as_ever() -> None:
    """
    What a version of the service put down, the next one takes up.
    """
    assert Digests().put_down() == (
        "AQAAAAAAAAAAZ0UjAe/Nq4mYutz+EDJUdmoJ5mfzvMkIu2euhYTKpzs8bvNy/pT4K6VP9TpfHTbx"
        "UQ5Sf63mgtGbBWiMKz5sHx+D2av7Qb1rW+DNGRN+IXmUt//B"
    )


def test_more_than_32_bits_count() -> None:
    """
    A size whose bits need more than 32 of them, as SHA-512 counts in two words.

    No machine hashes that much in a test: the state is that of a shorter stream, with
    another size; both hashes must put it down as they took it up.
    """
    size = 10 * 2**40
    text = saved_with(bytes([1]) + size.to_bytes(8, "big") + bytes(16 + 64))

    some = Digests.take_up(text)
    some.update(b"x" * 200)

    assert some.size == size + 200
    assert Digests.take_up(some.put_down()).sha512 == some.sha512


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
def test_a_text_that_was_never_put_down_is_refused(text: str, words: str) -> None:
    """
    Too short, of another version, with more or less in its end than its size says.
    """
    with pytest.raises(DigestsError) as refused:
        Digests.take_up(text)

    assert str(refused.value) == words


@given(position=st.integers(0, 255), other=st.integers(1, 255))
def test_a_damaged_text_is_refused(position: int, other: int) -> None:
    """
    Whichever byte of it changed.
    """
    some = Digests()
    some.update(TWO_BLOCKS_AND_A_BIT)
    data = bytearray(base64.b64decode(some.put_down()))
    data[position % len(data)] ^= other

    with pytest.raises(DigestsError):
        Digests.take_up(base64.b64encode(data).decode())


class Larger:
    """
    A hash that keeps more than CPython 3.11's.
    """

    __slots__ = ("first", "second")


@pytest.mark.usefixtures("unchecked")
def test_another_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Before any of its memory is looked at.
    """
    monkeypatch.setattr(sys.implementation, "name", "pypy")

    with pytest.raises(DigestsError, match=r"CPython 3\.11 alone, not by pypy 3\.11"):
        Digests()
    with pytest.raises(DigestsError, match=r"CPython 3\.11 alone, not by pypy 3\.11"):
        Digests.take_up("")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("module", ["_md5", "_sha512"])
def test_a_hash_of_another_size_is_refused(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """
    As those of CPython 3.12 are, which keep a pointer.
    """
    monkeypatch.setattr(f"{module}.{module.strip('_')}", Larger)

    with pytest.raises(DigestsError, match=r"CPython 3\.11 alone"):
        Digests()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("state", ["_Md5State", "_Sha512State"])
def test_a_hash_of_another_order_is_refused(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """
    Of the size that is expected, with other things where they are not.
    """
    known = getattr(digests, state)
    first, *others = known._fields_
    turned = type(state, (known.__base__,), {"_fields_": [*others, first]})
    monkeypatch.setattr(digests, state, turned)

    with pytest.raises(DigestsError, match=r"CPython 3\.11 alone"):
        Digests()


@pytest.mark.usefixtures("unchecked")
def test_a_hash_that_goes_on_wrongly_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A right look is not enough: what is taken up is compared to `hashlib`.
    """
    take_up = digests._read  # noqa: SLF001 - stands for a hash that is kept otherwise

    def forget(text: str) -> Any:
        hashes, size = take_up(text)
        hashes.sha512_state.words[7] ^= 1
        return hashes, size

    monkeypatch.setattr(digests, "_read", forget)

    with pytest.raises(DigestsError, match=r"CPython 3\.11 alone"):
        Digests()


def test_hashes_that_disagree_are_not_put_down() -> None:
    """
    One of them was given what the other was not.
    """
    some = Digests()
    some.update(TWO_BLOCKS_AND_A_BIT)
    some._hashes.md5.update(b"more")  # noqa: SLF001 - stands for a fault of memory

    with pytest.raises(DigestsError, match="do not agree"):
        some.put_down()
