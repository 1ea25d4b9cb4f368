"""
The largest image that is allowed, in any script: DynamoDB takes it, and its changes.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.actors import Actor, Send
from tests.aws_faults import stored
from tests.configuring import configure
from tests.properties.worlds import NO_ID, State, World, put
from tests.scene import make_active

# To shrink a failure may take five minutes.
pytestmark = pytest.mark.timeout(900)

Json = dict[str, Any]

MOST = 384 * 1024
"""The largest `PROPERTY_BYTES_MAX`: bytes of tags, and of properties as ASCII JSON."""
LETTERS = ("a", '"', "\\", "\x01", "\x7f", "é", "☃", "\U0001f600", 'a"é☃\U0001f600\x01')
"""Letters of one to four bytes, and of one to twelve in JSON."""
IMAGE = f"/v2/images/{NO_ID}"


def filled(number: int, letters: str, length: int) -> str:
    """Write a text of a length that no other number gives."""
    return f"{number}{letters * length}"[:length]


def longest_id(letters: str, last: str) -> str:
    """Write a project's id as long as one may be."""
    text = (letters.replace("\x01", "").replace("\x7f", "") * 255)[:254]
    while len(text.encode()) > 999:
        text = text[:-1]
    return text + last


def largest(letters: str, heavy: str, count: int, tags: int) -> Json:
    """Make an image that weighs as much as it may, most of it in one kind of place."""
    long = 255 if heavy == "names" else 3
    names = [filled(number, letters, long) for number in range(count)]
    image = dict.fromkeys(names, "")
    some = [filled(number, letters, 255) for number in range(tags)]
    room = MOST - len(json.dumps(image)) - sum(len(tag.encode()) for tag in some)
    cost = len(json.dumps(letters)) - 2
    times = room // count // cost
    image = dict.fromkeys(names, letters * times)
    image[names[0]] += "a" * (room - times * count * cost)
    return {
        **image,
        "id": NO_ID,
        "tags": some,
        "name": filled(0, letters, 255),
        "owner": longest_id(letters, "o"),
    }


@pytest.fixture(autouse=True)
def largest_setting() -> Iterator[None]:
    """Set `PROPERTY_BYTES_MAX` to the largest value."""
    with pytest.MonkeyPatch.context() as patched:
        configure(patched, property_bytes_max=MOST)
        yield


SHAPES = st.one_of(
    st.tuples(st.just("tags"), st.sampled_from((1, 128)), st.just(128)),
    st.tuples(st.just("names"), st.integers(100, 128), st.integers(0, 1)),
    st.tuples(st.just("values"), st.integers(1, 128), st.integers(0, 30)),
)
"""Where most of an image is, how many properties it has, and how many tags."""


@pytest.mark.parametrize("letters", LETTERS, ids=ascii)
@given(shape=SHAPES)
@hypothesis_settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_largest_image_is_kept_and_changed_like_any_other(
    send: Send, letters: str, shape: tuple[str, int, int]
) -> None:
    """
    What fits the limits always fits DynamoDB's; one letter more is refused with 413.
    """
    put(World(State((), {}), (), {}))
    image = largest(letters, *shape)
    user, project = longest_id(letters, "u"), longest_id(letters, "m")
    admin = Actor(send, longest_id(letters, "a"), "admin", user)
    owner, member = Actor(send, image["owner"], user=user), Actor(send, project)
    first, *_ = image
    more = {"op": "replace", "path": f"/{first}", "value": image[first] + "a"}

    assert admin.post("/v2/images", image | {first: image[first] + "a"}).status == 413
    assert stored() == []
    assert admin.post("/v2/images", image).status == 201
    shown = admin.get(IMAGE).document
    assert image == {name: shown[name] for name in image}

    before = stored()
    assert {413} == {
        owner.patch(IMAGE, [more]).status,
        owner.patch(IMAGE, [{"op": "add", "path": "/extra", "value": ""}]).status,
        owner.put(f"{IMAGE}/tags/one-more").status,
    }
    assert before == stored()
    del more["value"]
    make_active(NO_ID)
    statuses = [
        owner.post(f"{IMAGE}/members", {"member": project}).status,
        member.put(f"{IMAGE}/members/{quote(project)}", {"status": "accepted"}).status,
        len(member.listed()),
        owner.delete(f"{IMAGE}/members/{quote(project)}").status,
        owner.patch(IMAGE, [more | {"op": "remove"}]).status,
        owner.delete(IMAGE).status,
    ]
    assert statuses == [200, 200, 1, 204, 200, 204]
