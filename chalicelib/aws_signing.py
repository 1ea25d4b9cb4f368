"""AWS's Signature Version 4, with the signing key of a day derived once."""

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from botocore.auth import AUTH_TYPE_MAPS, SigV4Auth

NAME: Final = "v4-with-kept-key"
"""The signature version by which botocore finds the signer."""

_KEYS_MAX: Final = 4
"""How many keys are kept: those of two days, before and after new credentials."""


class KeptKeyAuth(SigV4Auth):  # type: ignore[misc] # botocore has no types
    """botocore's signer, which derives the key of each request anew but for this."""

    def signature(self, string_to_sign: str, request: Any) -> str:  # noqa: ANN401 - botocore's own
        """Return the signature of a string."""
        key = _signing_key(
            self.credentials.secret_key,
            request.context["timestamp"][:8],
            self._region_name,
            self._service_name,
        )
        return hmac.new(key, string_to_sign.encode(), sha256).hexdigest()


AUTH_TYPE_MAPS[NAME] = KeptKeyAuth


@lru_cache(_KEYS_MAX)
def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
