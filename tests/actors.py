"""
Who calls the service in tests, and how: in process, as Lambda is called, or over HTTP.
"""

import http.client
import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from infra.local import gateway
from tests import openapi, schemas

DATA_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


@dataclass(frozen=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def document(self) -> Any:
        """The body, parsed where it says it is JSON; its text otherwise."""
        text = self.body.decode("utf-8", "replace")
        kind = self.headers.get("content-type", "")
        is_json = kind.startswith((JSON_TYPE, "application/problem+json"))
        return json.loads(text) if is_json and text else text


Send = Callable[[str, str, Mapping[str, str], bytes], Response]
"""Takes a method, a target as it stands in the request line, headers and a body."""


def in_process(app: Any) -> Send:
    """Call the Lambda handler with full API Gateway events."""

    def send(
        method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        event = gateway.event(app.routes, method, target, headers, body)
        status, pairs, content = gateway.response_of(app(event, None))
        names = {name.lower(): value for name, value in pairs}
        response = Response(status, names, content)
        return checked(method, target, headers, body, response)

    return send


def over_http(url: str) -> Send:
    """Call a server, a new connection each time."""
    parts = urlsplit(url)

    def send(
        method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            url = parts.path + quote(target, string.punctuation)
            connection.request(method, url, body or None, dict(headers))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            got = Response(response.status, names, response.read())
            return checked(method, target, headers, body, got)
        finally:
            connection.close()

    return send


def checked(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    response: Response,
) -> Response:
    """Hold a call against the served schemas and the API's description.

    Return its response.
    """
    schemas.check(response.document)
    kind = response.headers.get("content-type", "")
    openapi.check(method, target, response.status, kind, response.document)
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        openapi.check_taken(method, target, headers, body)
    return response


def followed(response: Response, headers: Mapping[str, str]) -> Response:
    """
    Follow a redirect to where the data lies, as clients do; return others as they are.

    Headers go along, the token included: no client keeps it to itself.
    """
    if response.status != 307:
        return response
    got = requests.get(response.headers["location"], headers=dict(headers), timeout=60)
    names = {name.lower(): value for name, value in got.headers.items()}
    return Response(got.status_code, names, got.content)


def token(user: str, project: str, roles: str) -> str:
    """Make a development token."""
    return f"{user}:{project}:{roles}"


@dataclass(frozen=True)
class Actor:
    """A project's user with a role, who calls the service as itself."""

    send: Send
    project: str
    roles: str = "member"
    user: str = "someone"
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"Accept": "application/json"}
    )

    def get(self, target: str) -> Response:
        """Read what stands at a path."""
        return self.ask("GET", target)

    def post(self, target: str, document: Any = None) -> Response:
        """Send a document to a path."""
        return self.ask("POST", target, document)

    def patch(self, target: str, operations: Any) -> Response:
        """Change what stands at a path, in the new dialect of JSON patch."""
        return self.ask("PATCH", target, operations)

    def put(self, target: str, document: Any = None) -> Response:
        """Put a document at a path."""
        return self.ask("PUT", target, document)

    def delete(self, target: str) -> Response:
        """Delete what stands at a path."""
        return self.ask("DELETE", target)

    def ask(self, method: str, target: str, document: Any = None) -> Response:
        """Send any request; a document that is bytes is sent as it is."""
        headers = self.signed()
        body = b""
        if isinstance(document, bytes):
            body = document
        elif document is not None:
            body = json.dumps(document).encode()
            headers["Content-Type"] = PATCH_TYPE if method == "PATCH" else JSON_TYPE
        return self.send(method, target, headers, body)

    def signed(self, **headers: str) -> dict[str, str]:
        """Return the headers of a request as itself, and some more."""
        who = token(self.user, self.project, self.roles)
        return {"X-Auth-Token": who, **self.headers, **headers}

    def upload(self, image_id: str, content: bytes, to: str = "file") -> Response:
        """Send an image's data, or stage it."""
        headers = self.signed() | {"Content-Type": DATA_TYPE}
        return self.send("PUT", f"/v2/images/{image_id}/{to}", headers, content)

    def download(self, image_id: str, **headers: str) -> Response:
        """Get an image's data, from wherever it lies."""
        target, sent = f"/v2/images/{image_id}/file", self.signed(**headers)
        return followed(self.send("GET", target, sent, b""), sent)

    def using(self, roles: str) -> "Actor":
        """Be the same project with other roles."""
        return replace(self, roles=roles)

    def make_image(self, **fields: Any) -> str:
        """Create an image; return its id."""
        response = self.post("/v2/images", fields)
        assert response.status == 201, response.body
        image_id: str = response.document["id"]
        return image_id

    def share(self, image_id: str, *projects: str) -> None:
        """Make projects members of an image."""
        for project in projects:
            response = self.post(f"/v2/images/{image_id}/members", {"member": project})
            assert response.status == 200, response.body

    def set_status(self, image_id: str, status: str) -> None:
        """Accept, reject or put off a shared image."""
        response = self.put(
            f"/v2/images/{image_id}/members/{self.project}", {"status": status}
        )
        assert response.status == 200, response.body

    def pages(self, query: str = "") -> list[list[str]]:
        """Follow the project's list to its end; give the ids on each page, in order."""
        target, pages = f"/v2/images{query}", []
        followed: set[str] = set()
        while target:
            assert target not in followed, f"{target} is a page of itself"
            followed.add(target)
            response = self.get(target)
            assert response.status == 200, response.body
            pages.append([image["id"] for image in response.document["images"]])
            target = response.document.get("next", "")
        return pages

    def listed(self, query: str = "") -> list[str]:
        """Return the ids in the project's list, in order."""
        response = self.get(f"/v2/images{query}")
        assert response.status == 200, response.body
        return [image["id"] for image in response.document["images"]]
