"""The addresses of an import's source, and whether they may be connected to.

What a URI names is the owner's choice, and what it redirects to is anyone's: none of it
is believed. A name is looked up once for each connection, each of its addresses is
checked, and the connection is to be made to just what was checked (OWASP's Server-Side
Request Forgery Prevention Cheat Sheet).
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Any

from chalicelib.domain.import_uris import Place, SourceRefused, Target

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


class SourceBroken(Exception):  # noqa: N818 - as the API's errors are named
    """The source fails just now; another try may help."""


def look_up(target: Target, allowed: frozenset[Place]) -> list[tuple[Any, Any]]:
    """Give the addresses to connect to, if each of them may be connected to.

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


def _is_public(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_IPV4)
    return (
        address.scope_id is None
        and address in _UNICAST_IPV6
        and not any(address in network for network in _FORBIDDEN_IPV6)
    )
