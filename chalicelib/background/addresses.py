"""The addresses of an import's source, and whether a connection to them is allowed.

A URI is the choice of the image's owner, a redirect that of any server: neither is
trusted. A name is resolved once for each connection, each of its addresses is checked,
and the connection must be made to a checked address (OWASP's Server-Side Request
Forgery Prevention Cheat Sheet).
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from chalicelib.domain.import_uris import Place, SourceRefused, Target

PORTS: Final = frozenset({80, 443})
"""The ports that may be connected to, beside those that `IMPORT_ALLOW` names."""

# The same for a name that does not exist: it must not tell which private names do.
_NOT_PUBLIC: Final = (
    "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
)
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
# IANA IPv4 Special-Purpose Address Registry, and multicast.
_FORBIDDEN_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # Carrier-grade NAT, and Alibaba's metadata.
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, which is not in the registry.
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
# IANA IPv6 Special-Purpose Address Registry. Outside 2000::/3 are loopback, link-local,
# unique local (AWS's metadata, too) and multicast addresses, and those that embed an
# IPv4 address: mapped, compatible, and NAT64's 64:ff9b::/96 and 64:ff9b:1::/48.
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
    """The source fails at the moment; a retry may succeed."""


def resolve(target: Target, allowed: frozenset[Place]) -> list[tuple[Any, Any]]:
    """Return the socket family and the address of each address of a target's host.

    Raises:
        SourceRefused: The port or an address is not allowed, or the name is unknown.
        SourceBroken: The name cannot be resolved at the moment.
    """
    host, port = target.host, target.port
    is_allowed = bool(allowed & {(host, None), (host, port)})
    if not is_allowed and port not in PORTS:
        raise SourceRefused(
            "The source's port must be 80 or 443 (IMPORT_ALLOW permits others)."
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno in _NO_SUCH_NAME:
            raise SourceRefused(_NOT_PUBLIC) from exc
        raise SourceBroken("The source's name cannot be resolved; retry.") from exc
    addresses = [(family, address) for family, _, _, _, address in found]
    if not is_allowed and not all(_is_public(str(each[0])) for _, each in addresses):
        raise SourceRefused(_NOT_PUBLIC)
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
