"""Connections: each may fail, or be slow, and TLS proves whose it is."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.background import sources
from chalicelib.background.addresses import SourceBroken
from chalicelib.background.sources import open_source
from chalicelib.domain.import_uris import parse_allowed
from tests.sources.servers import (
    DATA,
    NOBODY,
    PUBLIC,
    Names,
    Server,
    chunked,
    read_all,
    redirect,
    refusal,
    response,
)

NO_RESPONSE = "The source did not respond over HTTP; check its URI."


def test_nobody_there_may_heal() -> None:
    """The server may be started again."""
    with Server() as server:
        uri, allowed = server.uri(), server.allowed
    with pytest.raises(SourceBroken) as broken:
        open_source(uri, allowed)

    assert str(broken.value) == NO_RESPONSE


def reset(client: socket.socket) -> None:
    """Break a connection as a crash does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_a_connection_that_breaks_may_heal() -> None:
    """Before the response, and in the middle of the data."""

    def break_off(client: socket.socket) -> None:
        client.sendall(response(DATA[:10], length=len(DATA)))
        client.recv(1)  # Until the other end has what came.
        reset(client)

    with Server(reset, break_off) as server:
        with pytest.raises(SourceBroken) as before:
            server.open()
        with server.open() as source:
            assert source.read(10) == DATA[:10]
            source._connection._sock.sendall(b"x")  # noqa: SLF001 - tells the server to
            with pytest.raises(SourceBroken) as amid:
                source.read(10)

    assert str(before.value) == NO_RESPONSE
    assert str(amid.value) == "The source broke the connection."


def drip(data: bytes, stop: threading.Event) -> Callable[[socket.socket], None]:
    """Send a byte now and then, always sooner than a timeout of one wait."""

    def respond_slowly(client: socket.socket) -> None:
        for byte in data:
            if stop.wait(0.02):
                return
            client.sendall(bytes([byte]))

    return respond_slowly


@pytest.mark.parametrize(
    ("fast", "slow", "words"),
    [
        (b"", response(), NO_RESPONSE),
        (response(b"", length=len(DATA)), DATA, "The source is too slow."),
        (chunked(end=b""), b"1;" + b"x" * 500, "The source is too slow."),
    ],
    ids=["headers", "body", "chunk size"],
)
@pytest.mark.parametrize("silent", [True, False])
def test_a_slow_source_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    fast: bytes,
    slow: bytes,
    words: str,
    silent: object,
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

    assert str(broken.value) == words
    assert time.monotonic() - begun < 4


def test_a_reader_may_allow_a_read_less_time() -> None:
    """However slowly the bytes arrive."""
    stop = threading.Event()

    def respond(client: socket.socket) -> None:
        client.sendall(response(b"", length=len(DATA)))
        drip(DATA, stop)(client)

    with Server(respond) as server:
        with server.open() as source, pytest.raises(SourceBroken) as broken:
            source.read(len(DATA), 0.1)
        stop.set()

    assert str(broken.value) == "The source is too slow."


def test_each_read_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader may store data between reads for longer than opening may take."""
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.3)
    with Server(response()) as server, server.open() as source:
        time.sleep(0.4)

        assert source.read(5000) == DATA


def test_a_connection_that_is_not_taken_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At each address, and at all of them together."""
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

    assert str(broken.value) == NO_RESPONSE
    assert seconds == [0.2, 0.2]


def test_a_name_that_is_not_resolved_in_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow name server could else keep a slot."""
    ended = threading.Event()
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(5))
    with pytest.raises(SourceBroken) as broken:
        open_source("http://files.example.com/", NOBODY)
    ended.set()

    assert str(broken.value) == "The source's name cannot be resolved; retry."


def test_all_redirects_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is quick enough, all together are not."""
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.5)

    def redirect_slowly(client: socket.socket) -> None:
        time.sleep(0.2)
        client.sendall(redirect("/"))

    with (
        Server(*[redirect_slowly] * 6) as server,
        pytest.raises(SourceBroken, match="did not respond"),
    ):
        server.open()


def test_no_message_tells_an_open_port_from_a_closed_one() -> None:
    """A closed port, a silent one, one of another protocol and TLS are one failure."""

    def hang_up(client: socket.socket) -> None:
        client.close()

    with Server() as closed:
        uris = [closed.uri()]
    with (
        Server(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", hang_up, reset) as server,
        Server(b"220 mail.example ESMTP\r\n") as mail,
    ):
        uris += [server.uri()] * 3 + [f"https://localhost:{mail.port}/"]
        outcomes = set()
        for uri in uris:
            with pytest.raises(SourceBroken) as broken:
                open_source(uri, parse_allowed("127.0.0.1,localhost"))
            outcomes.add(str(broken.value))

    assert outcomes == {NO_RESPONSE}


# TLS.


def certificate(folder: Path, *, expired: bool = False) -> tuple[Path, ssl.SSLContext]:
    """
    Make a certificate for localhost that signs itself; return its file and a server's.
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
    """The client sends the name (SNI), and its certificate must be for it."""
    trusted, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    with Server(response(), chunked(DATA, end=b""), response(), tls=tls) as server:
        uri = f"https://LocalHost.:{server.port}/"
        assert read_all(open_source(uri, server.allowed)) == DATA
        with pytest.raises(SourceBroken):
            read_all(open_source(uri, server.allowed))
        words = refusal(f"https://127.0.0.1:{server.port}/", server.allowed)

    assert words == "The source has no valid certificate: IP address mismatch."
    assert names == ["localhost", "localhost", None]
    assert f"Host: localhost:{server.port}\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("expired", "words"),
    [
        (False, "The source has no valid certificate: self-signed certificate."),
        (True, "The source has no valid certificate: certificate has expired."),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, *, expired: bool
) -> None:
    """Nothing is sent: the URI may hold a signature."""
    trusted, tls = certificate(tmp_path, expired=expired)
    if expired:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with Server(response(), tls=tls) as server:
        assert refusal(f"https://localhost:{server.port}/", server.allowed) == words

    assert server.requests == []


def test_https_does_not_lead_to_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A redirect may lead from http to https, but never back."""
    trusted, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with ExitStack() as opened:
        plain = opened.enter_context(Server(response()))
        secure = opened.enter_context(
            Server(redirect(plain.uri()), response(), tls=tls)
        )
        up = opened.enter_context(Server(redirect(f"https://localhost:{secure.port}/")))
        allowed = plain.allowed | secure.allowed | up.allowed
        assert refusal(f"https://localhost:{secure.port}/", allowed) == (
            "The source redirects from https to http, which is refused; use the URI"
            " that it redirects to."
        )
        assert read_all(open_source(up.uri(), allowed)) == DATA

    assert plain.requests == []


def test_https_where_there_is_none_may_heal() -> None:
    """A load balancer without its backends may answer so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def talk_plainly() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(response())

        thread = threading.Thread(target=talk_plainly)
        thread.start()
        uri = f"https://localhost:{listener.getsockname()[1]}/"
        with pytest.raises(SourceBroken) as broken:
            open_source(uri, parse_allowed("localhost"))
        thread.join()

    assert str(broken.value) == NO_RESPONSE
