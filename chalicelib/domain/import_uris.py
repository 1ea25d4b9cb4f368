"""Import URIs and the hosts of `IMPORT_ALLOW`: their syntax, and what is permitted."""

import re
import string
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

URI_MAX: Final = 4096
"""Maximum length of a URI, in characters: an S3 URL with a token has some 2,500."""

Place = tuple[str, int | None]
"""A host as `IMPORT_ALLOW` names it, and the port; None is any port."""

PORTS: Final = frozenset({80, 443})
"""The ports that may be connected to, beside those that `IMPORT_ALLOW` names."""

# The same for a name that does not exist: it must not tell which private names do.
NOT_PUBLIC: Final = (
    "The source does not resolve to a public address (IMPORT_ALLOW permits others)."
)

_PORTS: Final = {"http": 80, "https": 443}
_HOST_MAX = 253
_PORT_MAX = 65535
_PLACE = r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::([0-9]{1,5}))?"
_LABEL = r"[a-z0-9_-]{1,63}"
_NUMBER = r"[0-9]+|0x[0-9a-f]*"

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


class SourceRefused(Exception):  # noqa: N818 - as the API's errors are named
    """The source cannot or must not be fetched; a retry does not help."""


class BadUri(SourceRefused, ValueError):  # noqa: N818 - as above
    """No URI that could ever be fetched; the message says what it must be."""


class Target(NamedTuple):
    """What a URI names: where to ask, and what for."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The host as a URI has it, and the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """The URI, without a fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_allowed(text: str) -> frozenset[Place]:
    """Parse the setting `IMPORT_ALLOW`: `host` or `host:port`, separated by commas.

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
    """Parse a URI: http or https, with a host; where it leads is seen later.

    Raises:
        BadUri: It is none that could ever be fetched.
    """
    if len(uri) > URI_MAX:
        raise BadUri(f"The URI must have at most {URI_MAX} characters.")
    if not re.fullmatch(r"[!-~]+", uri) or "\\" in uri:
        raise BadUri(
            "The URI must be ASCII without spaces; percent-encode other characters."
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


def check_target(target: Target, allowed: frozenset[Place]) -> None:
    """Check a target's port, and its address where the URI names one.

    What a name resolves to is checked for each connection.

    Raises:
        SourceRefused: One of them is not permitted.
    """
    if permits(allowed, target):
        return
    if target.port not in PORTS:
        raise SourceRefused(
            "The source's port must be 80 or 443 (IMPORT_ALLOW permits others)."
        )
    try:
        address = ip_address(target.host)
    except ValueError:
        return
    if not is_public(address):
        raise SourceRefused(NOT_PUBLIC)


def permits(allowed: frozenset[Place], target: Target) -> bool:
    """Return whether `IMPORT_ALLOW` names a target."""
    return bool(allowed & {(target.host, None), (target.host, target.port)})


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_IPV4)
    return (
        address.scope_id is None
        and address in _UNICAST_IPV6
        and not any(address in network for network in _FORBIDDEN_IPV6)
    )


def resolve_redirect(target: Target, location: str) -> Target:
    """Return the target of a redirect, after the checks of an import's URI.

    Raises:
        SourceRefused: The location is invalid, or leads from https to http.
    """
    if not location:
        raise SourceRefused("The source sends a redirect without a Location header.")
    try:
        # As browsers and urllib.request do, where a server forgets to.
        escaped = quote(location, safe=string.punctuation, encoding="iso-8859-1")
        there = parse_uri(urljoin(target.uri, escaped))
    except ValueError:
        raise SourceRefused("The source redirects to an invalid URI.") from None
    if target.scheme == "https" and there.scheme != "https":
        raise SourceRefused(
            "The source redirects from https to http, which is refused; use the URI"
            " that it redirects to."
        )
    return there


def _read_place(text: str) -> Place:
    """Parse `host` or `host:port`.

    A number is no name: an IPv4 address is written in four decimal parts alone, though
    `getaddrinfo` takes `2130706433`, `0x7f.1` and `0177.0.0.1`, too.
    """
    match = re.fullmatch(_PLACE, text.lower())
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
    if len(host) > _HOST_MAX or not all(
        re.fullmatch(_LABEL, label) for label in labels
    ):
        raise ValueError("No name.")
    if re.fullmatch(_NUMBER, labels[-1]):
        host = str(IPv4Address(host))
    return host, port
