"""
Tokens of a real Keystone, given to the service over HTTP: whom each makes its caller.
"""

import os
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.keystone import PASSWORD, PEOPLE, SERVICE, scope_to
from tests.actors import Response, over_http
from tests.identity.conftest import Cloud

pytestmark = [pytest.mark.keystone, pytest.mark.xdist_group("keystone")]

Rule = dict[str, str]


@dataclass(frozen=True)
class User:
    """Somebody with a token, who calls the service."""

    cloud: Cloud
    token: str
    project_id: str = ""
    user_id: str = ""

    def ask(self, method: str, target: str, body: bytes = b"") -> Response:
        """Send a request with the token."""
        headers = {"X-Auth-Token": self.token, "Accept": "application/json"}
        return over_http(self.cloud.run.url)(method, target, headers, body)

    def make_image(self) -> str:
        """Create an image; return its id."""
        response = self.ask("POST", "/v2/images", b"{}")
        assert response.status == 201, response.body
        return str(response.document["id"])

    def restricted(self, rules: list[Rule] | None, **fields: Any) -> "User":
        """Be the same by an application credential, which may have access rules."""
        wanted: dict[str, Any] = {"name": uuid.uuid4().hex, **fields}
        if rules is not None:
            wanted["access_rules"] = rules
        made = self.cloud.keystone.call(
            "POST",
            f"/users/{self.user_id}/application_credentials",
            {"application_credential": wanted},
            self.token,
        )["application_credential"]
        token, _ = self.cloud.keystone.authenticate(
            {
                "methods": ["application_credential"],
                "application_credential": {"id": made["id"], "secret": made["secret"]},
            }
        )
        return User(self.cloud, token, self.project_id, self.user_id)


def sign_in(cloud: Cloud, name: str) -> User:
    """Be one of the four who are always there."""
    user, project, _ = PEOPLE[name]
    token, said = cloud.keystone.sign_in(user, PASSWORD, scope_to(project))
    return User(cloud, token, said["project"]["id"], said["user"]["id"])


def somebody(cloud: Cloud, role: str = "member") -> User:
    """Be a new user of a new project."""
    name = uuid.uuid4().hex
    cloud.keystone.add_user(name, f"project-{name}", role)
    token, said = cloud.keystone.sign_in(name, PASSWORD, scope_to(f"project-{name}"))
    return User(cloud, token, said["project"]["id"], said["user"]["id"])


def rule(method: str, path: str, service: str = "image") -> Rule:
    """Make an access rule."""
    return {"service": service, "method": method, "path": path}


def test_the_caller_is_whom_the_token_names(cloud: Cloud) -> None:
    """
    Its project owns what it makes; another one does not see it, an administrator does.
    """
    producer, consumer, admin = (
        sign_in(cloud, name) for name in ("producer", "consumer", "admin")
    )

    image_id = producer.make_image()
    path = f"/v2/images/{image_id}"

    assert producer.ask("GET", path).document["owner"] == producer.project_id
    assert consumer.ask("GET", path).status == 404
    assert admin.ask("GET", path).status == 200


def test_a_reader_reads(cloud: Cloud) -> None:
    """What its project has, and changes none of it."""
    consumer, reader = sign_in(cloud, "consumer"), sign_in(cloud, "reader")
    path = f"/v2/images/{consumer.make_image()}"

    assert reader.ask("GET", path).status == 200
    assert reader.ask("POST", "/v2/images", b"{}").status == 403
    assert reader.ask("DELETE", path).status == 403
    assert consumer.ask("DELETE", path).status == 204


def test_an_application_credential_is_its_user(cloud: Cloud) -> None:
    """In its project, with its roles, and everywhere where it has no access rules."""
    producer = sign_in(cloud, "producer")
    application = producer.restricted(None)

    image_id = application.make_image()

    owner = producer.ask("GET", f"/v2/images/{image_id}").document["owner"]
    assert owner == producer.project_id
    assert application.ask("DELETE", f"/v2/images/{image_id}").status == 204


def test_an_access_rule_allows_what_it_says(cloud: Cloud) -> None:
    """
    Its method and its paths of the service `image`; all else is 401, as elsewhere.
    """
    producer = sign_in(cloud, "producer")
    image_id = producer.make_image()
    image, members = f"/v2/images/{image_id}", f"/v2/images/{image_id}/members"

    def allowed(*rules: Rule) -> list[int]:
        user = producer.restricted(list(rules))
        asked = (("GET", image), ("GET", members), ("GET", "/v2/images"))
        statuses = [user.ask(method, path).status for method, path in asked]
        return [*statuses, user.ask("POST", "/v2/images", b"{}").status]

    assert allowed(rule("GET", "/v2/images/{image_id}")) == [200, 401, 401, 401]
    assert allowed(rule("GET", "/v2/images/*")) == [200, 401, 401, 401]
    assert allowed(rule("GET", "/v2/images/**")) == [200, 200, 401, 401]
    assert allowed(rule("GET", "/v2/**"), rule("POST", "/v2/images")) == [
        *(200, 200, 200, 201)
    ]
    assert allowed(rule("GET", "/v2/images/*/members")) == [401, 200, 401, 401]
    assert allowed(rule("POST", "/v2/images/**")) == [401, 401, 401, 401]
    assert allowed(rule("GET", "/**", service="compute")) == [401, 401, 401, 401]


def test_an_access_rule_is_not_got_round(cloud: Cloud) -> None:
    """By writing the path otherwise."""
    producer = sign_in(cloud, "producer")
    image_id = producer.make_image()
    user = producer.restricted([rule("GET", "/v2/images/*")])

    for path in (
        f"/v2/images/{image_id}%2Fmembers",
        f"/v2/images/{image_id}/members/",
        f"/v2/images/{image_id}/",
        f"/v2/images/x/../{image_id}/members",
        "/v2/images/",
    ):
        assert user.ask("GET", path).status in (401, 404), path


def test_a_service_token_lifts_no_rule(cloud: Cloud) -> None:
    """Nor does it make an expired token good."""
    user, project, _ = SERVICE
    service, _ = cloud.keystone.sign_in(user, PASSWORD, scope_to(project))
    headers = {"X-Service-Token": service}
    send = over_http(cloud.run.url)

    for make in (outside_its_rules, expired):
        sent = {"X-Auth-Token": make(cloud).token, **headers}
        assert send("GET", "/v2/images", sent, b"").status == 401


@pytest.mark.parametrize("kind", ["unscoped", "domain", "system"])
def test_a_token_without_a_project_has_no_role(cloud: Cloud, kind: str) -> None:
    """Not even the administrator's: it reads schemas, and no image."""
    keystone = cloud.keystone
    keystone.call(
        "PUT",
        f"/domains/default/users/{keystone.find('user', 'admin')}"
        f"/roles/{keystone.find('role', 'admin')}",
    )
    scopes: dict[str, Any] = {
        "unscoped": "unscoped",
        "domain": {"domain": {"id": "default"}},
        "system": {"system": {"all": True}},
    }
    token, _ = keystone.sign_in("admin", keystone.password, scopes[kind])
    image_id = sign_in(cloud, "producer").make_image()
    user = User(cloud, token)

    assert user.ask("GET", "/v2/images").status == 403
    assert user.ask("POST", "/v2/images", b"{}").status == 403
    assert user.ask("GET", f"/v2/images/{image_id}").status == 403
    assert user.ask("GET", "/v2/schemas/image").status == 200


def test_a_role_that_means_nothing_here_is_none(cloud: Cloud) -> None:
    """
    Such as Keystone's own `manager` without what it implies, or one of an operator's.
    """
    cloud.keystone.make("role", name="auditor")

    assert somebody(cloud, "auditor").ask("GET", "/v2/images").status == 403


def revoked(cloud: Cloud) -> User:
    """Have a token that its user revoked."""
    user = somebody(cloud)
    cloud.keystone.revoke(user.token)
    return user


def of_a_deleted_project(cloud: Cloud) -> User:
    """Have a token for a project that is gone."""
    user = somebody(cloud)
    cloud.keystone.call("DELETE", f"/projects/{user.project_id}")
    return user


def of_a_disabled_user(cloud: Cloud) -> User:
    """Have a token of a user who was shut out."""
    user = somebody(cloud)
    change = {"user": {"enabled": False}}
    cloud.keystone.call("PATCH", f"/users/{user.user_id}", change)
    return user


def expired(cloud: Cloud) -> User:
    """Have a token whose time is over, as its application credential's is."""
    end = datetime.now(UTC) + timedelta(seconds=5)  # A busy machine is slow to ask.
    text = end.strftime("%Y-%m-%dT%H:%M:%S.%f")
    user = sign_in(cloud, "producer").restricted(None, expires_at=text)
    while datetime.now(UTC) < end + timedelta(seconds=1):
        time.sleep(0.1)
    return user


def outside_its_rules(cloud: Cloud) -> User:
    """Have a token that is good for something else."""
    return sign_in(cloud, "producer").restricted([rule("GET", "/v2/schemas/*")])


def test_every_bad_token_gets_the_same_answer(cloud: Cloud) -> None:
    """401, where to get a good one, and not a word of what was wrong."""
    good = sign_in(cloud, "producer").token
    bad = [
        *(make(cloud).token for make in (revoked, of_a_deleted_project)),
        *(make(cloud).token for make in (of_a_disabled_user, expired)),
        outside_its_rules(cloud).token,
        *("", " ", "junk", good[:-1], f"{good}x", good.swapcase(), good * 60),
        *("alice:producer:member", "\xff\xfe", "a b", "a\tb", "'; --", "../../v3"),
    ]

    responses = [User(cloud, token).ask("GET", "/v2/images") for token in bad]
    responses.append(
        over_http(cloud.run.url)(
            "GET", "/v2/images", {"Accept": "application/json"}, b""
        )
    )

    refusals = {
        (
            response.status,
            response.body,
            response.headers["www-authenticate"],
            tuple(sorted(response.headers)),
        )
        for response in responses
    }
    assert len(refusals) == 1, refusals
    ((status, body, challenge, _),) = refusals
    assert status == 401
    assert challenge == f'Keystone uri="{cloud.keystone.url}"'
    assert b'"The request you have made requires authentication."' in body
    assert User(cloud, good).ask("GET", "/v2/images").status == 200


def test_no_token_reaches_the_log(cloud: Cloud) -> None:
    """Neither a good one nor a bad one, nor a password."""
    good, bad = sign_in(cloud, "consumer").token, f"bad{uuid.uuid4().hex}"
    User(cloud, good).ask("GET", "/v2/images")
    User(cloud, bad).ask("GET", f"/v2/images?{bad}")

    log = os.pread(cloud.run.log.fileno(), 10_000_000, 0).decode()

    assert "GET /v2/images 401" in log
    assert [secret for secret in (good, bad) if secret in log] == []
