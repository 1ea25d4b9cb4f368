"""
Who may call a local run, and what tells it: nothing, a Keystone, or an issuer of JWTs.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.local.examples import DEVELOPERS, People

EXTERNAL = {"keystone": "OS_AUTH_URL", "oidc": "OIDC_ISSUER"}
"""
The setting that names somebody else's, so that none is started.
"""


@dataclass(frozen=True)
class Known:
    """
    Who may call: people, where their tokens are known, and what to tell of them.

    In a cloud `openstack` finds them by what is told.
    """

    people: People | None
    told: list[str]
    in_a_cloud: bool = False


@contextmanager
def known(way: str, url: str) -> Iterator[Known]:
    """
    Start what a way of identification needs, for a service that will be at a URL.

    Its settings are put in the environment.
    """
    os.environ["AUTH"] = way
    if os.environ.get(EXTERNAL.get(way, "")):
        yield Known(None, [f"Its callers are those of {os.environ[EXTERNAL[way]]}."])
    elif way == "keystone":
        with _keystone(url) as who:
            yield who
    elif way == "oidc":
        with _issuer() as who:
            yield who
    else:
        yield Known(DEVELOPERS, _tokens(DEVELOPERS))


def tries(url: str, who: Known, offered: str | None) -> dict[str, str]:
    """
    Give three commands to try, each with what it is for.

    With examples: look, see the offer and accept it. Without: make the first image.
    """
    images = f"{url}/v2/images"
    pending = f"{images}?visibility=shared&member_status=pending"
    if who.in_a_cloud:
        return _openstack(offered)
    if who.people is None:
        curl = 'curl -s -H "X-Auth-Token: $TOKEN"'
        return {
            "See what there is, with a token of yours:": f"{curl} {images}",
            "Create an image:": f"{curl} -d '{{}}' {images}",
            "See what was offered to you:": f"{curl} '{pending}'",
        }
    people = who.people
    image_id = offered or str(uuid.uuid4())
    members = f"{images}/{image_id}/members"
    if offered:
        mine = f"{members}/{people.consumer_project}"
        return {
            "See what the producer has:": _curl(people.producer, images),
            "See what was offered to the consumer:": _curl(people.consumer, pending),
            "Accept it:": _curl(people.consumer, mine, "PUT", '{"status": "accepted"}'),
        }
    image = f'{{"id": "{image_id}", "name": "ubuntu-24.04"}}'
    member = f'{{"member": "{people.consumer_project}"}}'
    return {
        "Create an image:": _curl(people.producer, images, "POST", image),
        "Share it:": _curl(people.producer, members, "POST", member),
        "See what was offered to the consumer:": _curl(people.consumer, pending),
    }


@contextmanager
def _keystone(url: str) -> Iterator[Known]:
    from infra.local import keystone  # noqa: PLC0415 - it needs what tests need

    with keystone.running(url) as started:
        os.environ.update(keystone.service_environment(started.url))
        tokens = {
            cloud: started.sign_in(user, keystone.PASSWORD, keystone.scope_to(project))
            for cloud, (user, project, _) in keystone.PEOPLE.items()
        }
        people = People(
            producer=tokens["producer"][0],
            consumer=tokens["consumer"][0],
            admin=tokens["admin"][0],
            consumer_project=tokens["consumer"][1]["project"]["id"],
        )
        file = started.home / "clouds.yaml"
        file.write_text(keystone.clouds(started.url), "utf-8")
        told = [
            f"Keystone serves at {started.url}.",
            f"Its administrator is admin of admin, password {started.password}.\n",
            file.read_text("utf-8"),
            "This is the clouds.yaml to use:\n",
            f"export OS_CLIENT_CONFIG_FILE={file}",
        ]
        yield Known(people, told, in_a_cloud=True)


@contextmanager
def _issuer() -> Iterator[Known]:
    from infra.local import issuer  # noqa: PLC0415 - as above

    with issuer.running() as started:
        os.environ["OIDC_ISSUER"] = started.url
        os.environ.setdefault("OIDC_AUDIENCE", issuer.AUDIENCE)

        def token(user: str, project: str, roles: str) -> str:
            return started.sign(started.claims(user, project, roles))

        people = People(
            producer=token("alice", "producer", "member"),
            consumer=token("bob", "consumer", "member"),
            admin=token("carol", "operators", "admin"),
            consumer_project="consumer",
        )
        another = f"{started.url}/token?user=dave&project=other&roles=reader,member"
        told = [*_tokens(people), f"Another token: curl -s '{another}'"]
        yield Known(people, told)


def _tokens(people: People) -> list[str]:
    return [
        f"Producer's token: {people.producer}",
        f"Consumer's token: {people.consumer}",
    ]


def _openstack(offered: str | None) -> dict[str, str]:
    producer, consumer = (
        f"openstack --os-cloud {cloud} image" for cloud in ("producer", "consumer")
    )
    pending = f"{consumer} list --shared --member-status pending"
    if offered:
        return {
            "See what the producer has:": f"{producer} list",
            "See what was offered to the consumer:": pending,
            "Accept it:": f"{consumer} set --accept {offered}",
        }
    return {
        "Create an image:": f"{producer} create ubuntu-24.04",
        "See what the producer has:": f"{producer} list",
        "See what was offered to the consumer:": pending,
    }


def _curl(token: str, url: str, method: str = "", body: str = "") -> str:
    sending = f"-X {method} -d '{body}' " if method else ""
    return f"curl -s -H 'X-Auth-Token: {token}' {sending}'{url}'"
