"""Each write with the condition that makes it true, whatever was done meanwhile."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, Visibility
from chalicelib.domain.members import Member, MemberStatus
from chalicelib.domain.profiles import Profile
from chalicelib.errors import Conflict, LimitExceeded, StaleError
from chalicelib.store import images, members, notes, profiles
from chalicelib.store.dynamodb import delete_items
from chalicelib.store.keys import image_key
from tests.configuring import configure
from tests.scene import at
from tests.store.scene import (
    ID,
    IMAGE,
    LATER,
    OTHER,
    PRODUCER,
    TIME,
    change,
    kept,
    load,
    share,
    unshare,
)

Act = Callable[[Image, Member, Caller], Any]
TWO = {"new": None, "newer": "hello"}
OTHERS = ("third", "fourth", "fifth")
ACCEPTED = MemberStatus.ACCEPTED
WRITES: dict[str, Act] = {
    "add": lambda i, _, c: members.add_member(i, "new", c),
    "add two": lambda i, _, c: members.add_members(i, TWO, c),
    "remove": members.remove_member,
    "revoke": members.revoke_member,
    "leave": members.leave_image,
    "accept": lambda i, m, c: members.set_member_status(i, m, ACCEPTED, c),
    "accept first": lambda i, m, c: members.set_member_status(
        i, m, ACCEPTED, c, unanswered=True
    ),
    "note": lambda i, m, c: notes.set_note(i, m, "hi", c),
    "list": lambda i, _, __: members.list_members(i),
    "update": lambda i, _, c: images.update_image(i, i._replace(min_ram=9), c),
    "delete": lambda i, _, c: images.delete_image(i, c),
    "create": lambda i, _, c: images.create_image(i, c),
}


def delete() -> None:
    """Delete the image by another request."""
    images.delete_image(load()[0], OTHER)


def answer(*statuses: MemberStatus) -> None:
    """Set the status of the membership by other requests, one after another."""
    for status in statuses:
        image, member = load()
        assert member is not None
        members.set_member_status(image, member, status, OTHER)


def share_again() -> None:
    """End the membership and make it again, by other requests."""
    unshare()
    share("consumer")


def give_away_and_share_again() -> None:
    """Change the image's owner between two memberships of a project."""
    change(owner="other")
    share_again()


MEANWHILE: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "unshared": partial(change, visibility=Visibility.PRIVATE),
    "given away": partial(change, owner="other"),
    "renamed": partial(change, name="new"),
    "unnamed": partial(change, name=None),
    "hidden": partial(change, os_hidden=True),
    "tagged": partial(change, tags=("lts",)),
    "deleted": delete,
    "one left": partial(share, "third", "fourth"),
    "full": partial(share, *OTHERS),
    "full and renamed": lambda: (share(*OTHERS), change(name="new")),
    "full and hidden": lambda: (share(*OTHERS), change(os_hidden=True)),
    "full and unshared": lambda: (
        share(*OTHERS),
        change(visibility=Visibility.PRIVATE),
    ),
    "full and given away": lambda: (share(*OTHERS), change(owner="other")),
    "added": partial(share, "new"),
    "added and unshared": lambda: (
        share("new"),
        change(visibility=Visibility.PRIVATE),
    ),
    "full and added": partial(share, "new", *OTHERS[1:]),
    "left": unshare,
    "shared again": share_again,
    "erased": lambda: delete_items([image_key(ID)]),
    "answered": partial(answer, ACCEPTED),
    "answered and put off": partial(answer, ACCEPTED, MemberStatus.PENDING),
}
OUTCOMES: dict[str, dict[str, type[Exception] | None]] = {
    "add": {
        "nothing": None,
        "tagged": None,
        "unshared": StaleError,
        "given away": StaleError,
        "renamed": StaleError,
        "unnamed": StaleError,
        "hidden": StaleError,
        "deleted": StaleError,
        "full": LimitExceeded,
        "full and renamed": StaleError,
        "full and hidden": StaleError,
        "full and unshared": StaleError,
        "full and given away": StaleError,
        "added": Conflict,
        "added and unshared": StaleError,
        "full and added": LimitExceeded,
        "erased": StaleError,
    },
    "add two": {
        "nothing": None,
        "one left": LimitExceeded,
        "added": Conflict,
    },
    "remove": {
        "nothing": None,
        "shared again": None,
        "unshared": StaleError,
        "given away": StaleError,
        "deleted": StaleError,
        "left": StaleError,
        "erased": StaleError,
    },
    "revoke": {
        "unshared": None,
        "given away": StaleError,
        "deleted": StaleError,
        "left": StaleError,
        "shared again": StaleError,
        "erased": StaleError,
    },
    "leave": {
        "unshared": None,
        "given away": None,
        "deleted": StaleError,
        "left": StaleError,
        "shared again": StaleError,
        "erased": StaleError,
    },
    "accept": {
        "nothing": None,
        "answered": None,
        "unshared": None,
        "left": StaleError,
        "shared again": StaleError,
    },
    "accept first": {
        "nothing": None,
        "answered": StaleError,
        "answered and put off": StaleError,
        "left": StaleError,
    },
    "note": {
        "nothing": None,
        "unshared": None,
        "given away": StaleError,
        "left": StaleError,
        "shared again": StaleError,
    },
    "list": {
        "nothing": None,
        "renamed": None,
        "unshared": StaleError,
        "given away": StaleError,
        "deleted": StaleError,
    },
    "update": {
        "nothing": None,
        "added": None,
        "tagged": StaleError,
        "deleted": StaleError,
        "erased": StaleError,
    },
    "delete": {
        "nothing": None,
        "added": None,
        "tagged": StaleError,
        "deleted": StaleError,
        "erased": StaleError,
    },
    "create": {
        "nothing": Conflict,
        "deleted": Conflict,
    },
}
"""What each write comes to after what was done since its read; the quota is four."""

NAMELESS = [
    ("nothing", None),
    ("unnamed", None),
    ("renamed", StaleError),
    ("added", Conflict),
]


def raised_by(act: Callable[[], Any]) -> type[Exception] | None:
    """Return what sort of refusal an act ends with, if with any."""
    try:
        act()
    except (Conflict, LimitExceeded, StaleError) as exc:
        return type(exc)
    return None


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    ("write", "meanwhile", "expected"),
    [
        (write, meanwhile, expected)
        for write, outcomes in OUTCOMES.items()
        for meanwhile, expected in outcomes.items()
    ],
)
def test_a_write_is_done_only_where_what_it_stands_on_is_still_so(
    write: str,
    meanwhile: str,
    expected: type[Exception] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is refused changes nothing."""
    configure(monkeypatch, member_quota=4)
    share("consumer")
    image, member = load()
    assert member is not None
    at(monkeypatch, LATER)
    MEANWHILE[meanwhile]()
    before = kept()

    outcome = raised_by(lambda: WRITES[write](image, member, PRODUCER))

    assert expected is outcome
    changes_something = expected is None and write != "list"
    assert (kept() != before) is changes_something


@pytest.mark.usefixtures("image")
def test_an_answer_at_the_moment_of_the_offer_is_one() -> None:
    """What must be unanswered is told by its status, too, and not by time alone."""
    (member,) = share("consumer")
    answer(ACCEPTED)

    with pytest.raises(StaleError):
        WRITES["accept first"](load()[0], member, PRODUCER)


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(("meanwhile", "expected"), NAMELESS)
def test_a_member_is_added_to_an_image_that_still_has_no_name(
    meanwhile: str,
    expected: type[Exception] | None,
) -> None:
    """A name that it got meanwhile would be missing from the membership's copy."""
    image = change(name=None)
    MEANWHILE[meanwhile]()

    outcome = raised_by(lambda: members.add_member(image, "new", PRODUCER))

    assert expected is outcome


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    "write", ["add", "add two", "remove", "revoke", "leave", "update", "delete"]
)
def test_a_request_knows_its_own_work(write: str) -> None:
    """Its first response may be lost, and the same call is sent again."""
    share("consumer")
    image, member = load()
    assert member is not None
    first = WRITES[write](image, member, PRODUCER)
    after = kept()

    again = WRITES[write](image, member, PRODUCER)

    assert (first, after) == (again, kept())


@pytest.mark.usefixtures("image")
def test_a_create_knows_its_own_work() -> None:
    """The image that another request made under its id is a conflict."""
    before = kept()
    images.create_image(IMAGE, PRODUCER)

    assert before == kept()
    with pytest.raises(Conflict, match=ID):
        images.create_image(IMAGE, OTHER)


@pytest.mark.usefixtures("image")
def test_of_two_removals_by_one_request_each_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The image names which membership ended last."""
    share("a", "b")
    image, member = load("a")
    _, later = load("b")
    assert member
    assert later
    members.remove_member(image, member, PRODUCER)
    members.remove_member(image, later, PRODUCER)

    with pytest.raises(StaleError):
        members.remove_member(image, member, PRODUCER)
    at(monkeypatch, LATER)
    with pytest.raises(StaleError):
        members.remove_member(image, later, PRODUCER)
    assert load()[0].member_count == 0


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("done", [True, False])
def test_only_a_deleted_image_is_swept(done: bool) -> None:  # noqa: FBT001 - a row
    """And only until nothing is left of it."""
    if done:
        delete()
        images.finish_deletion(ID)
    before = kept()

    images.touch_tombstone(ID)
    images.finish_deletion(ID)

    assert before == kept()
    assert not images.is_unswept(ID)


@pytest.mark.usefixtures("image")
def test_a_note_is_forgotten_with_its_own_membership(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of the next membership of the same project stays."""
    (first,) = members.add_members(load()[0], {"consumer": "first"}, OTHER)
    unshare()
    at(monkeypatch, LATER)
    (second,) = members.add_members(load()[0], {"consumer": "second"}, OTHER)
    both = kept()

    notes.forget_note(first)
    assert both == kept()
    notes.forget_note(second)
    notes.forget_note(second)
    assert [one for one in both if "text" not in one] == kept()


PROFILE = Profile("Producer", TIME)
VERIFIED = PROFILE._replace(verified=True)
CHANGED = PROFILE._replace(updated_at=TIME.replace(hour=9))
MINE = PROFILE._replace(updated_at=TIME.replace(hour=10), contact="a@example.org")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, None, None),
        (None, PROFILE, StaleError),
        (PROFILE, PROFILE, None),
        (PROFILE, None, StaleError),
        (PROFILE, VERIFIED, StaleError),
        (PROFILE, CHANGED, StaleError),
        (PROFILE, MINE, None),
        (None, MINE, None),
    ],
)
def test_a_profile_is_written_over_the_one_that_was_read(
    before: Profile | None, now: Profile | None, expected: type[Exception] | None
) -> None:
    """What stands there already is one's own work, done before."""
    if now:
        profiles.set_profile("producer", None, now, OTHER)

    outcome = raised_by(
        lambda: profiles.set_profile("producer", before, MINE, PRODUCER)
    )

    assert expected is outcome
    assert profiles.load_profile("producer") == (now if expected else MINE)
