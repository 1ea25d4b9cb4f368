"""A small OpenID Connect issuer on loopback, to try tokens and the sign-in with."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from infra.local.authorization import Authorization, Reply, origins_of

AUDIENCE: Final = "cloud-images"
VALID_SECONDS: Final = 3600

_MAKERS: Final = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}

_TEXT: Final = {"Content-Type": "text/plain"}

Json = dict[str, Any]


@dataclass
class Issuer:
    """Its address, its private keys by their ids, and what it was asked for."""

    url: str = ""
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add_key(self, key_id: str, algorithm: str = "RS256") -> None:
        """Make a key for an algorithm: RS256, ES256 or EdDSA."""
        self.keys[key_id] = (algorithm, _MAKERS[algorithm]())

    def claims(self, user: str, project: str, roles: str) -> Json:
        """Return the claims of a token for a user; the roles have commas between."""
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user,
            "iat": now,
            "nbf": now,
            "exp": now + VALID_SECONDS,
            "project_id": project,
            "roles": roles.split(","),
        }

    def sign(self, claims: Json, key_id: str | None = None) -> str:
        """
        Return the token that has these claims, by the oldest key by default.

        Whatever the claims are: `jwt.encode` would refuse some.
        """
        key_id = key_id or next(iter(self.keys))
        algorithm, key = self.keys[key_id]
        payload = json.dumps(claims).encode()
        return jwt.PyJWS().encode(payload, key, algorithm, {"kid": key_id})

    def document(self, path: str) -> Json:
        """
        Return the document at a path: what the issuer says of itself, and its keys.
        """
        if path == "/keys":
            return {"keys": [_public(*item) for item in self.keys.items()]}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def granted(self, who: str) -> Json:
        """Return the token of `user:project:roles`, as the token endpoint does."""
        token = self.sign(self.claims(*who.split(":")))
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": VALID_SECONDS,
        }


def _public(key_id: str, pair: tuple[str, Any]) -> Json:
    algorithm, key = pair
    methods = jwt.get_algorithm_by_name(algorithm)
    public: Json = methods.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": key_id, "alg": algorithm, "use": "sig"}


@contextmanager
def running(*redirect_uris: str) -> Iterator[Issuer]:
    """Run an issuer that has one key; a client may return to these addresses."""
    issuer = Issuer()
    issuer.add_key("first")
    origins = origins_of(redirect_uris)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """
            Answer with a document, or with a token: `/token?user=&project=&roles=`.
            """
            path, query = self._parts()
            if path == "/authorize":
                self._send(authorization.ask(query))
            elif path == "/token":
                who = {"user": "", "project": "", "roles": ""}
                token = issuer.sign(issuer.claims(**who | query))
                self._send(Reply(HTTPStatus.OK, _TEXT, token.encode()))
            else:
                document = json.dumps(issuer.document(path))
                self._send(Reply(HTTPStatus.OK, _TEXT, document.encode()))

        def do_POST(self) -> None:
            """Choose a user on the page, or exchange a code for a token."""
            path, _ = self._parts()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            chosen = path == "/authorize"
            self._send((authorization.choose if chosen else authorization.redeem)(form))

        def _parts(self) -> tuple[str, dict[str, str]]:
            parts = urlsplit(self.path)
            issuer.asked.append(parts.path)
            return parts.path, dict(parse_qsl(parts.query))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            origin = self.headers.get("Origin")
            if origin in origins:
                self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Vary", "Origin")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_words: object) -> None:
            """Note nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    authorization = Authorization(
        issuer.url, frozenset(redirect_uris), sign=issuer.granted
    )
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
