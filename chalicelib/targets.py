"""
A target: what a URI names, and whether anything may be fetched from there.

What a URI names is the owner's choice, and what it redirects to is anyone's: none of it
is believed. A name is looked up once for each connection, each of its addresses is
checked, and the connection is to be made to just what was checked (OWASP's Server-Side
Request Forgery Prevention Cheat Sheet).
"""

import re
import socket
import string
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

URI_MAX: Final = 4096
"""
The length of a URI: an S3 URL with the longest token has about 2,500 characters.
"""

Place = tuple[str, int | None]
"""
A host as `IMPORT_ALLOW` names it, and the port; None is any port.
"""

_PORTS: Final = {"http": 80, "https": 443}
_HOST_MAX = 253
_PORT_MAX = 65535
_PLACE = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

# IANA IPv4 Special-Purpose Address Registry, and multicast.
_FORBIDDEN_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # Carrier-grade NAT, and Alibaba's metadata.
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, though the registry does not know it.
        "169.254.0.0/16",  # Link-local, and AWS's metadata.
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # Relays of 6to4.
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# IANA IPv6 Special-Purpose Address Registry. Out of 2000::/3 are loopback, link-local,
# unique local (AWS's metadata, too) and multicast addresses, and those that hold one of
# IPv4: mapped, compatible, and NAT64's 64:ff9b::/96 and 64:ff9b:1::/48.
_UNICAST_IPV6 = IPv6Network("2000::/3")
_FORBIDDEN_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Protocols: Teredo, ORCHID, benchmarks.
        "2001:db8::/32",
        "2002::/16",  # 6to4.
        "3fff::/20",
    )
)


class SourceRefused(Exception):  # noqa: N818 - as the API's errors are named
    """
    Nothing can or may be fetched there; another try will not help.
    """


class BadUri(SourceRefused, ValueError):  # noqa: N818 - as above
    """
    No URI that could ever be fetched; the message says what it must be.
    """


class SourceBroken(Exception):  # noqa: N818 - as the API's errors are named
    """
    The source fails just now; another try may help.
    """


@dataclass(frozen=True, slots=True)
class Target:
    """
    What a URI names: where to ask, and what for.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """
        The host as a URI has it, and the port unless it is the scheme's own.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """
        The URI, without a fragment.
        """
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_allowed(text: str) -> frozenset[Place]:
    """
    Read the setting `IMPORT_ALLOW`: `host` or `host:port`, separated by commas.

    Raises:
        ValueError: It is something else; the message names the setting.
    """
    if not text.strip():
        return frozenset()
    try:
        return frozenset(_read_place(entry.strip()) for entry in text.split(","))
    except ValueError:
        raise ValueError(
            "The setting IMPORT_ALLOW must name hosts as host or host:port, separated"
            f" by commas, IPv6 addresses in brackets, not {text!r}."
        ) from None


def parse_uri(uri: str) -> Target:
    """
    Read a URI: http or https, with a host; where it leads is seen later.

    Raises:
        BadUri: It is none that could ever be fetched.
    """
    if len(uri) > URI_MAX:
        raise BadUri(f"The URI must have at most {URI_MAX} characters.")
    if not re.fullmatch(r"[!-~]+", uri) or "\\" in uri:
        raise BadUri(
            "The URI must be of ASCII without spaces; the rest is escaped: %20."
        )
    if not uri.lower().startswith(("http://", "https://")):
        raise BadUri("The URI must begin with http:// or https://.")
    try:
        split = urlsplit(uri)
        host, port = _read_place(split.netloc)
    except ValueError:
        raise BadUri(
            "The URI must name a host as it is written in DNS, or an IP address, with"
            " no user and no password."
        ) from None
    path = f"{split.path or '/'}{'?' if split.query else ''}{split.query}"
    return Target(split.scheme, host, port or _PORTS[split.scheme], path)


def follow(target: Target, location: str) -> Target:
    """
    Give where a target redirects to, which is held to the same form.

    Raises:
        SourceRefused: Nothing that could be fetched, or from https back to http.
    """
    if not location:
        raise SourceRefused("The source redirects without saying where to.")
    try:
        # As browsers and urllib.request do, where a server forgets to.
        escaped = quote(location, safe=string.punctuation, encoding="iso-8859-1")
        there = parse_uri(urljoin(target.uri, escaped))
    except ValueError:
        raise SourceRefused(
            "The source redirects to what is no URI of http or https with a host."
        ) from None
    if target.scheme == "https" and there.scheme != "https":
        raise SourceRefused("The source redirects from https to http.")
    return there


def look_up(target: Target, allowed: frozenset[Place]) -> list[tuple[Any, Any]]:
    """
    Give the addresses to connect to, if each of them may be connected to.

    Each is a family of sockets and what such a socket connects to.

    Raises:
        SourceRefused: One may not be, or the name is not known.
        SourceBroken: The name cannot be looked up just now.
    """
    host, port = target.host, target.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno in _NO_SUCH_NAME:
            raise SourceRefused(
                "The source is at no address that anything may be fetched from."
            ) from exc
        raise SourceBroken("The source cannot be looked up just now.") from exc
    addresses = [(family, address) for family, _, _, _, address in found]
    if not allowed & {(host, None), (host, port)}:
        for _, address in addresses:
            if not _is_public(str(address[0])):
                raise SourceRefused(
                    "The source is at no address that anything may be fetched from."
                )
    return addresses


def _read_place(text: str) -> Place:
    """
    Read `host` or `host:port`.

    A number is no name: an IPv4 address is written in four decimal parts alone, though
    `getaddrinfo` takes `2130706433`, `0x7f.1` and `0177.0.0.1`, too.
    """
    match = _PLACE.fullmatch(text.lower())
    if match is None:
        raise ValueError("No host.")
    ipv6, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 1 <= port <= _PORT_MAX:
        raise ValueError("No port.")
    if ipv6:
        return str(IPv6Address(ipv6)), port
    host = name.removesuffix(".")
    labels = host.split(".")
    if len(host) > _HOST_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("No name.")
    if _NUMBER.fullmatch(labels[-1]):
        host = str(IPv4Address(host))
    return host, port


def _is_public(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_IPV4)
    return (
        address.scope_id is None
        and address in _UNICAST_IPV6
        and not any(address in network for network in _FORBIDDEN_IPV6)
    )
