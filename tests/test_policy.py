"""Who may do what, cell by cell; and that what is hidden looks absent."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller, Role
from chalicelib.errors import Forbidden
from tests.actors import DATA_TYPE, Actor, Response, Send
from tests.aws_faults import Call, recording, stored
from tests.scene import error

TABLE = """
what           visibility  owner    o.reader m.ber    m.reader another  stranger admin    nobody

list_images    private     listed   listed   absent   absent   absent   absent   listed   role
list_images    shared      listed   listed   accepted accepted absent   absent   listed   role
list_images    public      listed   listed   listed   listed   listed   listed   listed   role
list_images    community   listed   listed   absent   absent   absent   absent   absent   role

show_image     private     yes      yes      404      404      404      404      yes      role
show_image     shared      yes      yes      yes      yes      yes      404      yes      role
show_image     open        yes      yes      yes      yes      yes      yes      yes      role

change_image   private     yes      role     404      404      404      404      yes      role
change_image   shared      yes      role     no       role     no       404      yes      role
change_image   open        yes      role     no       role     no       no       yes      role

publish_image  private     never    role     404      404      404      404      yes      role
publish_image  shared      never    role     no       role     no       404      yes      role
publish_image  public      yes      role     no       role     no       no       yes      role
publish_image  community   never    role     no       role     no       no       yes      role

transfer_image private     never    role     404      404      404      404      yes      role
transfer_image shared      never    role     no       role     no       404      yes      role
transfer_image open        never    role     no       role     no       no       yes      role

upload_image   private     yes      role     404      404      404      404      yes      role
upload_image   shared      yes      role     no       role     no       404      yes      role
upload_image   open        yes      role     no       role     no       no       yes      role

download_image private     yes      role     404      404      404      404      yes      role
download_image shared      yes      role     yes      role     yes      404      yes      role
download_image open        yes      role     yes      role     yes      yes      yes      role

list_tasks     private     yes      yes      404      404      404      404      yes      role
list_tasks     shared      yes      yes      no       no       no       404      yes      role
list_tasks     open        yes      yes      no       no       no       no       yes      role

create_member  private     unshared unshared 404      404      404      404      unshared role
create_member  shared      yes      role     no       role     no       404      yes      role
create_member  open        unshared unshared unshared unshared unshared unshared unshared role

list_members   private     unshared unshared 404      404      404      404      unshared role
list_members   shared      all      all      itself   itself   itself   404      all      role
list_members   open        unshared unshared unshared unshared unshared unshared unshared role

show_member    private     404      404      404      404      404      404      404      role
show_member    shared      yes      yes      yes      yes      404      404      yes      role
show_member    open        404      404      404      404      404      404      404      role

update_member  private     unshared unshared 404      404      404      404      unshared role
update_member  shared      no       role     yes      role     404      404      yes      role
update_member  open        unshared unshared unshared unshared unshared unshared unshared role

delete_member  private     unshared unshared 404      404      404      404      unshared role
delete_member  shared      yes      role     no       role     404      404      yes      role
delete_member  open        unshared unshared unshared unshared unshared unshared unshared role
"""  # noqa: E501 - a table
"""What each caller gets, by what the image is; its members joined while it was shared.

`open` is public or community. `yes`, `listed`, `all` are successes; 404 is the look of
an empty place. The others are 403: `role` for the caller's role, `no` for what it is to
the image, `never` as `no` but for this one change, `unshared` for an image that has no
members. `accepted`: listed for a member that accepted. A member calls about its own
membership, all others about that same one; `another` is a member, too.
"""

PROJECTS = {
    "owner": ("producer", "member"),
    "o.reader": ("producer", "reader"),
    "m.ber": ("{member}", "member"),
    "m.reader": ("{member}", "reader"),
    "another": ("another", "member"),
    "stranger": ("stranger", "member"),
    "admin": ("operators", "admin"),
    "nobody": ("producer", "auditor"),
}
STATUSES = ("pending", "accepted", "rejected")
VISIBILITIES = ("private", "shared", "public", "community")

FORMATS = {"disk_format": "raw", "container_format": "bare"}

THEN = datetime(2026, 11, 24, 8, 0, 0, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 9, 30, 15, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Scene:
    """
    One image, with a member of each status, named by it, and one that is `another`.
    """

    image_id: str
    visibility: str

    def image(self, **changed: Any) -> Any:
        """The image's document."""
        unset = ("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value")
        return {
            **dict.fromkeys(unset),
            **FORMATS,
            "id": self.image_id,
            "name": "ubuntu",
            "owner": "producer",
            "visibility": self.visibility,
            "status": "queued",
            "protected": False,
            "os_hidden": False,
            "min_disk": 0,
            "min_ram": 0,
            "tags": ["lts"],
            "created_at": _text(THEN),
            "updated_at": _text(THEN),
            "self": f"/v2/images/{self.image_id}",
            "file": f"/v2/images/{self.image_id}/file",
            "schema": "/v2/schemas/image",
            **changed,
        }

    def member(self, project: str, **changed: Any) -> Any:
        """The document of a project's membership."""
        return {
            "member_id": project,
            "image_id": self.image_id,
            "status": project if project in STATUSES else "pending",
            "created_at": _text(THEN),
            "updated_at": _text(THEN),
            "schema": "/v2/schemas/member",
            **changed,
        }


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _patch(name: str, value: str) -> Any:
    return [{"op": "add", "path": f"/{name}", "value": value}]


@dataclass(frozen=True)
class Action:
    """A call of the API, and the rows of the table that tell of it.

    `words` name it in a refusal, with `{}` for the image. Without a `document`, success
    answers 204 or a list.
    """

    row: str
    words: str
    method: str
    path: str
    body: Any = None
    document: Callable[[Scene, str], Any] | None = None


IMAGE = "/v2/images/{image}"
MEMBERS = f"{IMAGE}/members"
MEMBER = f"{MEMBERS}/{{member}}"

ACTIONS = {
    "list images": Action("list_images", "list images", "GET", "/v2/images"),
    "show image": Action(
        "show_image", "show {}", "GET", IMAGE, None, lambda s, _: s.image()
    ),
    "update image": Action(
        "change_image", "update {}", "PATCH", IMAGE, _patch("os_distro", "ubuntu"),
        lambda s, _: s.image(os_distro="ubuntu", updated_at=_text(NOW)),
    ),
    "make public": Action(
        "publish_image", "update {}", "PATCH", IMAGE, _patch("visibility", "public"),
        lambda s, _: s.image(visibility="public", updated_at=_text(NOW)),
    ),
    "give to another project": Action(
        "transfer_image", "update {}", "PATCH", IMAGE, _patch("owner", "heir"),
        lambda s, _: s.image(owner="heir", updated_at=_text(NOW)),
    ),
    "add tag": Action("change_image", "update {}", "PUT", f"{IMAGE}/tags/new"),
    "remove tag": Action("change_image", "update {}", "DELETE", f"{IMAGE}/tags/lts"),
    "delete image": Action("change_image", "delete {}", "DELETE", IMAGE),
    "upload": Action("upload_image", "upload {}", "PUT", f"{IMAGE}/file", b"data"),
    "stage": Action("upload_image", "upload {}", "PUT", f"{IMAGE}/stage", b"data"),
    "download": Action("download_image", "download {}", "GET", f"{IMAGE}/file"),
    "list tasks": Action(
        "list_tasks", "list tasks", "GET", f"{IMAGE}/tasks", None,
        lambda *_: {"tasks": []},
    ),
    "add member": Action(
        "create_member", "create a member", "POST", MEMBERS, {"member": "new"},
        lambda s, _: s.member("new", created_at=_text(NOW), updated_at=_text(NOW)),
    ),
    "list members": Action("list_members", "list members", "GET", MEMBERS),
    "show member": Action(
        "show_member", "show a member", "GET", MEMBER, None, lambda s, m: s.member(m)
    ),
    "set status": Action(
        "update_member", "update a member", "PUT", MEMBER, {"status": "accepted"},
        # A status that is set to what it is already writes nothing.
        lambda s, m: s.member(
            m, status="accepted", updated_at=_text(THEN if m == "accepted" else NOW)
        ),
    ),
    "remove member": Action("delete_member", "delete a member", "DELETE", MEMBER),
}  # fmt: skip


def _cells() -> dict[tuple[str, str], dict[str, str]]:
    head, *rows = [line.split() for line in TABLE.splitlines() if line]
    return {
        (what, visibility): dict(zip(head[2:], responses, strict=True))
        for what, which, *responses in rows
        for visibility in (("public", "community") if which == "open" else (which,))
    }


CELLS = _cells()


def expected(  # noqa: PLR0911 - one return for each word of the table
    action: Action, scene: Scene, who: str, member: str
) -> tuple[int, Any]:
    """Return the whole response that a cell stands for."""
    cell = CELLS[action.row, scene.visibility][who]
    if cell == "accepted":
        cell = "listed" if member == "accepted" else "absent"
    match cell:
        case "yes" if action.document:
            return 200, action.document(scene, member)
        case "yes":
            return 204, ""
        case "listed" | "absent":
            images = [scene.image()] if cell == "listed" else []
            links = {"first": "/v2/images", "schema": "/v2/schemas/images"}
            return 200, {"images": images, **links}
        case "all" | "itself":
            itself = "another" if who == "another" else member
            projects = sorted((*STATUSES, "another")) if cell == "all" else [itself]
            members = [scene.member(project) for project in projects]
            return 200, {"members": members, "schema": "/v2/schemas/members"}
        case "404" if "{member}" in action.path:
            where = f"in the member list of the image {scene.image_id}."
            return error(404, "Not Found", f"{member} not found {where}")
        case "404":
            return error(404, "Not Found", f"No image found with ID {scene.image_id}")
        case "unshared":
            return error(403, "Forbidden", "Only shared images have members.")
        case "role":
            looks = action.method == "GET" and action.row != "download_image"
            role = "reader" if looks else "member"
            words = action.words.format("an image")
            message = f"The role {role} is required to {words}."
            return error(403, "Forbidden", message)
    never = action.row.replace("_image", " it")
    words = never if cell == "never" else action.words.format("it")
    what = {
        "owner": "The owner of an image",
        "stranger": "A project that neither owns an image nor is a member",
    }.get(who, "A member of an image")
    return error(403, "Forbidden", f"{what} may not {words}.")


@pytest.fixture
def make_scene(
    send: Send, producer: Actor, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Scene]:
    """Make an image with its members THEN; it is NOW before and after."""

    def make(visibility: str, **fields: Any) -> Scene:
        monkeypatch.setattr(clock, "now", lambda: THEN)
        image_id = producer.make_image(name="ubuntu", tags=["lts"], **FORMATS, **fields)
        producer.share(image_id, *STATUSES, "another")
        for status in ("accepted", "rejected"):
            Actor(send, status).set_status(image_id, status)
        if visibility == "deleted":
            producer.delete(f"/v2/images/{image_id}")
        else:
            admin.patch(f"/v2/images/{image_id}", _patch("visibility", visibility))
        monkeypatch.setattr(clock, "now", lambda: NOW)
        return Scene(image_id, visibility)

    monkeypatch.setattr(clock, "now", lambda: NOW)
    return make


def ask(
    send: Send, action: Action, image_id: str, who: str, member: str, **headers: str
) -> Response:
    """Make a call as one of the callers, about one member."""
    project, roles = PROJECTS[who]
    caller = Actor(send, project.format(member=member), roles)
    path = action.path.format(image=image_id, member=member)
    sent = {"Accept": "application/json"} | headers
    if isinstance(action.body, bytes):
        sent["Content-Type"] = DATA_TYPE
    return replace(caller, headers=sent).ask(action.method, path, action.body)


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("name", ACTIONS)
def test_each_caller_gets_what_the_table_says(
    name: str, visibility: str, send: Send, make_scene: Callable[..., Scene]
) -> None:
    """Whatever the member's status; and what is refused changes nothing."""
    action, scene = ACTIONS[name], make_scene(visibility)
    before, after = stored(), None
    cells = [
        (who, member)
        for who, (project, _) in PROJECTS.items()
        for member in STATUSES
        if member == STATUSES[0] or "{member}" in action.path + project
    ]
    wanted = {cell: expected(action, scene, *cell) for cell in cells}
    got = {}
    for cell in sorted(cells, key=lambda cell: wanted[cell][0] < 300):
        if wanted[cell][0] < 300 and action.method != "GET":
            after = after or stored()
            scene = make_scene(visibility)
            wanted[cell] = expected(action, scene, *cell)
        response = ask(send, action, scene.image_id, *cell)
        got[cell] = (response.status, response.document)

    assert wanted == got
    assert before == (after or stored())


ADDRESSED = {
    **{name: action for name, action in ACTIONS.items() if IMAGE in action.path},
    "list after it": Action("", "", "GET", "/v2/images?marker={image}"),
    "list it": Action("", "", "GET", "/v2/images?id=in:{image}"),
    "deactivate": Action("", "", "POST", f"{IMAGE}/actions/deactivate"),
    "reactivate": Action("", "", "POST", f"{IMAGE}/actions/reactivate"),
    "import": Action(
        "", "", "POST", f"{IMAGE}/import", {"method": {"name": "glance-direct"}}
    ),
    "begin direct upload": Action(
        "", "", "POST", "/ext/v1/images/{image}/uploads", {"size": 1}
    ),
    "list direct uploads": Action("", "", "GET", "/ext/v1/images/{image}/uploads"),
    "complete direct upload": Action(
        "", "", "POST", "/ext/v1/images/{image}/uploads/{image}/complete"
    ),
}
Seen = list[tuple[int, dict[str, str], bytes, list[Call]]]


def observe(send: Send, action: Action, image_id: str, who: str) -> Seen:
    """
    Return all that a caller sees of a response, in both forms, and the calls behind it.
    """
    seen = []
    for accept in ("application/json", "*/*"):
        with recording() as calls:
            response = ask(send, action, image_id, who, "pending", Accept=accept)
        headers = dict(response.headers)
        del headers["x-openstack-request-id"]
        seen.append((response.status, headers, response.body, calls))
    return seen


@pytest.mark.parametrize("name", ADDRESSED)
@pytest.mark.parametrize(
    ("visibility", "who"),
    [
        ("private", "stranger"),
        ("shared", "stranger"),
        ("private", "m.ber"),
        ("deleted", "owner"),
    ],
)
def test_a_hidden_image_looks_absent(
    name: str, visibility: str, who: str, send: Send, make_scene: Callable[..., Scene]
) -> None:
    """Status, headers, body and the reads behind it are those of an id never used."""
    image_id = str(uuid.uuid4())
    absent = observe(send, ADDRESSED[name], image_id, who)
    make_scene(visibility, id=image_id)

    hidden = observe(send, ADDRESSED[name], image_id, who)

    assert absent == hidden


@pytest.mark.parametrize("name", ["show member", "set status", "remove member"])
def test_a_membership_of_others_looks_absent(
    name: str, send: Send, producer: Actor
) -> None:
    """A member cannot tell whether another project is a member, too."""
    image_id = producer.make_image()
    producer.share(image_id, "another")
    absent = observe(send, ACTIONS[name], image_id, "another")
    producer.share(image_id, "pending")

    hidden = observe(send, ACTIONS[name], image_id, "another")

    assert absent == hidden


def test_an_image_for_another_project_is_refused(producer: Actor) -> None:
    """An administrator alone creates one, and the message says what is refused."""
    response = producer.post("/v2/images", {"owner": "heir"})

    wanted = error(403, "Forbidden", "An image cannot be created for another project.")
    assert wanted == (response.status, response.document)


def test_an_image_that_is_public_at_once_is_refused(producer: Actor) -> None:
    """An administrator alone publishes one, and the message says what is refused."""
    response = producer.post("/v2/images", {"visibility": "public"})

    wanted = error(403, "Forbidden", "The owner of an image may not publish it.")
    assert wanted == (response.status, response.document)


def test_an_action_of_three_words_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A longer name of an action in RULES never turns a refusal into a 500."""
    rule = policy.RULES["list_tasks"]
    monkeypatch.setitem(policy.RULES, "list_image_locations", rule)

    with pytest.raises(Forbidden, match="required to list image locations"):
        policy.require_role(
            "list_image_locations", Caller("p", "u", Role.NONE, "req-1")
        )


@pytest.mark.parametrize(
    ("method", "path", "document", "words"),
    [
        ("PUT", "/ext/v1/outgoing/{}/consumer", {}, "share an image"),
        ("DELETE", "/ext/v1/outgoing/{}/consumer", None, "revoke a share"),
        ("PUT", "/ext/v1/incoming/{}", {"status": "accepted"}, "answer an offer"),
        ("PUT", "/ext/v1/profile", {"display_name": "A"}, "update a profile"),
        ("PUT", "/ext/v1/rules/producer", {"effect": "accept"}, "update rules"),
    ],
)
def test_a_reader_is_named_the_role_that_the_extension_needs(
    method: str, path: str, document: Any, words: str, producer: Actor
) -> None:
    """And what the role is needed for, in the words of the extension."""
    target = path.format(producer.make_image())

    response = producer.using("reader").ask(method, target, document)

    message = f"The role member is required to {words}."
    assert (response.status, response.document["detail"]) == (403, message)


@pytest.mark.parametrize("path", ["incoming", "outgoing", "rules", "profile"])
def test_another_projects_side_is_an_administrators_to_read(
    path: str, producer: Actor, consumer: Actor, admin: Actor
) -> None:
    """With `?project_id=`; it sees what that project sees, as a reader."""
    consumer.put("/ext/v1/profile", {"display_name": "A"})
    target = f"/ext/v1/{path}?project_id=consumer"

    refused, read = producer.get(target), admin.get(target)

    message = "Only administrators may read what another project sees."
    assert (refused.status, refused.document["detail"]) == (403, message)
    assert (read.status, read.body) == (200, consumer.get(f"/ext/v1/{path}").body)
