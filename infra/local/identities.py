"""The identity service of a local run: none, a Keystone, or an issuer of JWTs."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from infra.local.examples import DEVELOPERS, People

_READABLE = " | python3 -m json.tool"
"""What sets the JSON that a command prints in lines."""

EXTERNAL = {"keystone": "OS_AUTH_URL", "oidc": "OIDC_ISSUER"}
"""The setting that names an external service, so that none is started."""

OF_EXTERNAL = {
    "keystone": re.compile(
        "OS_(CACERT|PASSWORD|SYSTEM_SCOPE|(APPLICATION_CREDENTIAL|USER|PROJECT).*)"
        "|KEYSTONE_CREDENTIAL"
    ),
    "oidc": re.compile(
        "OIDC_(AUDIENCE|ALGORITHMS|[A-Z]+_CLAIM|ROLE_MAP)|CONSOLE_(CLIENT_ID|SCOPE)"
    ),
}
"""The settings of an external service; they do not fit one that is started here."""


@dataclass(frozen=True)
class Callers:
    """Who may call: people, where their tokens are known, and notes for the banner.

    Commands name tokens by `shell_names`. `openstack` finds them in a clouds.yaml.
    """

    people: People | None
    notes: list[str]
    shell_names: People | None = None
    in_clouds_yaml: bool = False


@contextmanager
def start_identity(method: str, url: str) -> Iterator[Callers]:
    """Start the identity service of a method, for a service that will be at a URL.

    Its settings are put in the environment.
    """
    os.environ["AUTH"] = method
    if method == "development":
        yield Callers(DEVELOPERS, _tokens(DEVELOPERS), DEVELOPERS)
    elif os.environ.get(EXTERNAL[method]):
        notes = [f"Its callers are those of {os.environ[EXTERNAL[method]]}."]
        if method == "keystone":
            notes.append("  TOKEN=$(openstack token issue -f value -c id)")
        yield Callers(None, notes)
    else:
        unset = _unset_foreign(method)
        with _keystone(url) if method == "keystone" else _issuer(url) as callers:
            yield replace(callers, notes=[*unset, *callers.notes])


def _unset_foreign(method: str) -> list[str]:
    """Unset the settings of an external service; return a note of their names."""
    names = sorted(filter(OF_EXTERNAL[method].fullmatch, os.environ))
    for name in names:
        del os.environ[name]
    note = f"Ignored, as {EXTERNAL[method]} is not set: {', '.join(names)}.\n"
    return [note] if names else []


def tries(url: str, callers: Callers, offered: str | None) -> dict[str, str]:
    """Return three commands to try, each with what it is for.

    With examples: look, see the offer and accept it. Without: make the first image.
    """
    images = f"{url}/v2/images"
    pending = f"{images}?visibility=shared&member_status=pending"
    if callers.in_clouds_yaml:
        return _openstack(offered)
    if callers.shell_names is None:
        curl = 'curl -s -H "X-Auth-Token: $TOKEN"'
        return {
            "See what there is, with a token of yours:": f"{curl} {images}{_READABLE}",
            "Create an image:": f"{curl} -d '{{}}' {images}{_READABLE}",
            "See what was offered to you:": f"{curl} '{pending}'{_READABLE}",
        }
    people = callers.shell_names
    image_id = offered or str(uuid.uuid4())
    members = f"{images}/{image_id}/members"
    if offered:
        membership = f"{members}/{people.consumer_project}"
        return {
            "See what the producer has:": _curl(people.producer, images),
            "See what was offered to the consumer:": _curl(people.consumer, pending),
            "Accept it:": _curl(
                people.consumer, membership, "PUT", '{"status": "accepted"}'
            ),
        }
    image = f'{{"id": "{image_id}", "name": "ubuntu-24.04"}}'
    member = f'{{"member": "{people.consumer_project}"}}'
    return {
        "Create an image:": _curl(people.producer, images, "POST", image),
        "Share it:": _curl(people.producer, members, "POST", member),
        "See what was offered to the consumer:": _curl(people.consumer, pending),
    }


@contextmanager
def _keystone(url: str) -> Iterator[Callers]:
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
        notes = [
            f"Keystone serves at {started.url}.",
            f"Its administrator is admin of admin, password {started.password}.\n",
            "This is the clouds.yaml to use:\n",
            file.read_text("utf-8"),
            r"unset $(env | sed -n 's/^\(OS_[A-Z0-9_]*\)=.*/\1/p')",
            f"export OS_CLIENT_CONFIG_FILE={file}\n",
            "A member is named by its project's id, which administrators can look up:",
            f"the consumer's is {people.consumer_project}.",
        ]
        yield Callers(people, notes, in_clouds_yaml=True)


@contextmanager
def _issuer(url: str) -> Iterator[Callers]:
    from infra.local import authorization, issuer  # noqa: PLC0415 - as above

    console = f"{url}/console"
    localhost = console.replace("127.0.0.1", "localhost")
    with issuer.running(console, localhost) as started:
        os.environ["OIDC_ISSUER"] = started.url
        os.environ["OIDC_AUDIENCE"] = issuer.AUDIENCE
        os.environ["CONSOLE_CLIENT_ID"] = authorization.CLIENT_ID

        def sign(user: str, project: str, role: str) -> str:
            return started.sign(started.claims(user, project, role))

        def ask_for(user: str, project: str, role: str) -> str:
            query = f"user={user}&project={project}&roles={role}"
            return f"$(curl -s '{started.url}/token?{query}')"

        notes = [
            "Tokens expire after an hour. Get one for any user and project:\n",
            f"  PRODUCER={ask_for('alice', 'producer', 'member')}",
            f"  CONSUMER={ask_for('bob', 'consumer', 'member')}",
            "\nThe console signs in there, as one of the example users.",
        ]
        people = People(
            producer=sign("alice", "producer", "member"),
            consumer=sign("bob", "consumer", "member"),
            admin=sign("carol", "operators", "admin"),
            consumer_project="consumer",
        )
        shell_names = replace(people, producer="$PRODUCER", consumer="$CONSUMER")
        yield Callers(people, notes, shell_names)


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
    return f"curl -s -H \"X-Auth-Token: {token}\" {sending}'{url}'{_READABLE}"
