"""An issuer's tokens as tests make them, and the identity that is to believe them."""

import base64
import json
from collections.abc import Callable
from typing import Any

from chalicelib.identity.methods import Identify, choose_identity
from infra.local.issuer import AUDIENCE, Issuer

DISCOVERY = "/.well-known/openid-configuration"
Claims = dict[str, Any]


def choose(url: str, **settings: str) -> Identify:
    """Make the identity of an issuer at a URL."""
    environ = {
        "OIDC_ISSUER": url,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_ALGORITHMS": "RS256,ES256,EdDSA",
        **settings,
    }
    return choose_identity("oidc", environ)


def claims(issuer: Issuer, **changes: Any) -> Claims:
    """Return good claims with some of them changed; one that is `...` is left out."""
    changed = {**issuer.claims("alice", "producer", "member"), **changes}
    return {name: value for name, value in changed.items() if value is not ...}


def part(document: Any) -> str:
    """Write a part of a token."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def with_header(header: Any) -> Callable[[Issuer], str]:
    """
    Return the forger of a token that has a header of one's own and a true signature.
    """

    def forge(issuer: Issuer) -> str:
        _, payload, signature = issuer.sign(claims(issuer)).split(".")
        return f"{part(header)}.{payload}.{signature}"

    return forge
