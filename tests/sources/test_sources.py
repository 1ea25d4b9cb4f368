"""Sources: what is asked, where that leads, and what of the response is believed."""

import gzip
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.background.addresses import SourceBroken
from chalicelib.background.sources import open_source
from chalicelib.domain.import_uris import SourceRefused
from tests.sources.servers import (
    DATA,
    NOBODY,
    PUBLIC,
    Names,
    Server,
    chunked,
    internet,
    read_all,
    redirect,
    refusal,
    response,
)

# What is sent.


def test_the_request_says_no_more_than_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No fragment, cookie or credentials; no proxy of the environment is asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:1")
    with Server(response(Set_Cookie="a=b")) as server:
        data = read_all(
            open_source(server.uri("?a=%20b&c#fragment"), server.allowed),
        )

    assert data == DATA
    assert "".join(server.requests) == (
        "GET /?a=%20b&c HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        "User-Agent: cloud-images\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: identity\r\n"
        "Connection: close\r\n"
        "\r\n"
    )


def test_ipv6_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the header `Host`, too."""
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC]))
    with Server(response()) as server, internet(monkeypatch, server):
        read_all(open_source("http://[2606:4700:0::1111]:443/", NOBODY))

    assert "Host: [2606:4700::1111]:443\r\n" in server.requests[0]


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/there?a#b", "/there?a"),
        ("there", "/images/there"),
        ("../there", "/there"),
        ("?b", "/images/one?b"),
        ("//{host}/there", "/there"),
        ("HTTP://{host}/there", "/there"),
        ("/a b\xfc", "/a%20b%C3%BC"),
    ],
)
def test_a_redirect_is_followed(status: int, location: str, asked: str) -> None:
    """Relative or not, always by GET; cookies are not kept."""

    def move(client: socket.socket) -> None:
        to = location.replace("{host}", f"127.0.0.1:{server.port}")
        client.sendall(
            response(b"x", f"{status} Moved", Location=to, Set_Cookie="a=b"),
        )

    with Server(move, response()) as server:
        source = open_source(server.uri("/images/one"), server.allowed)
        assert read_all(source) == DATA

    assert server.requests[1].startswith(f"GET {asked} HTTP/1.1\r\n")
    assert "Cookie" not in server.requests[1]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://localhost./",
        "//127.0.0.2/",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(location: str) -> None:
    """Though the host that redirects is allowed."""
    with Server(redirect(location)) as server:
        words = refusal(server.uri(), server.allowed)

    assert "does not resolve to a public address" in words


@pytest.mark.parametrize(
    "location",
    [
        "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "ftp://a.example/",
        "file:///etc/passwd", "http://user@a.example/", "http://[::1", "http://:80/",
        "http://a.example/" + "a" * 5000, "data:,x", "\\\\a.example\\x",
    ],
)  # fmt: skip
def test_a_redirect_to_no_uri_of_ours_is_refused(location: str) -> None:
    """It is held to the same form as what the owner gave."""
    with Server(redirect(location)) as server:
        assert refusal(server.uri(), server.allowed) == (
            "The source redirects to an invalid URI."
        )


def test_a_redirect_to_nowhere_is_refused() -> None:
    """It has no `Location`."""
    with Server(response(b"", "302 Found")) as server:
        assert refusal(server.uri(), server.allowed) == (
            "The source sends a redirect without a Location header."
        )


def test_ten_redirects_are_followed_and_no_more() -> None:
    """A loop ends."""
    with Server(*[redirect("/")] * 10, response()) as server:
        assert read_all(server.open()) == DATA
    with Server(*[redirect("/")] * 12) as server:
        words = refusal(server.uri(), server.allowed)

    assert words == "The source redirects more than 10 times."
    assert len(server.requests) == 11


@pytest.mark.parametrize("status", ["300 Choices", "304 Not Modified", "305 Proxy"])
def test_what_is_no_redirect_is_not_followed(status: str) -> None:
    """Though it has a `Location`."""
    with Server(redirect("/", status), response()) as server:
        assert refusal(server.uri(), server.allowed) == (
            f"The source responds with status {status[:3]}."
        )


# What is answered.


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_that_may_heal_is_told_apart(status: int) -> None:
    """The next try may find the source well."""
    with Server(response(status=f"{status} Later"), response()) as server:
        with pytest.raises(SourceBroken) as broken:
            server.open()
        again = read_all(server.open())

    assert str(broken.value) == f"The source responds with status {status}."
    assert again == DATA


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 403, 404, 410, 416, 451])
def test_another_status_is_final(status: int) -> None:
    """A part that was not asked for, too."""
    with Server(response(status=f"{status} No")) as server:
        words = refusal(server.uri("/image?signature=s3cr3t"), server.allowed)

    assert words == f"The source responds with status {status}."


@pytest.mark.parametrize("n", [1, 255, 256, 767, 768, 769, 5000])
def test_a_source_is_read_to_its_end(n: int) -> None:
    """Each piece has just the size that was asked for, but for the last one."""
    with Server(response(), chunked(DATA[:300], DATA[300:301], DATA[301:])) as server:
        plain, in_chunks = server.open(), server.open()

        assert (plain.length, in_chunks.length) == (len(DATA), None)
        assert (plain.resumes, in_chunks.resumes) == (False, False)
        assert read_all(plain, n) == read_all(in_chunks, n) == DATA


def test_an_empty_source_is_whole() -> None:
    """With a length of 0, or with no chunk."""
    with Server(response(b""), chunked()) as server:
        assert read_all(server.open()) == b""
        assert read_all(server.open()) == b""


@settings(max_examples=30, deadline=None)
@given(
    data=st.binary(max_size=400),
    cuts=st.lists(st.integers(1, 60)),
    n=st.integers(1, 90),
)
def test_chunks_of_any_size_are_the_source(
    data: bytes, cuts: list[int], n: int
) -> None:
    """However they are cut, with extensions and trailers."""
    chunks = []
    left = data
    for cut in cuts:
        chunks.append(left[:cut])
        left = left[cut:]
    whole = [chunk for chunk in (*chunks, left) if chunk]
    end = b"000;last=1\r\nTrailer: 1\r\nOther: 2\r\n\r\n"
    with Server(chunked(*whole, end=end)) as server:
        assert read_all(server.open(), n) == data


@pytest.mark.parametrize("n", [1, 100, 5000])
@pytest.mark.parametrize(
    "cut",
    [
        response(DATA[:-1], length=len(DATA)),
        response(b"", length=1),
        chunked(DATA, end=b""),
        chunked(DATA, end=b"0\r\n"),
        chunked(DATA, end=b"0\r\nTrailer: 1"),
        chunked(DATA, end=b"0"),
        chunked(DATA, end=b"5\r\nabc"),
        chunked(DATA, end=b"5\r\nabcde"),
        chunked(end=b""),
    ],
    ids=range(9),
)
def test_a_cut_body_is_never_whole(cut: bytes, n: int) -> None:
    """Fewer bytes than announced, or chunks without their end."""
    with Server(cut) as server, pytest.raises(SourceBroken) as broken:
        read_all(server.open(), n)

    assert (
        str(broken.value)
        == "The source closed the connection before the end of its data."
    )


@pytest.mark.parametrize(
    "end",
    [
        b"-1\r\nall that follows", b"0x1\r\na\r\n", b"+1\r\na\r\n", b"1_0\r\na\r\n",
        b"\r\n", b"g\r\n", b"1\na\r\n", b"1\r\nab\r\n", b" 1\r\na\r\n",
        b"f" * 16 + b"\r\n", b"1\r\naXX0\r\n\r\n",
    ],
)  # fmt: skip
def test_broken_chunks_are_told(end: bytes) -> None:
    """http.client takes some of these; `-1` for all that ever comes."""
    with (
        Server(chunked(DATA, end=end)) as server,
        pytest.raises(SourceBroken) as broken,
    ):
        read_all(server.open())

    assert str(broken.value) == "The source sends malformed chunks."


def test_endless_trailers_are_refused() -> None:
    """Nobody needs a hundred."""
    with Server(chunked(DATA, end=b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n")) as server:
        words = refusal(server.uri(), server.allowed)

    assert words == "The source sends too many trailers."


@pytest.mark.parametrize("n", [1, len(DATA), 5000])
@pytest.mark.parametrize(
    "lie",
    [
        response(DATA + b"x", length=len(DATA)),
        response(b"x", length=0),
        chunked(DATA) + b"x",
    ],
    ids=range(3),
)
def test_more_than_announced_is_refused(lie: bytes, n: int) -> None:
    """With the read that gives the last byte: it might be the last read, too."""
    with Server(lie) as server:
        source = server.open()
        with source, pytest.raises(SourceRefused) as refused:
            read_all(source, n)

    assert str(refused.value) == "The source sends more than its Content-Length."


def test_a_connection_that_stays_open_does_no_harm() -> None:
    """
    All that was announced has come; the end of the connection is not awaited long.
    """
    done = threading.Event()

    def stay(client: socket.socket) -> None:
        client.sendall(response())
        done.wait(5)

    with Server(stay) as server:
        data = read_all(server.open())
        done.set()

    assert data == DATA


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: five",
        "Content-Length: 1e3",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ],
)
def test_a_source_that_does_not_tell_its_end_is_refused(head: str) -> None:
    """One that ends with its connection cannot be told from one that was cut."""
    lines = f"HTTP/1.1 200 OK\r\n{head}\r\n".replace("\r\n\r\n", "\r\n")
    with Server(lines.encode() + b"\r\nimage") as server:
        assert refusal(server.uri(), server.allowed) == (
            "The source does not send one valid Content-Length."
        )


def test_the_same_length_twice_is_one() -> None:
    """Some servers repeat themselves."""
    with Server(response(Content_Length=str(len(DATA)))) as server:
        assert read_all(server.open()) == DATA


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "unheard-of"])
def test_encoded_data_is_refused(coding: str) -> None:
    """It is not the image, and was not requested; the message says what to do."""
    with Server(response(gzip.compress(DATA), Content_Encoding=coding)) as server:
        assert refusal(server.uri(), server.allowed) == (
            "The source sends a Content-Encoding that was not requested; use a URI"
            " that serves the image's own bytes."
        )


def test_data_that_is_not_encoded_may_say_so() -> None:
    """Needless, but harmless."""
    with Server(response(Content_Encoding="Identity")) as server:
        assert read_all(server.open()) == DATA


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"GET /image?signature=s3cr3t HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
    ids=range(6),
)
def test_what_is_not_http_is_as_a_closed_port(head: bytes) -> None:
    """Headers without an end, too; the message has nothing of what was sent."""
    with Server(head) as server, pytest.raises(SourceBroken) as broken:
        server.open()

    assert str(broken.value) == "The source did not respond over HTTP; check its URI."
    assert broken.value.__suppress_context__


def test_headers_that_cannot_be_read_are_refused() -> None:
    """What follows the broken line would be lost: here that the data is encoded."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nbroken\r\nContent-Encoding: gzip\r\n"
    )
    with Server(head + b"\r\nx") as server:
        assert refusal(server.uri(), server.allowed) == (
            "The source sends malformed headers."
        )


@pytest.mark.parametrize("upto", [0, 4, 12, 20, 35])
def test_cut_headers_may_heal(upto: int) -> None:
    """
    Their end is not taken for that of all headers, nor a cut length for a whole one.
    """
    with Server(response()[:upto]) as server, pytest.raises(SourceBroken) as broken:
        server.open()

    assert str(broken.value) == "The source did not respond over HTTP; check its URI."


def test_a_server_that_goes_on_first_is_read() -> None:
    """Status 100 is no response."""
    with Server(b"HTTP/1.1 100 Continue\r\n\r\n" + response()) as server:
        assert read_all(server.open()) == DATA


def test_nothing_is_asked_for_less_than_a_byte() -> None:
    """-1 would be all, in no bounded memory."""
    with Server(response()) as server, server.open() as source:
        for n in (0, -1):
            with pytest.raises(ValueError, match="At least one byte"):
                source.read(n)
