"""
Sources of images: what is fetched is whole and from where it may be, or nothing is.

The servers are real, on loopback; names and public addresses are given by the tests.
"""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib import sources
from chalicelib.sources import (
    BadUri,
    Place,
    SourceBroken,
    SourceRefused,
    check_uri,
    open_source,
    parse_allowed,
)

DATA = bytes(range(256)) * 3
PUBLIC = "93.184.215.14"
TAG = '"v1"'
DATE = "Wed, 25 Nov 2026 01:00:00 GMT"
LATER = "Wed, 25 Nov 2026 01:00:01 GMT"
NOBODY: frozenset[Place] = frozenset()

Answer = bytes | Callable[[socket.socket], None]


class Server:
    """
    A server that gives one answer to each connection, and keeps what was asked.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._answers = answers
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._listener.settimeout(0.02)
        self._stopped = threading.Event()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _serve(self) -> None:
        # Closed after the last answer: who asks for more shall not wait for it.
        with self._listener:
            for answer in self._answers:
                client = self._accept()
                if client is None:
                    return
                # Whoever asks may leave in the middle.
                with client, suppress(OSError):
                    client.settimeout(5)
                    self._secure_and_answer(client, answer)

    def _secure_and_answer(self, client: socket.socket, answer: Answer) -> None:
        if self._tls is None:
            self._answer(client, answer)
            return
        with self._tls.wrap_socket(client, server_side=True) as secure:
            self._answer(secure, answer)

    def _accept(self) -> socket.socket | None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                return self._listener.accept()[0]
        return None

    def _answer(self, client: socket.socket, answer: Answer) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            some = client.recv(4096)
            if not some:
                return
            request += some
        self.requests.append(request.decode())
        if isinstance(answer, bytes):
            client.sendall(answer)
        else:
            answer(client)

    @property
    def allowed(self) -> frozenset[Place]:
        """
        The setting that allows this server by its names, and no other.
        """
        return frozenset({("127.0.0.1", self.port), ("localhost", self.port)})

    def uri(self, path: str = "/image", host: str = "127.0.0.1") -> str:
        """
        Give where it serves.
        """
        return f"http://{host}:{self.port}{path}"

    def open(self, start: int = 0, **known: Any) -> sources.Source:
        """
        Open the source that it serves.
        """
        return open_source(self.uri(), self.allowed, start, **known)


def answer(
    body: bytes = DATA,
    status: str = "200 OK",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """
    Write an answer, whose length is right if no other is given.
    """
    lines = [f"HTTP/1.1 {status}"]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: Any) -> bytes:
    """
    Write an answer whose body comes in chunks.
    """
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return answer(body + end, Transfer_Encoding="chunked", **headers)


def part(
    start: int = 100,
    text: str | None = None,
    tag: str | None = TAG,
    body: bytes | None = None,
    **headers: str,
) -> bytes:
    """
    Write an answer that holds the rest of the data.
    """
    text = text or f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    if tag:
        headers["ETag"] = tag
    body = DATA[start:] if body is None else body
    return answer(body, "206 Partial Content", None, Content_Range=text, **headers)


def redirect(to: str, status: str = "302 Found") -> bytes:
    """
    Write a redirect, with a body that nobody reads.
    """
    return answer(b"elsewhere", status, Location=to)


def read_all(source: sources.Source, n: int = 100) -> bytes:
    """
    Read a source to its end.
    """
    data = b""
    with source:
        while some := source.read(n):
            data += some
            if len(some) < n:
                assert source.read(1) == b""
    return data


def refusal(uri: str, allowed: frozenset[Place] = NOBODY) -> str:
    """
    Tell why a source is refused.
    """
    with pytest.raises(SourceRefused) as refused:
        read_all(open_source(uri, allowed))
    return str(refused.value)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The times of production are for slow networks.
    """
    monkeypatch.setattr(sources, "SURPLUS_SECONDS", 0.1)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    The addresses that are connected to; each refuses.
    """
    dialled: list[str] = []

    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            dialled.append(address[0])
            raise ConnectionRefusedError

    monkeypatch.setattr(socket, "socket", Refusing)
    return dialled


class Names:
    """
    A DNS whose answers a test gives, one set of addresses for each time it is asked.
    """

    def __init__(self, *answers: list[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[Any]:
        """
        Answer as `socket.getaddrinfo` does.
        """
        self.asked.append(host)
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answer
        ]


@contextmanager
def internet(
    monkeypatch: pytest.MonkeyPatch, server: Server, peer: str | None = None
) -> Iterator[list[Any]]:
    """
    Let a server stand for each public address; give the addresses connected to.
    """
    dialled: list[Any] = []

    class Routed(socket.socket):
        to: Any = None

        def connect(self, address: Any) -> None:
            dialled.append(address)
            self.to = address
            super().connect(("127.0.0.1", server.port))

        def getpeername(self) -> Any:
            return (peer or self.to[0], self.to[1])

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Routed)
        yield dialled


# The form of a URI and of the setting.


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com",
        "https://example.com/a/b;c?d=%20&e#fragment",
        "HTTPS://EXAMPLE.com:8443/",
        "http://host_1.example.com./image",
        "http://xn--bcher-kva.example/",
        "http://192.0.2.1:80/",
        "http://[2001:DB8::1]:80/",
        "http://localhost/",
        "http://example.com?query",
        "http://example.com/" + "a" * 4076,
    ],
)
def test_a_uri_of_http_or_https_with_a_host_is_taken(uri: str) -> None:
    """
    Where it leads is seen only when it is fetched.
    """
    check_uri(uri)


SCHEME = "The URI must begin with http:// or https://."
ASCII = "The URI must be of ASCII without spaces; the rest is escaped: %20."
HOST = (
    "The URI must name a host as it is written in DNS, or an IP address, with no user"
    " and no password."
)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", ASCII),
        ("ftp://example.com/", SCHEME),
        ("file:///etc/passwd", SCHEME),
        ("gopher://example.com/", SCHEME),
        ("example.com/image", SCHEME),
        ("//example.com/image", SCHEME),
        ("http:/example.com", SCHEME),
        ("http:example.com", SCHEME),
        ("http:///image", HOST),
        ("http://?query", HOST),
        ("http://:80/", HOST),
        ("http://user@example.com/", HOST),
        ("http://user:secret@example.com/", HOST),
        ("http://@example.com/", HOST),
        ("http://example.com:0/", HOST),
        ("http://example.com:65536/", HOST),
        ("http://example.com:-1/", HOST),
        ("http://example.com:x/", HOST),
        ("http://example.com:/", HOST),
        ("http://a..example.com/", HOST),
        ("http://.example.com/", HOST),
        ("http://./", HOST),
        ("http://example.com../", HOST),
        (f"http://{'a' * 64}.example.com/", HOST),
        (f"http://{'a.' * 130}com/", HOST),
        ("http://exam%70le.com/", HOST),
        ("http://127.0.0.1%00.example.com/", HOST),
        ("http://[fe80::1%25eth0]/", HOST),
        ("http://[fe80::1%eth0]/", HOST),
        ("http://[::1/", HOST),
        ("http://::1/", HOST),
        ("http://[example.com]/", HOST),
        ("http://[v1.x]/", HOST),
        ("http://[::1]x/", HOST),
        # getaddrinfo takes each of these for 127.0.0.1.
        ("http://2130706433/", HOST),
        ("http://0x7f000001/", HOST),
        ("http://0x7f.0.0.1/", HOST),
        ("http://127.0.0.0x1/", HOST),
        ("http://0177.0.0.1/", HOST),
        ("http://127.0.0.01/", HOST),
        ("http://127.1/", HOST),
        ("http://127.0.1/", HOST),
        ("http://127.0.0.1.1/", HOST),
        ("http://0/", HOST),
        ("http://0x/", HOST),
        ("http://256.0.0.1/", HOST),
        ("http://example.com/a b", ASCII),
        ("http://example.com/\r\nX: y", ASCII),
        ("http://exam\tple.com/", ASCII),
        (" http://example.com/", ASCII),
        ("http://example.com/\N{LATIN SMALL LETTER U WITH DIAERESIS}", ASCII),
        ("http://\N{FULLWIDTH DIGIT ONE}27.0.0.1/", ASCII),
        ("http://example.com\\@127.0.0.1/", ASCII),
        (
            "http://example.com/" + "a" * 4078,
            "The URI must have at most 4096 characters.",
        ),
    ],
)
def test_another_uri_is_refused_and_not_repeated(uri: str, words: str) -> None:
    """
    In its form already; opened, it is refused in the same words.
    """
    with pytest.raises(BadUri) as bad:
        check_uri(uri)

    assert str(bad.value) == words
    assert refusal(uri, frozenset({("127.0.0.1", None)})) == words
    assert isinstance(bad.value, ValueError)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", set()),
        (" ", set()),
        ("example.com", {("example.com", None)}),
        ("Mirror.Example.com.:8080", {("mirror.example.com", 8080)}),
        (
            "localhost:9000, 10.0.0.1 ,[FD00::0001]:443,[::1]",
            {("localhost", 9000), ("10.0.0.1", None), ("fd00::1", 443), ("::1", None)},
        ),
    ],
)
def test_the_setting_names_hosts(text: str, places: set[Place]) -> None:
    """
    Case, blanks and a last dot mean nothing.
    """
    assert parse_allowed(text) == places


@pytest.mark.parametrize(
    "text",
    [
        ",", "a,,b", "a,", "*", "*.example.com", "http://example.com", "example.com/",
        "10.0.0.0/8", "::1", "[::1", "[example.com]", "a b", "a:", "a:0", "a:65536",
        "a:b", "user@a", "127.1", "[fe80::1%eth0]", "b\xfccher.example",
    ],
)  # fmt: skip
def test_a_setting_that_names_something_else_is_refused(text: str) -> None:
    """
    With what it may be.
    """
    with pytest.raises(ValueError, match="IMPORT_ALLOW") as wrong:
        parse_allowed(text)

    assert str(wrong.value) == (
        "The setting IMPORT_ALLOW must name hosts as host or host:port, separated by"
        f" commas, IPv6 addresses in brackets, not {text!r}."
    )


# Where a source may be.

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - nothing binds to it
    "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.169.254", "169.254.170.2",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe",
    "::ffff:93.184.215.14", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe", "100::1", "2001::1", "2001:0:a9fe:a9fe::1", "2001:2::1",
    "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str], address: str
) -> None:
    """
    Neither written in the URI nor by a name, which is all that the owner is told.
    """
    literal = f"[{address}]" if ":" in address else address
    host = str(ipaddress.ip_address(address))
    assert refusal(f"http://{literal}/image?signature=s3cr3t") == (
        f"{host} is at no address that anything may be fetched from."
    )

    monkeypatch.setattr(socket, "getaddrinfo", Names([address]))
    assert refusal("https://files.example.com/image?signature=s3cr3t") == (
        "files.example.com is at no address that anything may be fetched from."
    )
    assert dialled == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST"])
def test_localhost_is_private_however_it_is_written(
    dialled: list[str], host: str
) -> None:
    """
    By this machine's own names.
    """
    assert "no address that anything may be fetched from" in refusal(f"http://{host}/")
    assert dialled == []


def test_an_address_with_a_scope_is_private(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    """
    Even if it looks public: it holds on one link alone.
    """
    monkeypatch.setattr(socket, "getaddrinfo", Names(["2606:4700::1111%1"]))

    assert "no address that anything may be fetched from" in refusal(
        "http://files.example.com/"
    )
    assert dialled == []


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
     "172.15.255.255", "172.32.0.0", "223.255.255.255", "2606:4700::1111",
     "2001:200::1", "2600:1f18::1"],
)  # fmt: skip
def test_a_public_address_is_connected_to(dialled: list[str], address: str) -> None:
    """
    Up to the edges of the private ones.
    """
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(SourceBroken) as broken:
        open_source(f"http://{literal}/", NOBODY)

    assert str(broken.value) == f"{address} refuses connections."
    assert dialled == [address]


def test_one_private_address_of_a_name_is_too_many(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    """
    Whichever of them would have been connected to.
    """
    for addresses in ([PUBLIC, "10.0.0.1"], ["::1", PUBLIC]):
        monkeypatch.setattr(socket, "getaddrinfo", Names(addresses))
        assert "no address that anything may be fetched from" in refusal(
            "http://files.example.com/"
        )

    assert dialled == []


def test_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name that turns private after its check is not asked again.
    """
    names = Names([PUBLIC], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with Server(answer()) as server, internet(monkeypatch, server) as dialled:
        data = read_all(open_source("http://files.example.com/", NOBODY))

    assert data == DATA
    assert dialled == [(PUBLIC, 80)]
    assert names.asked == ["files.example.com"]
    assert "Host: files.example.com\r\n" in server.requests[0]


def test_a_name_that_turns_private_before_a_redirect_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Each connection has a look-up and a check of its own, to the same name, too.
    """
    names = Names([PUBLIC], ["10.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with (
        Server(redirect("/again"), answer()) as server,
        internet(monkeypatch, server) as dialled,
    ):
        assert "no address that anything may be fetched from" in refusal(
            "http://files.example.com/"
        )

    assert dialled == [(PUBLIC, 80)]
    assert len(server.requests) == 1


def test_a_connection_that_leads_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The peer is what was checked, or nothing is sent.
    """
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC]))
    with (
        Server(answer()) as server,
        internet(monkeypatch, server, peer="127.0.0.1"),
    ):
        assert refusal("http://files.example.com/") == (
            "files.example.com is not where it was looked for."
        )

    assert server.requests == []


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that refuses does no harm, such as IPv6 where there is none.
    """
    with Server(answer()) as server:
        names = Names(["::1", "127.0.0.2", "127.0.0.1"])
        monkeypatch.setattr(socket, "getaddrinfo", names)
        allowed = frozenset({("files.example.com", None)})
        source = open_source(server.uri(host="files.example.com"), allowed)

        assert read_all(source) == DATA


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST."])
@pytest.mark.parametrize("with_port", [True, False])
def test_what_the_setting_names_may_be_anywhere(host: str, with_port: object) -> None:
    """
    With any port, or the one that it names.
    """
    with Server(answer()) as server:
        allowed = parse_allowed(f"{host}:{server.port}" if with_port else host)

        assert read_all(open_source(server.uri(host=host), allowed)) == DATA


def test_what_the_setting_does_not_name_is_refused(dialled: list[str]) -> None:
    """
    Another port, another name, or the address of a name that it names.
    """
    allowed = parse_allowed("127.0.0.1:81,localhost:80,169.254.169.254:80")
    for uri in (
        "http://127.0.0.1/",
        "https://localhost/",
        "http://127.0.0.2:81/",
        "http://169.254.169.254:8080/",
    ):
        assert "no address that anything may be fetched from" in refusal(uri, allowed)

    assert dialled == []


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (socket.EAI_AGAIN, SourceBroken, "cannot be looked up just now."),
        (socket.EAI_FAIL, SourceBroken, "cannot be looked up just now."),
        (
            socket.EAI_NONAME,
            SourceRefused,
            "is at no address that anything may be fetched from.",
        ),
        (
            socket.EAI_NODATA,
            SourceRefused,
            "is at no address that anything may be fetched from.",
        ),
    ],
)
def test_a_name_that_is_not_found_is_told(
    monkeypatch: pytest.MonkeyPatch, failure: int, kind: type[Exception], words: str
) -> None:
    """
    DNS may fail for a while; a name that does not exist is no accident.
    """
    names = Names(socket.gaierror(failure, "as told by DNS"))
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with pytest.raises(kind) as failed:
        open_source("http://files.example.com/", NOBODY)

    assert str(failed.value) == f"files.example.com {words}"


# What is sent.


def test_the_request_says_no_more_than_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    No fragment, cookie or credentials; no proxy of the environment is asked.
    """
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:1")
    with Server(answer(Set_Cookie="a=b")) as server:
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
    """
    In the header `Host`, too.
    """
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC]))
    with Server(answer()) as server, internet(monkeypatch, server):
        read_all(open_source("http://[2606:4700:0::1111]:8080/", NOBODY))

    assert "Host: [2606:4700::1111]:8080\r\n" in server.requests[0]


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
    """
    Relative or not, always by GET; cookies are not kept.
    """

    def move(client: socket.socket) -> None:
        to = location.replace("{host}", f"127.0.0.1:{server.port}")
        client.sendall(
            answer(b"x", f"{status} Moved", Location=to, Set_Cookie="a=b"),
        )

    with Server(move, answer()) as server:
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
    """
    Though the host that redirects is allowed.
    """
    with Server(redirect(location)) as server:
        words = refusal(server.uri(), server.allowed)

    assert words.endswith(" is at no address that anything may be fetched from.")


@pytest.mark.parametrize(
    "location",
    [
        "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "ftp://a.example/",
        "file:///etc/passwd", "http://user@a.example/", "http://[::1", "http://:80/",
        "http://a.example/" + "a" * 5000, "data:,x", "\\\\a.example\\x",
    ],
)  # fmt: skip
def test_a_redirect_to_no_uri_of_ours_is_refused(location: str) -> None:
    """
    It is held to the same form as what the owner gave.
    """
    with Server(redirect(location)) as server:
        assert refusal(server.uri(), server.allowed) == (
            "127.0.0.1 redirects to what is no URI of http or https with a host."
        )


def test_a_redirect_to_nowhere_is_refused() -> None:
    """
    It has no `Location`.
    """
    with Server(answer(b"", "302 Found")) as server:
        assert refusal(server.uri(), server.allowed) == (
            "127.0.0.1 redirects without saying where to."
        )


def test_five_redirects_are_followed_and_no_more() -> None:
    """
    A loop ends.
    """
    with Server(*[redirect("/")] * 5, answer()) as server:
        assert read_all(server.open()) == DATA
    with Server(*[redirect("/")] * 7) as server:
        words = refusal(server.uri(), server.allowed)

    assert words == "127.0.0.1 is one redirect too many."
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", ["300 Choices", "304 Not Modified", "305 Proxy"])
def test_what_is_no_redirect_is_not_followed(status: str) -> None:
    """
    Though it has a `Location`.
    """
    with Server(redirect("/", status), answer()) as server:
        assert refusal(server.uri(), server.allowed) == (
            f"127.0.0.1 answers {status[:3]}."
        )


# What is answered.


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_that_may_heal_is_told_apart(status: int) -> None:
    """
    The next try may find the source well.
    """
    with Server(answer(status=f"{status} Later"), answer()) as server:
        with pytest.raises(SourceBroken) as broken:
            server.open()
        again = read_all(server.open())

    assert str(broken.value) == f"127.0.0.1 answers {status}."
    assert again == DATA


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 403, 404, 410, 416, 451])
def test_another_status_is_final(status: int) -> None:
    """
    A part that was not asked for, too.
    """
    with Server(answer(status=f"{status} No")) as server:
        words = refusal(server.uri("/image?signature=s3cr3t"), server.allowed)

    assert words == f"127.0.0.1 answers {status}."


@pytest.mark.parametrize("n", [1, 255, 256, 767, 768, 769, 5000])
def test_a_source_is_read_to_its_end(n: int) -> None:
    """
    Each piece has just the size that was asked for, but for the last one.
    """
    with Server(answer(), chunked(DATA[:300], DATA[300:301], DATA[301:])) as server:
        plain, in_chunks = server.open(), server.open()

        assert (plain.length, in_chunks.length) == (len(DATA), None)
        assert (plain.resumes, in_chunks.resumes) == (False, False)
        assert read_all(plain, n) == read_all(in_chunks, n) == DATA


def test_an_empty_source_is_whole() -> None:
    """
    With a length of 0, or with no chunk.
    """
    with Server(answer(b""), chunked()) as server:
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
    """
    However they are cut, with extensions and trailers.
    """
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
        answer(DATA[:-1], length=len(DATA)),
        answer(b"", length=1),
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
    """
    Fewer bytes than announced, or chunks without their end.
    """
    with Server(cut) as server, pytest.raises(SourceBroken) as broken:
        read_all(server.open(), n)

    assert str(broken.value) == "127.0.0.1 ended before all its data came."


@pytest.mark.parametrize(
    "end",
    [
        b"-1\r\nall that follows", b"0x1\r\na\r\n", b"+1\r\na\r\n", b"1_0\r\na\r\n",
        b"\r\n", b"g\r\n", b"1\na\r\n", b"1\r\nab\r\n", b" 1\r\na\r\n",
        b"f" * 16 + b"\r\n", b"1\r\naXX0\r\n\r\n",
    ],
)  # fmt: skip
def test_broken_chunks_are_told(end: bytes) -> None:
    """
    http.client takes some of these; `-1` for all that ever comes.
    """
    with (
        Server(chunked(DATA, end=end)) as server,
        pytest.raises(SourceBroken) as broken,
    ):
        read_all(server.open())

    assert str(broken.value) == "127.0.0.1 sends broken chunks."


def test_endless_trailers_are_refused() -> None:
    """
    Nobody needs a hundred.
    """
    with Server(chunked(DATA, end=b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n")) as server:
        words = refusal(server.uri(), server.allowed)

    assert words == "127.0.0.1 sends too many trailers."


@pytest.mark.parametrize("n", [1, len(DATA), 5000])
@pytest.mark.parametrize(
    "lie",
    [
        answer(DATA + b"x", length=len(DATA)),
        answer(b"x", length=0),
        chunked(DATA) + b"x",
    ],
    ids=range(3),
)
def test_more_than_announced_is_refused(lie: bytes, n: int) -> None:
    """
    With the read that gives the last byte: it might be the last read, too.
    """
    with Server(lie) as server:
        source = server.open()
        with source, pytest.raises(SourceRefused) as refused:
            read_all(source, n)

    assert str(refused.value) == "127.0.0.1 sends more than it announced."


def test_a_connection_that_stays_open_does_no_harm() -> None:
    """
    All that was announced has come; the end of the connection is not awaited long.
    """
    done = threading.Event()

    def stay(client: socket.socket) -> None:
        client.sendall(answer())
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
    """
    One that ends with its connection cannot be told from one that was cut.
    """
    lines = f"HTTP/1.1 200 OK\r\n{head}\r\n".replace("\r\n\r\n", "\r\n")
    with Server(lines.encode() + b"\r\nimage") as server:
        assert refusal(server.uri(), server.allowed) == (
            "127.0.0.1 does not say clearly how long its data is."
        )


def test_the_same_length_twice_is_one() -> None:
    """
    Some servers repeat themselves.
    """
    with Server(answer(Content_Length=str(len(DATA)))) as server:
        assert read_all(server.open()) == DATA


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "unheard-of"])
def test_encoded_data_is_refused(coding: str) -> None:
    """
    It is not the image, and nobody asked for it.
    """
    with Server(answer(gzip.compress(DATA), Content_Encoding=coding)) as server:
        assert refusal(server.uri(), server.allowed) == (
            "127.0.0.1 sends its data encoded, which was not asked."
        )


def test_data_that_is_not_encoded_may_say_so() -> None:
    """
    Needless, but harmless.
    """
    with Server(answer(Content_Encoding="Identity")) as server:
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
def test_what_is_not_http_is_refused(head: bytes) -> None:
    """
    Headers without an end, too; what came instead is told to nobody.
    """
    with Server(head) as server, pytest.raises(SourceRefused) as refused:
        server.open()

    assert str(refused.value) == "127.0.0.1 does not answer in HTTP."
    assert refused.value.__suppress_context__


def test_headers_that_cannot_be_read_are_refused() -> None:
    """
    What follows the broken line would be lost: here that the data is encoded.
    """
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nbroken\r\nContent-Encoding: gzip\r\n"
    )
    with Server(head + b"\r\nx") as server:
        assert refusal(server.uri(), server.allowed) == (
            "127.0.0.1 sends headers that cannot be read."
        )


@pytest.mark.parametrize("upto", [0, 4, 12, 20, 35])
def test_cut_headers_may_heal(upto: int) -> None:
    """
    Their end is not taken for that of all headers, nor a cut length for a whole one.
    """
    with Server(answer()[:upto]) as server, pytest.raises(SourceBroken) as broken:
        server.open()

    assert str(broken.value) == "127.0.0.1 broke the connection."


def test_a_server_that_goes_on_first_is_read() -> None:
    """
    Status 100 is no answer.
    """
    with Server(b"HTTP/1.1 100 Continue\r\n\r\n" + answer()) as server:
        assert read_all(server.open()) == DATA


def test_nothing_is_asked_for_less_than_a_byte() -> None:
    """
    -1 would be all, in no bounded memory.
    """
    with Server(answer()) as server, server.open() as source:
        for n in (0, -1):
            with pytest.raises(ValueError, match="At least one byte"):
                source.read(n)


# Connections that fail.


def test_nobody_there_may_heal() -> None:
    """
    The server may be started again.
    """
    with Server() as server:
        uri, allowed = server.uri(), server.allowed
    with pytest.raises(SourceBroken) as broken:
        open_source(uri, allowed)

    assert str(broken.value) == "127.0.0.1 refuses connections."


def reset(client: socket.socket) -> None:
    """
    Break a connection as a crash does.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_a_connection_that_breaks_may_heal() -> None:
    """
    Before the answer, and in the middle of the data.
    """

    def break_off(client: socket.socket) -> None:
        client.sendall(answer(DATA[:10], length=len(DATA)))
        client.recv(1)  # Until the other end has what came.
        reset(client)

    with Server(reset, break_off) as server:
        with pytest.raises(SourceBroken) as before:
            server.open()
        with server.open() as source:
            assert source.read(10) == DATA[:10]
            source._wire._sock.sendall(b"x")  # noqa: SLF001 - tells the server to
            with pytest.raises(SourceBroken) as amid:
                source.read(10)

    assert str(before.value) == str(amid.value) == "127.0.0.1 broke the connection."


def drip(data: bytes, stop: threading.Event) -> Callable[[socket.socket], None]:
    """
    Send a byte now and then, always sooner than a timeout of one wait.
    """

    def answer_slowly(client: socket.socket) -> None:
        for byte in data:
            if stop.wait(0.02):
                return
            client.sendall(bytes([byte]))

    return answer_slowly


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (b"", answer()),
        (answer(b"", length=len(DATA)), DATA),
        (chunked(end=b""), b"1;" + b"x" * 500),
    ],
    ids=["headers", "body", "chunk size"],
)
@pytest.mark.parametrize("silent", [True, False])
def test_a_slow_source_is_given_up(
    monkeypatch: pytest.MonkeyPatch, fast: bytes, slow: bytes, silent: object
) -> None:
    """
    Be it silent, or with a byte now and then that would keep each single wait short.
    """
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.3)
    monkeypatch.setattr(sources, "READ_SECONDS", 0.3)
    stop = threading.Event()

    def start_fast(client: socket.socket) -> None:
        client.sendall(fast)
        if silent:
            stop.wait(5)
        drip(slow, stop)(client)

    begun = time.monotonic()
    with Server(start_fast) as server:
        with pytest.raises(SourceBroken) as broken:
            read_all(server.open(), 5000)
        stop.set()

    assert str(broken.value) == "127.0.0.1 is too slow."
    assert time.monotonic() - begun < 4


def test_each_read_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever reads may store what came in between, longer than opening may take.
    """
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.3)
    with Server(answer()) as server, server.open() as source:
        time.sleep(0.4)

        assert source.read(5000) == DATA


def test_a_connection_that_is_not_taken_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    At each address, and at all of them together.
    """
    seconds: list[float | None] = []

    class Silent(socket.socket):
        def connect(self, _: Any) -> None:
            seconds.append(self.gettimeout())
            raise TimeoutError

    monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC, "8.8.8.8"]))
    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(SourceBroken) as broken:
        open_source("http://files.example.com/", NOBODY)

    assert str(broken.value) == "files.example.com is too slow."
    assert seconds == [0.2, 0.2]


def test_all_redirects_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each of them is quick enough, all together are not.
    """
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.5)

    def redirect_slowly(client: socket.socket) -> None:
        time.sleep(0.2)
        client.sendall(redirect("/"))

    with (
        Server(*[redirect_slowly] * 6) as server,
        pytest.raises(SourceBroken, match="too slow"),
    ):
        server.open()


# Going on where an earlier run ended.


def test_the_rest_of_an_unchanged_source_is_read() -> None:
    """
    By `Range` and `If-Range`; in chunks, too.
    """
    rest = chunked(DATA[100:], ETag=TAG, Content_Range=f"bytes 100-767/{len(DATA)}")
    in_chunks = rest.replace(b"200 OK", b"206 Partial Content")
    with Server(part(), in_chunks, redirect("/there"), part()) as server:
        for _ in range(3):
            source = server.open(100, validator=TAG, length=len(DATA))
            assert (source.resumes, source.length) == (True, len(DATA))
            assert source.validator == TAG
            assert read_all(source) == DATA[100:]

    assert len(server.requests) == 4
    for request in server.requests:
        assert request.endswith('\r\nRange: bytes=100-\r\nIf-Range: "v1"\r\n\r\n')


def test_a_date_tells_that_a_source_is_unchanged() -> None:
    """
    It may be told again, or not (RFC 9110, 15.3.7).
    """
    with Server(
        part(tag=None), part(tag=None, Last_Modified=DATE), part(Last_Modified=DATE)
    ) as server:
        for _ in range(3):
            source = server.open(100, validator=DATE)
            assert source.resumes
            assert read_all(source) == DATA[100:]

    assert f"\r\nIf-Range: {DATE}\r\n" in server.requests[0]


def test_a_changed_source_begins_anew() -> None:
    """
    It answers 200, with all its data; so does one that knows no ranges.
    """
    other = DATA[::-1] + b"more"
    with Server(answer(other, ETag='"v2"')) as server:
        source = server.open(100, validator=TAG, length=len(DATA))

        assert (source.resumes, source.length) == (False, len(other))
        assert source.validator == '"v2"'
        assert read_all(source) == other


@pytest.mark.parametrize(
    ("start", "validator"), [(100, None), (100, ""), (0, TAG), (0, None)]
)
def test_no_part_is_asked_for_without_need_and_validator(
    start: int, validator: str | None
) -> None:
    """
    Nothing would tell whether the rest belongs to what was read before.
    """
    with Server(answer()) as server:
        source = server.open(start, validator=validator)
        assert not source.resumes
        assert read_all(source) == DATA

    assert "Range" not in server.requests[0]


@pytest.mark.parametrize("told", ["bytes */100", "bytes */50", None])
def test_a_source_without_such_a_part_begins_anew(told: str | None) -> None:
    """
    416: it became shorter, or was read to its end without that being known.
    """
    headers: dict[str, Any] = {"Content_Range": told} if told else {}
    with Server(answer(b"", "416 No", **headers), answer(DATA[:50])) as server:
        source = server.open(100, validator=TAG)

        assert (source.resumes, source.length) == (False, 50)
        assert read_all(source) == DATA[:50]

    assert "Range" not in server.requests[1]


@pytest.mark.parametrize(
    "text",
    [
        f"bytes 99-767/{len(DATA)}",
        f"bytes 101-767/{len(DATA)}",
        f"bytes 0-767/{len(DATA)}",
        f"bytes 100-700/{len(DATA)}",
        f"bytes 100-768/{len(DATA)}",
        "bytes 100-767/*",
        "bytes */768",
        "bytes 100-99/100",
        "items 100-767/768",
        "nonsense",
    ],
)
def test_another_part_is_refused(text: str) -> None:
    """
    All of the rest is asked for, and nothing else.
    """
    with Server(part(text=text)) as server, pytest.raises(SourceRefused) as refused:
        server.open(100, validator=TAG)

    assert str(refused.value) == "127.0.0.1 sends another part than was asked for."


def test_a_part_of_another_length_is_refused() -> None:
    """
    Its two lengths contradict each other, or it has none.
    """
    nothing = part(text="bytes 100-99/100", body=b"")
    with Server(part(body=DATA[101:]), nothing) as server:
        for _ in range(2):
            with pytest.raises(SourceRefused, match="sends another part"):
                server.open(100, validator=TAG)


@pytest.mark.parametrize(
    ("chunks", "end", "kind", "words"),
    [
        ([DATA[100:-1]], b"0\r\n\r\n", SourceBroken, "sent less than it announced."),
        ([DATA[100:]], b"", SourceBroken, "ended before all its data came."),
        (
            [DATA[100:], b"x"],
            b"0\r\n\r\n",
            SourceRefused,
            "sends more than it announced.",
        ),
        (
            [DATA[100:] + b"x"],
            b"0\r\n\r\n",
            SourceRefused,
            "sends more than it announced.",
        ),
    ],
    ids=["less", "cut", "one more", "longer"],
)
def test_a_part_in_chunks_is_as_long_as_it_says(
    chunks: list[bytes], end: bytes, kind: type[Exception], words: str
) -> None:
    """
    Whoever reads no more than the length that is told finds out, too.
    """
    rest = chunked(
        *chunks, end=end, ETag=TAG, Content_Range=f"bytes 100-767/{len(DATA)}"
    ).replace(b"200 OK", b"206 Partial Content")
    with (
        Server(rest) as server,
        server.open(100, validator=TAG) as source,
        pytest.raises(kind) as failed,
    ):
        source.read(len(DATA) - 100)

    assert str(failed.value) == f"127.0.0.1 {words}"


@pytest.mark.parametrize(
    ("rest", "validator", "length"),
    [
        (part(tag='"v2"'), TAG, None),
        (part(tag='W/"v1"'), TAG, None),
        (part(tag=None), TAG, None),
        (part(tag=None, Last_Modified=LATER), DATE, None),
        (part(), TAG, len(DATA) + 1),
    ],
    ids=["tag", "weak tag", "no tag", "date", "length"],
)
def test_a_part_of_other_data_is_refused(
    rest: bytes, validator: str, length: int | None
) -> None:
    """
    Some servers know `Range` but not `If-Range`.
    """
    with Server(rest) as server, pytest.raises(SourceRefused) as refused:
        server.open(100, validator=validator, length=length)

    assert str(refused.value) == "127.0.0.1 has other data than it had before."


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, None),
        ({"ETag": TAG}, TAG),
        ({"ETag": '""'}, '""'),
        ({"ETag": TAG, "Last_Modified": DATE, "Date": LATER}, TAG),
        ({"ETag": 'W/"v1"'}, None),
        ({"ETag": 'W/"v1"', "Last_Modified": DATE, "Date": LATER}, None),
        ({"ETag": "v1"}, None),
        ({"ETag": '"a"b"'}, None),
        ({"ETag": '"a\r\n b"'}, None),
        ({"ETag": f'"{"a" * 300}"'}, None),
        ({"Last_Modified": DATE, "Date": LATER}, DATE),
        ({"Last_Modified": DATE, "Date": DATE}, None),
        ({"Last_Modified": LATER, "Date": DATE}, None),
        ({"Last_Modified": DATE}, None),
        ({"Last_Modified": DATE, "Date": "today"}, None),
        ({"Last_Modified": "Wed, 99 Nov 2026 01:00:00 GMT", "Date": LATER}, None),
        ({"Last_Modified": "2026-11-25", "Date": LATER}, None),
    ],
)
def test_only_what_is_sure_tells_the_same_source_later(
    headers: dict[str, Any], validator: str | None
) -> None:
    """
    A strong tag; a date older than the answer, where there is no tag at all.
    """
    with Server(answer(**headers)) as server, server.open() as source:
        assert source.validator == validator


# TLS.


def certificate(folder: Path, *, expired: bool = False) -> tuple[Path, ssl.SSLContext]:
    """
    Make a certificate for localhost that signs itself; give its file and a server's.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=-1 if expired else 1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = folder / "certificate.pem"
    both = folder / "both.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        public.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    return public, tls


def test_https_is_read_with_the_name_that_was_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The server is told the name, and its certificate must be for it.
    """
    trusted, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    with Server(answer(), chunked(DATA, end=b""), answer(), tls=tls) as server:
        uri = f"https://LocalHost.:{server.port}/"
        assert read_all(open_source(uri, server.allowed)) == DATA
        with pytest.raises(SourceBroken):
            read_all(open_source(uri, server.allowed))
        words = refusal(f"https://127.0.0.1:{server.port}/", server.allowed)

    assert words.startswith("127.0.0.1 has no valid certificate: IP address mismatch")
    assert names == ["localhost", "localhost", None]
    assert f"Host: localhost:{server.port}\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("expired", "words"),
    [
        (False, "localhost has no valid certificate: self-signed certificate."),
        (True, "localhost has no valid certificate: certificate has expired."),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, *, expired: bool
) -> None:
    """
    Nothing is sent: the URI may hold a signature.
    """
    trusted, tls = certificate(tmp_path, expired=expired)
    if expired:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with Server(answer(), tls=tls) as server:
        assert refusal(f"https://localhost:{server.port}/", server.allowed) == words

    assert server.requests == []


def test_https_does_not_lead_to_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A redirect may lead from http to https, but never back.
    """
    trusted, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with ExitStack() as opened:
        plain = opened.enter_context(Server(answer()))
        secure = opened.enter_context(Server(redirect(plain.uri()), answer(), tls=tls))
        up = opened.enter_context(Server(redirect(f"https://localhost:{secure.port}/")))
        allowed = plain.allowed | secure.allowed | up.allowed
        assert refusal(f"https://localhost:{secure.port}/", allowed) == (
            "localhost redirects from https to http."
        )
        assert read_all(open_source(up.uri(), allowed)) == DATA

    assert plain.requests == []


def test_https_where_there_is_none_may_heal() -> None:
    """
    A load balancer without its backends may answer so.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def talk_plainly() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer())

        thread = threading.Thread(target=talk_plainly)
        thread.start()
        uri = f"https://localhost:{listener.getsockname()[1]}/"
        with pytest.raises(SourceBroken) as broken:
            open_source(uri, parse_allowed("localhost"))
        thread.join()

    assert str(broken.value) == "localhost makes no connection of TLS."
