"""A real Keystone on loopback, with the projects and users of a local run."""

import http.client
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.local.environments import install

SERVER: Final = Path(__file__).parent / "keystone_server.py"
REQUIREMENTS: Final = Path(__file__).parent / "keystone.txt"
"""Which Keystone is installed, with all that it stands on."""

PEOPLE: Final = {
    "producer": ("alice", "producer", "member"),
    "consumer": ("bob", "consumer", "member"),
    "reader": ("rita", "consumer", "reader"),
    "admin": ("carol", "operators", "admin"),
}
"""Each cloud of the `clouds.yaml`: its user, project and role."""

PASSWORD: Final = "local"  # noqa: S105 - for users who live on this machine alone
"""Every user's password but that of Keystone's own administrator."""

SERVICE: Final = ("cloud-images", "service", "service")
"""The service's own user, project and role."""

_DEFAULT: Final = {"id": "default"}

Json = dict[str, Any]


class RefusedError(Exception):
    """Keystone refused a call."""


@dataclass
class Keystone:
    """A running Keystone, as its administrator calls it; its folder ends with it."""

    url: str
    password: str
    home: Path
    process: subprocess.Popen[str] | None = None

    @cached_property
    def admin_token(self) -> str:
        """The administrator's token."""
        return self.sign_in("admin", self.password, scope_to("admin"))[0]

    def sign_in(
        self, user: str, password: str, scope: Json | str | None = None
    ) -> tuple[str, Json]:
        """Return a token, and what it says; the scope is Keystone's own."""
        who = {"name": user, "domain": _DEFAULT, "password": password}
        return self.authenticate(
            {"methods": ["password"], "password": {"user": who}}, scope
        )

    def authenticate(
        self, identity: Json, scope: Json | str | None = None
    ) -> tuple[str, Json]:
        """Return a token for any of Keystone's methods, and what it says."""
        auth: Json = {"identity": identity}
        if scope is not None:
            auth["scope"] = scope
        headers, document = self._send("POST", "/auth/tokens", {"auth": auth}, None)
        return headers["x-subject-token"], document["token"]

    def call(
        self, method: str, path: str, document: Json | None = None, token: str = ""
    ) -> Json:
        """Make a call below `/v3`, by default as the administrator.

        Raises:
            RefusedError: Keystone answered with an error.
        """
        return self._send(method, path, document, token or self.admin_token)[1]

    def revoke(self, token: str) -> None:
        """End a token."""
        self._send("DELETE", "/auth/tokens", None, self.admin_token, subject=token)

    def make(self, kind: str, **fields: Any) -> str:  # noqa: ANN401 - JSON
        """Make a `project`, a `user` or the like; return its id."""
        path = f"/{kind.removesuffix('y')}{'ies' if kind.endswith('y') else 's'}"
        made = self.call("POST", path, {kind: fields})[kind]
        return str(made["id"])

    def find(self, kind: str, name: str) -> str:
        """Return the id of the one that has a name."""
        (found,) = self.call("GET", f"/{kind}s?name={name}")[f"{kind}s"]
        return str(found["id"])

    def add_user(self, name: str, project: str, role: str) -> str:
        """Make a user that has a role in a project, which is made where it is new."""
        known = self.call("GET", f"/projects?name={project}")["projects"]
        project_id = known[0]["id"] if known else self.make("project", name=project)
        user_id = self.make("user", name=name, password=PASSWORD)
        role_id = self.find("role", role)
        self.call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}")
        return user_id

    def _send(
        self,
        method: str,
        path: str,
        document: Json | None,
        token: str | None,
        *,
        subject: str = "",
    ) -> tuple[dict[str, str], Json]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["X-Auth-Token"] = token
        if subject:
            headers["X-Subject-Token"] = subject
        body = None if document is None else json.dumps(document)
        connection.request(method, f"{parts.path}{path}", body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise RefusedError(f"{method} {path} {response.status} {content.decode()}")
        names = {name.lower(): value for name, value in response.getheaders()}
        return names, json.loads(content or b"{}")


def scope_to(project: str) -> Json:
    """Return the scope of a project of the domain `Default`, by its name."""
    return {"project": {"name": project, "domain": _DEFAULT}}


@contextmanager
def running(image_url: str) -> Iterator[Keystone]:
    """Run a new Keystone whose catalog has the Images API at a URL."""
    commands = install(REQUIREMENTS)
    password = secrets.token_urlsafe(16)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v3"
        process = subprocess.Popen(  # noqa: S603 - as installed
            [
                *(commands / "python", "-P", "-W", "ignore"),
                *(SERVER, str(listener.fileno()), url, password),
            ],
            env={"PATH": os.environ["PATH"]},
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with process:  # It ends as its stdin does.
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        home = process.stdout.readline().strip()
        if not home:
            raise RuntimeError("Keystone ended as it started.")
        keystone = Keystone(url, password, Path(home), process)
        _furnish(keystone, image_url)
        yield keystone


def _furnish(keystone: Keystone, image_url: str) -> None:
    service_id = keystone.make("service", name="cloud-images", type="image")
    keystone.make(
        "endpoint",
        service_id=service_id,
        region_id="RegionOne",
        interface="public",
        url=image_url,
    )
    for user, project, role in (SERVICE, *PEOPLE.values()):
        keystone.add_user(user, project, role)


def clouds(auth_url: str) -> str:
    """Write the `clouds.yaml` of the local users."""
    entries = [
        f"  {cloud}:\n"
        f"    region_name: RegionOne\n"
        f"    auth:\n"
        f"      auth_url: {auth_url}\n"
        f"      username: {user}\n"
        f"      password: {PASSWORD}\n"
        f"      project_name: {project}\n"
        f"      user_domain_id: default\n"
        f"      project_domain_id: default\n"
        for cloud, (user, project, _) in PEOPLE.items()
    ]
    return "clouds:\n" + "".join(entries)


def service_environment(auth_url: str) -> dict[str, str]:
    """Return the variables by which the service itself signs in."""
    user, project, _ = SERVICE
    return {
        "OS_AUTH_URL": auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }
