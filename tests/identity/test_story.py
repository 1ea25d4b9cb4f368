"""
The whole story of a share, in Keystone mode, by the real clients, found by the catalog.

Four users of three projects: the producer's, two of the consumer's, and an operator.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.keystone import PASSWORD, PEOPLE
from tests.clients.environments import install
from tests.clients.library import Library, started
from tests.clients.terminal import Terminal, environment
from tests.identity.conftest import Cloud
from tests.readme import ROOT

pytestmark = [
    pytest.mark.clients,
    pytest.mark.keystone,
    pytest.mark.xdist_group("keystone"),
]

Libraries = Callable[[str], Library]
"""Takes the name of a cloud, and gives the program of its user."""

LIST = "image list --name fedora -f json"
PENDING = "image list --name fedora --shared --member-status pending -f json"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user who has configured nothing."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def consumer_project(cloud: Cloud) -> str:
    """The id of the consumer's project."""
    return cloud.keystone.find("project", "consumer")


@pytest.fixture(scope="module")
def openstack(cloud: Cloud, home: Path) -> Callable[[str], Terminal]:
    """The `openstack` command, by the `clouds.yaml` that was printed."""
    program = install("python-openstackclient") / "openstack"
    place = home / "clouds.yaml"
    shutil.copyfile(cloud.keystone.home / "clouds.yaml", place)
    file = {"OS_CLIENT_CONFIG_FILE": str(place)}
    return lambda name: Terminal(program, home, {**file, "OS_CLOUD": name})


def programs(cloud: Cloud, home: Path, client: str, module: str) -> Iterator[Libraries]:
    """Start the program that uses a client's library, which signs in by itself."""

    def token(name: str) -> str:
        user, project, _ = PEOPLE[name]
        auth = {
            "auth_url": cloud.keystone.url,
            "username": user,
            "password": PASSWORD,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return json.dumps(auth)

    with started(install(client), module, "", home) as process:
        yield lambda name: Library(process, token(name))


@pytest.fixture
def sdk(cloud: Cloud, home: Path) -> Iterator[Libraries]:
    """The library openstacksdk."""
    yield from programs(cloud, home, "openstacksdk", "openstack")


@pytest.fixture
def glanceclient(cloud: Cloud, home: Path) -> Iterator[Libraries]:
    """The library python-glanceclient."""
    yield from programs(cloud, home, "python-glanceclient", "glanceclient")


def test_openstack_tells_the_story(
    openstack: Callable[[str], Terminal], consumer_project: str
) -> None:
    """
    Offered, seen by the consumer's reader who can't answer, accepted, and taken back.
    """
    producer, consumer, reader, admin = map(openstack, PEOPLE)
    image_id = producer.json("image create fedora")["id"]
    fedora = [{"ID": image_id, "Name": "fedora", "Status": "queued"}]
    accept = f"image set --accept {image_id}"

    shared = producer.json(f"image add project {image_id} {consumer_project}")
    assert (shared["member_id"], shared["status"]) == (consumer_project, "pending")
    assert reader.prompt(PENDING, LIST) == [fedora, []]
    assert reader.refused(accept).startswith("ForbiddenException: 403")
    assert consumer.prompt(accept, LIST) == [fedora]
    members = f"image member list {image_id} -f json"
    unshare = f"image remove project {image_id} {consumer_project}"
    (member,), after = producer.prompt(members, unshare, members)
    assert (member["Member ID"], member["Status"]) == (consumer_project, "accepted")
    assert after == []
    gone = consumer.refused(f"image show {image_id}")
    assert gone == f"No Image found for {image_id}"
    (listed,) = admin.prompt(LIST, f"image delete {image_id}")
    assert fedora[0] in listed


def test_openstacksdk_tells_the_story(sdk: Libraries, consumer_project: str) -> None:
    """The same."""
    producer, consumer, reader, admin = map(sdk, PEOPLE)
    image_id = producer.do("image.create_image", "mint")["id"]
    member = (consumer_project, image_id)
    accept = ("image.update_member", *member)

    shared = producer.do("image.add_member", image_id, member_id=consumer_project)
    assert shared["status"] == "pending"
    assert reader.refused(*accept, status="accepted") == "ForbiddenException"
    assert consumer.do(*accept, status="accepted")["status"] == "accepted"
    assert [image["id"] for image in reader.do("image.images", name="mint")] == [
        image_id
    ]
    producer.do("image.remove_member", *member)
    assert consumer.refused("image.get_image", image_id) == "NotFoundException"
    admin.do("image.delete_image", image_id)
    assert producer.refused("image.get_image", image_id) == "NotFoundException"


def test_glanceclient_tells_the_story(
    glanceclient: Libraries, consumer_project: str
) -> None:
    """The same."""
    producer, consumer, reader, admin = map(glanceclient, PEOPLE)
    image_id = producer.do("images.create", name="arch")["id"]
    member = (image_id, consumer_project)
    accept, arch = ("image_members.update", *member, "accepted"), {"name": "arch"}

    assert producer.do("image_members.create", *member)["status"] == "pending"
    assert reader.refused(*accept) == "HTTPForbidden"
    assert consumer.do(*accept)["status"] == "accepted"
    assert [image["id"] for image in reader.do("images.list", filters=arch)] == [
        image_id
    ]
    producer.do("image_members.delete", *member)
    assert consumer.refused("images.get", image_id) == "HTTPNotFound"
    admin.do("images.delete", image_id)
    assert producer.refused("images.get", image_id) == "HTTPNotFound"


def test_the_documents_commands_work(cloud: Cloud, home: Path) -> None:
    """Those of docs/identity.md, in the shell of a user who has another cloud."""
    text = (ROOT / "docs" / "identity.md").read_text("utf-8")
    (block,) = re.findall(r"```console\n(\$ unset .*?)```", text, re.DOTALL)
    (offered,) = re.findall(r"image set --accept (\S+)\n", cloud.run.greeting)
    (file,) = re.findall(r"export OS_CLIENT_CONFIG_FILE=(\S+)", cloud.run.greeting)
    script = re.sub(r"(?m)^\$ ", "", block)
    script = script.replace("<the file that it printed>", file)
    script = script.replace("<image id>", offered)
    # Other tests find the offer as it was.
    script += f"openstack --os-cloud consumer image set --pending {offered}\n"

    path = os.pathsep.join([str(install("python-openstackclient")), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-euc", script],
        cwd=home,
        env=environment(home, OS_AUTH_TYPE="admin_token", OS_TOKEN="t", PATH=path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "debian-13" in done.stdout
    assert offered in done.stdout
