"""AWS's Signature Version 4, with the signing key of a day derived once."""

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import auth

NAME: Final = "v4-with-kept-key"
"""The signature version by which botocore finds the signer."""

_KEYS_MAX: Final = 4
"""How many keys are kept: those of two days, before and after new credentials."""

_PORTS: Final = {"https": ":443", "http": ":80"}
_OTHERS: Final = frozenset(
    {
        *("authorization", "date", "x-amz-content-sha256", "x-amz-date"),
        "x-amz-security-token",
    }
)
"""The headers that a request does not have before it is signed, usually."""


class KeptKeyAuth(auth.SigV4Auth):  # type: ignore[misc] # botocore has no types
    """A signer of requests to the root of a service, with all they hold in a body.

    What has a query, another path or a body of another kind, is botocore's to sign.
    """

    def add_auth(self, request: Any) -> None:  # noqa: ANN401 - botocore's own
        """Sign a request: the same headers as botocore, over the same text."""
        url, headers = urlsplit(request.url), request.headers
        signed = {
            name.lower(): " ".join(value.split())
            for name, value in headers.items()
            if name.lower() not in auth.SIGNED_HEADERS_BLACKLIST
        }
        is_plain = (
            self.credentials is not None
            and isinstance(request.data, bytes)
            and not (request.params or url.query or url.path.strip("/"))
            and not ("@" in url.netloc or signed.keys() & _OTHERS)
        )
        if not is_plain:
            super().add_auth(request)
            return
        stamp = auth.get_current_datetime().strftime(auth.SIGV4_TIMESTAMP)
        request.context["timestamp"] = stamp
        own = {"X-Amz-Date": stamp}
        if self.credentials.token:
            own["X-Amz-Security-Token"] = self.credentials.token
        signed |= {name.lower(): value for name, value in own.items()}
        signed.setdefault("host", url.netloc.lower().removesuffix(_PORTS[url.scheme]))
        names = sorted(signed)
        lines = [f"{name}:{signed[name]}" for name in names]
        listed, payload = ";".join(names), sha256(request.data).hexdigest()
        canonical = "\n".join([request.method, "/", "", *lines, "", listed, payload])
        text = self.string_to_sign(request, canonical)
        own["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.scope(request)},"
            f" SignedHeaders={listed}, Signature={self.signature(text, request)}"
        )
        for name, value in own.items():
            headers[name] = value

    def signature(self, string_to_sign: str, request: Any) -> str:  # noqa: ANN401 - botocore's own
        """Return the signature of a string."""
        key = _signing_key(
            self.credentials.secret_key,
            request.context["timestamp"][:8],
            self._region_name,
            self._service_name,
        )
        return hmac.new(key, string_to_sign.encode(), sha256).hexdigest()


auth.AUTH_TYPE_MAPS[NAME] = KeptKeyAuth


@lru_cache(_KEYS_MAX)
def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
