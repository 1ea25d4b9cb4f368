"""
Who may call a local run, and what tells it: nothing, a Keystone, or an issuer of JWTs.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from infra.local.examples import DEVELOPERS, People

EXTERNAL = {"keystone": "OS_AUTH_URL", "oidc": "OIDC_ISSUER"}
"""The setting that names somebody else's, so that none is started."""

OF_EXTERNAL = {
    "keystone": re.compile(
        "OS_(CACERT|PASSWORD|SYSTEM_SCOPE|(APPLICATION_CREDENTIAL|USER|PROJECT).*)"
        "|KEYSTONE_CREDENTIAL"
    ),
    "oidc": re.compile("OIDC_(AUDIENCE|ALGORITHMS|[A-Z]+_CLAIM|ROLE_MAP)"),
}
"""
The settings that belong to that one, and would not fit the one that is started here.
"""


@dataclass(frozen=True)
class Known:
    """Who may call: people, where their tokens are known, and what to tell of them.

    Commands name tokens by `words`. In a cloud `openstack` finds them by what is told.
    """

    people: People | None
    told: list[str]
    words: People | None = None
    in_a_cloud: bool = False


@contextmanager
def known(way: str, url: str) -> Iterator[Known]:
    """Start what a way of identification needs, for a service that will be at a URL.

    Its settings are put in the environment.
    """
    os.environ["AUTH"] = way
    if way == "development":
        yield Known(DEVELOPERS, _tokens(DEVELOPERS), DEVELOPERS)
    elif os.environ.get(EXTERNAL[way]):
        told = [f"Its callers are those of {os.environ[EXTERNAL[way]]}."]
        if way == "keystone":
            told.append("  TOKEN=$(openstack token issue -f value -c id)")
        yield Known(None, told)
    else:
        left = _leave_aside(way)
        with _keystone(url) if way == "keystone" else _issuer() as who:
            yield replace(who, told=[*left, *who.told])


def _leave_aside(way: str) -> list[str]:
    """
    Take what is meant for somebody else's out of the environment; give what to tell.
    """
    names = sorted(filter(OF_EXTERNAL[way].fullmatch, os.environ))
    for name in names:
        del os.environ[name]
    why = f"Left aside, as {EXTERNAL[way]} is not set: {', '.join(names)}.\n"
    return [why] if names else []


def tries(url: str, who: Known, offered: str | None) -> dict[str, str]:
    """Return three commands to try, each with what it is for.

    With examples: look, see the offer and accept it. Without: make the first image.
    """
    images = f"{url}/v2/images"
    pending = f"{images}?visibility=shared&member_status=pending"
    if who.in_a_cloud:
        return _openstack(offered)
    if who.words is None:
        curl = 'curl -s -H "X-Auth-Token: $TOKEN"'
        return {
            "See what there is, with a token of yours:": f"{curl} {images}",
            "Create an image:": f"{curl} -d '{{}}' {images}",
            "See what was offered to you:": f"{curl} '{pending}'",
        }
    people = who.words
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
            "This is the clouds.yaml to use:\n",
            file.read_text("utf-8"),
            r"unset $(env | sed -n 's/^\(OS_[A-Z0-9_]*\)=.*/\1/p')",
            f"export OS_CLIENT_CONFIG_FILE={file}\n",
            "A member is named by its project's id, which only administrators look up:",
            f"the consumer's is {people.consumer_project}.",
        ]
        yield Known(people, told, in_a_cloud=True)


@contextmanager
def _issuer() -> Iterator[Known]:
    from infra.local import issuer  # noqa: PLC0415 - as above

    with issuer.running() as started:
        os.environ["OIDC_ISSUER"] = started.url
        os.environ["OIDC_AUDIENCE"] = issuer.AUDIENCE

        def sign(user: str, project: str, role: str) -> str:
            return started.sign(started.claims(user, project, role))

        def ask_for(user: str, project: str, role: str) -> str:
            query = f"user={user}&project={project}&roles={role}"
            return f"$(curl -s '{started.url}/token?{query}')"

        told = [
            "Tokens are good for an hour. Anybody's is asked for as these two are:\n",
            f"  PRODUCER={ask_for('alice', 'producer', 'member')}",
            f"  CONSUMER={ask_for('bob', 'consumer', 'member')}",
        ]
        people = People(
            producer=sign("alice", "producer", "member"),
            consumer=sign("bob", "consumer", "member"),
            admin=sign("carol", "operators", "admin"),
            consumer_project="consumer",
        )
        words = replace(people, producer="$PRODUCER", consumer="$CONSUMER")
        yield Known(people, told, words)


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
    return f"curl -s -H \"X-Auth-Token: {token}\" {sending}'{url}'"
