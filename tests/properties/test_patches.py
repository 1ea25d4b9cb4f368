"""Any patch of any image, against a small model of what a patch does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

from chalicelib import clock
from chalicelib.domain.images import Image, ImageStatus
from tests.actors import Actor, Send
from tests.aws_faults import stored
from tests.configuring import configure
from tests.properties.runs import NUMBERS, check_each
from tests.properties.worlds import IMAGES, NOW, State, World, put

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

Json = dict[str, Any]
Operation = tuple[Json, Json]
"""An operation in the new dialect, and in the old one."""
Patch = tuple[str, str, list[Operation]]
"""Who sends it, by role; in which dialect; and what."""

OLD = "application/openstack-images-v2.0-json-patch"
NEW = "application/openstack-images-v2.1-json-patch"
OPS = ("add", "replace", "remove")
TAGS_MOST, PROPERTIES_MOST = 2, 3
CHARACTERS = 255

BASE: Json = {
    "name": (None, "", "new", "n" * 255, "n" * 256),
    "owner": ("producer", "producer", "other", "a/b", "", "..", None, "o" * 256),
    "visibility": ("shared", "private", "community", "public", "secret"),
    "tags": ([], ["x", "y", "x"], ["t" * 255], ["1", "2", "3", "4"], ["t" * 256]),
    "protected": (True, False),
    "os_hidden": (True, False),
    "min_disk": (0, 5, 2**31 - 1, 2**31, -1),
    "min_ram": (0, 5, 1.5),
    "disk_format": ("raw", "iso", None, "floppy"),
    "container_format": ("bare", "ova", None, "box"),
}
"""What can be patched on every image, and values that may or may not be there."""
READ_ONLY = (
    "id", "status", "size", "virtual_size", "checksum", "created_at", "updated_at",
    "os_hash_algo", "os_hash_value", "self", "file", "schema", "direct_url", "stores",
    "location", "locations", "deleted", "deleted_at", "os_glance", "os_glance_x",
)  # fmt: skip
CUSTOM = (
    "os", "", "größe", "a/b~", "~", "~1", "/", "Name", "☃", "\0", "p" * 255, "p" * 256,
)  # fmt: skip
NO_POINTERS = (
    "/locations/-", "", "name", "/a/b", "/tags/-", "/a~2", "/a~", "/a/", "//",
    5, None, ["/name"],
)  # fmt: skip
ODD: dict[str, tuple[str, ...]] = {
    "name": READ_ONLY,
    "reserved": ("os_glance", "os_glance_x"),
    "stores": ("stores",),
    "property": CUSTOM,
    "remove": tuple(BASE),
    "op": (),
    "path": (),
    "value": (),
    "value missing": (),
    "two operations": (),
}
"""
In what ways an operation is odd, and the names it is then on, if they are special.
"""
VALUES: tuple[Any, ...] = ("x", "y", "", "ü" * 300, 5, None, True, ["x"], {}, ["x", 5])


def pointer(name: str) -> str:
    """Write a name as a JSON pointer."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


POINTERS = {pointer(name): name for name in (*BASE, *READ_ONLY, *CUSTOM)}


def name_of(path: Any) -> str | None:
    """Return the one name that a pointer names, or none."""
    if isinstance(path, str) and path.startswith("/locations/"):
        return "locations"
    return POINTERS.get(path) if isinstance(path, str) else None


def is_text(value: Any, most: int = CHARACTERS) -> bool:
    """Return whether a value is a text of at most so many characters."""
    return isinstance(value, str) and len(value) <= most


def is_number(value: Any) -> bool:
    """Return whether a value is a whole number of 31 bits."""
    return type(value) is int and 0 <= value < 2**31


FITS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: value is None or is_text(value),
    "owner": lambda value: value is None or is_text(value),
    "visibility": lambda value: value in BASE["visibility"][:4],
    "tags": lambda value: isinstance(value, list) and all(map(is_text, value)),
    "protected": lambda value: isinstance(value, bool),
    "os_hidden": lambda value: isinstance(value, bool),
    "min_disk": is_number,
    "min_ram": is_number,
    "disk_format": lambda value: value in BASE["disk_format"][:3],
    "container_format": lambda value: value in BASE["container_format"][:3],
}
"""What may stand in each place."""


@st.composite
def operations(draw: st.DrawFn, held: list[str]) -> Operation:
    """Draw an operation, in both dialects, on an image that holds some properties.

    Most are sound; some are odd in one of the ways there are.
    """
    odd = draw(st.sampled_from((*("",) * 60, *ODD)))
    op = "remove" if odd == "stores" else draw(st.sampled_from(OPS))
    custom = held if held and op != "add" else CUSTOM
    names = ODD.get(odd) or (custom if op == "remove" else (*BASE, *custom))
    name = draw(st.sampled_from(names))
    fits = FITS.get(name, is_text)
    some = (*BASE.get(name, ()), *VALUES)
    sound = [value for value in some if odd == "value" or fits(value)]
    value = draw(st.sampled_from(sound))
    path = draw(st.sampled_from(NO_POINTERS)) if odd == "path" else pointer(name)
    has_value = (op != "remove") != (odd == "value missing")
    more: Json = {"value": value} if has_value else {}
    if odd == "two operations":
        more |= {"add" if op == "remove" else "remove": pointer(name)}
    op = "move" if odd == "op" else op
    return {"op": op, "path": path} | more, {op: path} | more


def read(sent: Json) -> Json:
    """Return what an operation means: its op and name, if it has them, and its value.

    To add in the old dialect is to insert: nothing may be there yet.
    """
    said = [op for op in OPS if op in sent]
    if "op" in sent:
        op, path = sent["op"] if sent["op"] in OPS else None, sent["path"]
    else:
        op = said[0] if len(said) == 1 else None
        path = sent[op] if op else None
        op = "insert" if op == "add" else op
    meant = {"op": op, "name": name_of(path)}
    return meant | {"value": sent["value"]} if "value" in sent else meant


def misread(operation: Json) -> Iterator[int]:
    """Read an operation; return the status of each refusal."""
    name, op = operation["name"], operation["op"]
    if op is None or name is None:
        yield 400
    if name in READ_ONLY and (op, name) != ("remove", "stores"):
        yield 403
    fits = FITS.get(name, lambda value: is_text(name) and isinstance(value, str))
    if op != "remove" and not ("value" in operation and fits(operation["value"])):
        yield 400


def misdone(image: Json, operation: Json) -> Iterator[int]:
    """Do an operation to a document; return the status of each refusal."""
    name, op, value = operation["name"], operation["op"], operation.get("value")
    is_there = name in image and name != "stores"
    if op in ("replace", "remove") and not is_there:
        yield 409
    if op == "remove" and name in BASE:
        yield 403
    if op == "insert" and is_there:
        yield 409
    if name in BASE:
        if name.endswith("_format") and image["status"] != "queued":
            yield 403
        image[name] = list(dict.fromkeys(value or [])) if name == "tags" else value
    elif op == "remove":
        image.pop(name, None)
    else:
        image[name] = value


def count_tags(image: Json) -> int:
    """Count the tags of an image."""
    return len(image["tags"])


def count_properties(image: Json) -> int:
    """Count the custom properties of an image."""
    return len(image.keys() - BASE.keys() - set(READ_ONLY))


def misfit(before: Json, after: Json, roles: str) -> Iterator[int]:
    """Return the status of each refusal of what a patch makes of a document."""
    for most, count in ((TAGS_MOST, count_tags), (PROPERTIES_MOST, count_properties)):
        if count(after) > max(most, count(before)):
            yield 413
    is_published = after["visibility"] == "public" != before["visibility"]
    is_given = after["owner"] != before["owner"]
    if roles != "admin" and (is_published or is_given):
        yield 403
    if after["owner"] in (None, "", "a/b", ".."):
        yield 400


def refusals(before: Json, after: Json, patch: list[Json], roles: str) -> Iterator[int]:
    """
    Do a patch to a document; return the status of each refusal, the first one first.
    """
    meant = [read(one) for one in patch]
    for one in meant:
        yield from misread(one)
    if roles != "admin" and before["owner"] != "producer":
        yield 403 if before["visibility"] in ("public", "community") else 404
    for one in meant:
        yield from misdone(after, one)
    yield from misfit(before, after, roles)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Image, list[Patch]]:
    """Draw an image of the producer's, and patches of it, one after the other."""
    status = draw(st.sampled_from((ImageStatus.QUEUED, ImageStatus.ACTIVE)))
    image = draw(IMAGES)._replace(owner="producer", status=status)
    some = st.lists(operations([*image.properties]), min_size=1, max_size=4)
    roles = st.sampled_from(("member", "member", "admin"))
    patches = st.tuples(roles, st.sampled_from((NEW, OLD)), some)
    return image, draw(st.lists(patches, min_size=4, max_size=8))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_patch_is_done_as_a_whole_or_not_at_all(
    number: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations apply in their order; the first that is refused refuses them all."""
    configure(monkeypatch, tag_quota=TAGS_MOST, property_quota=PROPERTIES_MOST)
    times = [NOW]
    monkeypatch.setattr(clock, "now", lambda: times[-1])

    def check(case: tuple[Image, list[Patch]]) -> None:
        image, patches = case
        put(World(State((image,), {}), (), {}))
        target = f"/v2/images/{image.id}"
        admin = Actor(send, "producer", "admin")
        before, items = admin.get(target).document, stored()
        for roles, media_type, patch in patches:
            times.append(times[-1] + timedelta(seconds=1))
            sent = [new if media_type == NEW else old for new, old in patch]
            expected = dict(before)
            status = next(refusals(before, expected, sent, roles), 200)
            if status == 200:
                expected["updated_at"] = f"{times[-1]:%Y-%m-%dT%H:%M:%SZ}"
            else:
                expected = before

            headers = {"Accept": "application/json", "Content-Type": media_type}
            actor = replace(admin, roles=roles, headers=headers)
            response = actor.ask("PATCH", target, json.dumps(sent).encode())
            after = admin.get(target).document

            assert (status, expected) == (response.status, after), (
                response.document,
                sent,
            )
            assert status != 200 or expected == response.document
            if status != 200:
                assert items == stored()
            elif all(one["op"] == "add" for one, _ in patch):
                again = actor.ask("PATCH", target, json.dumps(sent).encode())
                assert again.status == (200 if media_type == NEW else 409)
                assert after == admin.get(target).document
            before, items = after, stored()

    check_each(number, cases(), check)
