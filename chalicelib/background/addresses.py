"""The addresses of an import's source, and whether a connection to them is allowed.

A URI is the choice of the image's owner, a redirect that of any server: neither is
trusted. A name is resolved once for each connection, each of its addresses is checked,
and the connection must be made to a checked address (OWASP's Server-Side Request
Forgery Prevention Cheat Sheet).
"""

import socket
from functools import partial
from ipaddress import ip_address
from typing import Any

from chalicelib.deadline import call_within
from chalicelib.domain.import_uris import (
    NOT_PUBLIC,
    Place,
    SourceRefused,
    Target,
    check_target,
    is_public,
    permits,
)

_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_UNRESOLVED = "The source's name cannot be resolved; retry."


class SourceBroken(Exception):  # noqa: N818 - as the API's errors are named
    """The source fails at the moment; a retry may succeed."""


def resolve(
    target: Target, allowed: frozenset[Place], seconds: float
) -> list[tuple[Any, Any]]:
    """Return the socket family and the address of each address of a target's host.

    Raises:
        SourceRefused: The port or an address is not allowed, or the name is unknown.
        SourceBroken: The name cannot be resolved at the moment, or in time.
    """
    check_target(target, allowed)
    look_up = partial(
        socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM
    )
    try:
        found = call_within(seconds, look_up)
    except TimeoutError as exc:
        raise SourceBroken(_UNRESOLVED) from exc
    except socket.gaierror as exc:
        if exc.errno in _NO_SUCH_NAME:
            raise SourceRefused(NOT_PUBLIC) from exc
        raise SourceBroken(_UNRESOLVED) from exc
    addresses = [(family, address) for family, _, _, _, address in found]
    public = all(is_public(ip_address(str(each[0]))) for _, each in addresses)
    if not public and not permits(allowed, target):
        raise SourceRefused(NOT_PUBLIC)
    return addresses
