"""Targets: nothing is fetched but from where it may be."""

import socket

import pytest

from chalicelib.background.addresses import SourceBroken
from chalicelib.background.sources import open_source
from chalicelib.domain.import_uris import (
    BadUri,
    Place,
    SourceRefused,
    parse_allowed,
    parse_uri,
)
from tests.sources.servers import (
    DATA,
    NOBODY,
    PUBLIC,
    Names,
    Server,
    internet,
    read_all,
    redirect,
    refusal,
    response,
)

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
    """Where it leads is seen only when it is fetched."""
    parse_uri(uri)


SCHEME = "The URI must begin with http:// or https://."
ASCII = "The URI must be ASCII without spaces; percent-encode other characters."
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
    """In its form already; opened, it is refused in the same words."""
    with pytest.raises(BadUri) as bad:
        parse_uri(uri)

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
    """Case, blanks and a last dot mean nothing."""
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
    """With what it may be."""
    with pytest.raises(ValueError, match="IMPORT_ALLOW") as wrong:
        parse_allowed(text)

    assert str(wrong.value) == (
        "The setting IMPORT_ALLOW must name hosts as host or host:port, separated by"
        f" commas, IPv6 addresses in brackets, not {text!r}."
    )


# Where a source may be.

NOT_PUBLIC = (
    "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
)
RETRY = "The source's name cannot be resolved; retry."
PORT = "The source's port must be 80 or 443 (IMPORT_ALLOW permits others)."

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
    """Neither written in the URI nor by a name; the message names neither."""
    literal = f"[{address}]" if ":" in address else address
    assert refusal(f"http://{literal}/image?signature=s3cr3t") == (NOT_PUBLIC)

    monkeypatch.setattr(socket, "getaddrinfo", Names([address]))
    assert refusal("https://files.example.com/image?signature=s3cr3t") == (NOT_PUBLIC)
    assert dialled == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST"])
def test_localhost_is_private_however_it_is_written(
    dialled: list[str], host: str
) -> None:
    """By this machine's own names."""
    assert "does not resolve to a public address" in refusal(f"http://{host}/")
    assert dialled == []


def test_an_address_with_a_scope_is_private(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    """Even if it looks public: it holds on one link alone."""
    monkeypatch.setattr(socket, "getaddrinfo", Names(["2606:4700::1111%1"]))

    assert "does not resolve to a public address" in refusal(
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
    """Up to the edges of the private ones."""
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(SourceBroken) as broken:
        open_source(f"http://{literal}/", NOBODY)

    assert str(broken.value) == "The source did not respond over HTTP; check its URI."
    assert dialled == [address]


def test_one_private_address_of_a_name_is_too_many(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    """Whichever of them would have been connected to."""
    for addresses in ([PUBLIC, "10.0.0.1"], ["::1", PUBLIC]):
        monkeypatch.setattr(socket, "getaddrinfo", Names(addresses))
        assert "does not resolve to a public address" in refusal(
            "http://files.example.com/"
        )

    assert dialled == []


def test_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that turns private after its check is not asked again."""
    names = Names([PUBLIC], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with Server(response()) as server, internet(monkeypatch, server) as dialled:
        data = read_all(open_source("http://files.example.com/", NOBODY))

    assert data == DATA
    assert dialled == [(PUBLIC, 80)]
    assert names.asked == ["files.example.com"]
    assert "Host: files.example.com\r\n" in server.requests[0]


def test_a_name_that_turns_private_before_a_redirect_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each connection has a look-up and a check of its own, to the same name, too."""
    names = Names([PUBLIC], ["10.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with (
        Server(redirect("/again"), response()) as server,
        internet(monkeypatch, server) as dialled,
    ):
        assert "does not resolve to a public address" in refusal(
            "http://files.example.com/"
        )

    assert dialled == [(PUBLIC, 80)]
    assert len(server.requests) == 1


def test_a_connection_that_leads_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peer is what was checked, or nothing is sent."""
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC]))
    with (
        Server(response()) as server,
        internet(monkeypatch, server, peer="127.0.0.1"),
    ):
        assert refusal("http://files.example.com/") == (
            "The source's connection has an unexpected address."
        )

    assert server.requests == []


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses does no harm, such as IPv6 where there is none."""
    with Server(response()) as server:
        names = Names(["::1", "127.0.0.2", "127.0.0.1"])
        monkeypatch.setattr(socket, "getaddrinfo", names)
        allowed = frozenset({("files.example.com", None)})
        source = open_source(server.uri(host="files.example.com"), allowed)

        assert read_all(source) == DATA


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST."])
@pytest.mark.parametrize("with_port", [True, False])
def test_what_the_setting_names_may_be_anywhere(host: str, with_port: object) -> None:
    """With any port, or the one that it names."""
    with Server(response()) as server:
        allowed = parse_allowed(f"{host}:{server.port}" if with_port else host)

        assert read_all(open_source(server.uri(host=host), allowed)) == DATA


def test_what_the_setting_does_not_name_is_refused(dialled: list[str]) -> None:
    """Another port, another name, or the address of a name that it names."""
    allowed = parse_allowed("127.0.0.1:81,localhost:80,169.254.169.254:80")
    for uri in ("http://127.0.0.1/", "https://localhost/", "http://127.0.0.2:80/"):
        assert refusal(uri, allowed) == NOT_PUBLIC
    for uri in ("http://127.0.0.2:81/", "http://169.254.169.254:8080/"):
        assert refusal(uri, allowed) == PORT

    assert dialled == []


@pytest.mark.parametrize("port", [1, 22, 79, 81, 444, 6379, 8080, 8443, 65535])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_only_ports_80_and_443_are_connected_to(
    dialled: list[str], scheme: str, port: int
) -> None:
    """The service is no scanner of ports: the name is not even resolved."""
    assert refusal(f"{scheme}://{PUBLIC}:{port}/") == PORT
    assert refusal(f"{scheme}://no-such-name.invalid:{port}/") == PORT
    assert dialled == []


@pytest.mark.parametrize("uri", [f"http://{PUBLIC}:443/", f"https://{PUBLIC}:80/"])
def test_either_port_may_be_used_by_either_scheme(dialled: list[str], uri: str) -> None:
    """A port that is allowed is allowed for http and https."""
    with pytest.raises(SourceBroken):
        open_source(uri, NOBODY)

    assert dialled == [PUBLIC]


def test_a_redirect_to_another_port_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each connection is checked by itself."""
    with (
        Server(redirect(f"http://{PUBLIC}:8080/")) as server,
        internet(monkeypatch, server) as connected,
    ):
        assert refusal(f"http://{PUBLIC}/") == PORT

    assert connected == [(PUBLIC, 80)]


def test_the_setting_may_name_another_port(dialled: list[str]) -> None:
    """Of one host, or all ports of a host."""
    for allowed in (f"{PUBLIC}:8080", PUBLIC):
        with pytest.raises(SourceBroken):
            open_source(f"http://{PUBLIC}:8080/", parse_allowed(allowed))

    assert dialled == [PUBLIC, PUBLIC]


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (socket.EAI_AGAIN, SourceBroken, RETRY),
        (socket.EAI_FAIL, SourceBroken, RETRY),
        (socket.EAI_NONAME, SourceRefused, NOT_PUBLIC),
        (socket.EAI_NODATA, SourceRefused, NOT_PUBLIC),
    ],
)
def test_a_name_that_does_not_exist_is_final(
    monkeypatch: pytest.MonkeyPatch, failure: int, kind: type[Exception], words: str
) -> None:
    """Another failure of DNS is retried."""
    names = Names(socket.gaierror(failure, "as told by DNS"))
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with pytest.raises(kind) as failed:
        open_source("http://files.example.com/", NOBODY)

    assert str(failed.value) == words
