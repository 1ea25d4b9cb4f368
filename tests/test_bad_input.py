"""Bad input: the error says what is wrong and what is allowed; nothing changes."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import PATCH_TYPE, Actor, Response, Send
from tests.aws_faults import recording, stored
from tests.scene import error, make_active

NO_OBJECT = "The body must be a JSON object."
NO_BODY = "Body expected in request."
MALFORMED = "Malformed JSON in request body."
TWICE = "The body has the key '{}' more than once."
HALF_PAIR = "The body has an unpaired surrogate in a string."
NO_MEMBER = (
    "member must be a project id: a string of 1 to 255 characters, at most 1000 bytes,"
    " neither . nor .., without / and control characters."
)
NO_STATUS = 'status must be "pending", "accepted" or "rejected".'
NO_METHOD = "method.name must be glance-direct or web-download."
TOO_LONG = "must have at most 255 characters."
NO_CONTAINER = "must be one of null, ami, ari, aki, bare, ovf, ova, docker, compressed."
VISIBILITIES = "community, public, private, shared"
NO_ID = "00000000-0000-4000-8000-000000000000"

BODIES = {
    "no body": (b"", NO_BODY),
    "blanks": (b" \r\n", NO_BODY),
    "null": (b"null", NO_OBJECT),
    "a list": (b'[{"member": "x"}]', NO_OBJECT),
    "a string": (b'"x"', NO_OBJECT),
    "a number": (b"5", NO_OBJECT),
    "no end": (b'{"member": "x"', MALFORMED),
    "two documents": (b"{} {}", MALFORMED),
    "single quotes": (b"{'member': 'x'}", MALFORMED),
    "a raw control character": (b'{"member": "\x01"}', MALFORMED),
    "Latin-1": ('{"member": "ü"}'.encode("latin-1"), MALFORMED),
    "UTF-16": ('{"member": "x"}'.encode("utf-16"), MALFORMED),
    "a byte order mark": (b'\xef\xbb\xbf{"member": "x"}', MALFORMED),
    "a surrogate in UTF-8": (b'{"member": "\xed\xa0\x80"}', MALFORMED),
    "half a pair": (rb'{"member": "\ud800"}', HALF_PAIR),
    "half a pair as a key": (rb'{"\udfff": "x"}', HALF_PAIR),
    "half a pair, nested": (rb'{"x": [{"y": "\udc00\ud800"}]}', HALF_PAIR),
    "a key twice": (b'{"member": "a", "member": "b"}', TWICE.format("member")),
    "a nested key twice": (b'{"x": [{"y": 1, "y": 1}]}', TWICE.format("y")),
    "NaN": (b'{"min_disk": NaN}', "NaN is not a JSON number."),
    "Infinity": (b'{"min_disk": -Infinity}', "-Infinity is not a JSON number."),
    "a number of 5,000 digits": (b'{"min_disk": ' + b"9" * 5000 + b"}", MALFORMED),
    "100,000 brackets": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", MALFORMED),
    "100,000 open braces": (b'{"x":' * 100_000, MALFORMED),
}

IMAGES = [
    ({"name": 5}, "image.name must be null or a string."),
    ({"name": ["ubuntu"]}, "image.name must be null or a string."),
    ({"name": "n" * 256}, f"image.name {TOO_LONG}"),
    ({"name": "n" * 2**20}, f"image.name {TOO_LONG}"),
    ({"tags": ["a", "t" * 256]}, f"image.tags[1] {TOO_LONG}"),
    ({"tags": "lts"}, "image.tags must be an array."),
    ({"tags": None}, "image.tags must be an array."),
    ({"tags": [None]}, "image.tags[0] must be a string."),
    ({"protected": "true"}, "image.protected must be true or false."),
    ({"os_hidden": 0}, "image.os_hidden must be true or false."),
    ({"min_disk": True}, "image.min_disk must be a whole number."),
    ({"min_disk": "5"}, "image.min_disk must be a whole number."),
    ({"min_disk": -1}, "image.min_disk must be 0 or more."),
    (b'{"min_disk": 1e400}', "image.min_disk must be a whole number."),
    ({"min_ram": 1.5}, "image.min_ram must be a whole number."),
    ({"min_ram": None}, "image.min_ram must be a whole number."),
    ({"min_ram": 2**31}, f"image.min_ram must be {2**31 - 1} or less."),
    ({"visibility": "secret"}, f"image.visibility must be one of {VISIBILITIES}."),
    ({"visibility": None}, "image.visibility must be a string."),
    ({"visibility": ["public"]}, "image.visibility must be a string."),
    ({"disk_format": 5}, "image.disk_format must be null or a string."),
    ({"container_format": "zip"}, f"image.container_format {NO_CONTAINER}"),
    ({"id": "ubuntu"}, "image.id must be a UUID."),
    ({"id": "0" * 32}, "image.id must be a UUID."),
    ({"id": f"{NO_ID}\n"}, "image.id must be a UUID."),
    ({"id": None}, "image.id must be a string."),
    ({"owner": 5}, "image.owner must be null or a string."),
    ({"os_distro": 5}, "image.os_distro must be a string."),
    ({"os_distro": None}, "image.os_distro must be a string."),
    ({"a b": {}}, "image.a b must be a string."),
    ({"locations": {}}, "image.locations must be an array."),
    ({"locations": [5]}, "image.locations[0] must be an object."),
    ({"locations": [{}]}, 'image.locations[0] must have "url", "metadata".'),
]

MEMBERS = [
    {}, {"tenant": "x"}, {"member": None}, {"member": ""}, {"member": 5},
    {"member": True}, {"member": ["x"]}, {"member": {"id": "x"}}, {"member": "a/b"},
    {"member": "a\0"}, {"member": "a\n"}, {"member": "\x85"}, {"member": "m" * 256},
    {"member": "\U0001f600" * 251}, {"member": "m" * 2**20}, {"member": "."},
    {"member": ".."},
]  # fmt: skip

STATUSES = [
    {}, {"member": "consumer"}, {"status": None}, {"status": ""}, {"status": "all"},
    {"status": "Accepted"}, {"status": "accepted "}, {"status": 1}, {"status": True},
    {"status": ["accepted"]}, {"status": {}}, {"status": "\u0430ccepted"},
    {"status": "a" * 2**20},
]  # fmt: skip

NO_LIMIT = "limit must be a whole number, 0 or more."
NO_TIME = (
    "created_at must be a time such as 2026-11-24T08:00:00Z, optionally after one of"
    " eq:, neq:, lt:, lte:, gt:, gte:."
)
NO_ANSWER = "member_status must be one of pending, accepted, rejected, all."
NO_VISIBILITY = "visibility must be one of community, public, private, shared, all."
NO_DIRECTION = "sort_dir must be one of asc, desc."
NO_KEY = (
    "sort_key must be one of name, status, container_format, disk_format, size, id,"
    " created_at, updated_at."
)
NO_PAIRS = "sort_dir must be given once, or once for each sort_key."
NO_UTF8 = "The query must be percent-encoded UTF-8."
NO_VALUES = (
    "id after in: must be values separated by commas; double quotes must enclose a"
    " whole value."
)
QUERIES = {
    "limit=ten": NO_LIMIT,
    "limit=": NO_LIMIT,
    "limit=-1": NO_LIMIT,
    "limit=1.5": NO_LIMIT,
    "limit=%EF%BC%91": NO_LIMIT,
    "limit=1%00": NO_LIMIT,
    "marker=ubuntu": "marker must be the ID of an image, not 'ubuntu'.",
    "marker=%00": r"marker must be the ID of an image, not '\x00'.",
    "member_status=maybe": NO_ANSWER,
    "member_status=": NO_ANSWER,
    "visibility=Public": NO_VISIBILITY,
    "os_hidden=maybe": "os_hidden must be one of true, false.",
    "protected=1": "protected must be one of true, false.",
    "sort_key=owner": NO_KEY,
    "sort=": NO_KEY,
    "sort_dir=up": NO_DIRECTION,
    "sort=name:up": NO_DIRECTION,
    "sort=name&sort_key=id": "sort cannot be combined with sort_key and sort_dir.",
    "sort_key=id&sort_dir=asc&sort_dir=asc": NO_PAIRS,
    "size_min=1e3": "size_min must be a whole number.",
    "min_ram_max=": "min_ram_max must be a whole number.",
    "created_at=yesterday": NO_TIME,
    "created_at=in:2026-11-24": NO_TIME,
    "created_at=gt:2026-13-01T00:00:00Z": NO_TIME,
    "status=gt:queued": "status supports the operators in and eq, not gt.",
    "id=in:%22a": NO_VALUES,
    "id=in:%22a%22b": NO_VALUES,
    "id=in:a%22b%22": NO_VALUES,
    "id=in:" + "+" * 8000 + "%22a": NO_VALUES,
    "changes-since=2026-11-24": "changes-since is not supported; filter by updated_at.",
    "name=%FF": NO_UTF8,
    "name=%EF%BF%BD": NO_UTF8,
    "name=%C3%BC&%E4=1": NO_UTF8,
}


def bad(message: str) -> tuple[int, Any]:
    """Return the whole response that tells what is bad."""
    return error(400, "Bad Request", message)


def outcome(response: Response) -> tuple[int, Any]:
    """Return the whole response that came."""
    return response.status, response.document


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that is shared with the consumer."""
    made = producer.make_image(name="ubuntu")
    producer.share(made, "consumer")
    return made


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_json_object_is_refused(
    body: str, producer: Actor, consumer: Actor, image_id: str
) -> None:
    """Every call that takes an object tells what is wrong with the body."""
    raw, message = BODIES[body]
    before = stored()

    responses = [
        outcome(producer.post("/v2/images", raw)),
        outcome(producer.post(f"/v2/images/{image_id}/members", raw)),
        outcome(consumer.put(f"/v2/images/{image_id}/members/consumer", raw)),
    ]

    assert [bad(message)] * 3 == responses
    assert before == stored()


@pytest.mark.parametrize(
    ("document", "message"), IMAGES, ids=[repr(body)[:30] for body, _ in IMAGES]
)
def test_a_bad_image_is_refused(document: Any, message: str, producer: Actor) -> None:
    """The message names the field and what it may be."""
    assert bad(message) == outcome(producer.post("/v2/images", document))
    assert stored() == []


@pytest.mark.parametrize("body", MEMBERS, ids=lambda body: repr(body)[:30])
def test_a_bad_member_is_refused(body: Any, producer: Actor, image_id: str) -> None:
    """Nobody can become a member who could not be addressed."""
    before = stored()

    response = producer.post(f"/v2/images/{image_id}/members", body)

    assert bad(NO_MEMBER) == outcome(response)
    assert before == stored()


@pytest.mark.parametrize("body", STATUSES, ids=lambda body: repr(body)[:30])
def test_a_bad_status_is_refused(body: Any, consumer: Actor, image_id: str) -> None:
    """A status is one of three words, written exactly."""
    before = stored()

    response = consumer.put(f"/v2/images/{image_id}/members/consumer", body)

    assert bad(NO_STATUS) == outcome(response)
    assert before == stored()


@pytest.mark.parametrize(
    ("call", "body", "message"),
    [
        ("/v2/images/{}/import", {}, NO_METHOD),
        ("/v2/images/{}/import", {"method": "web-download"}, NO_METHOD),
        ("/v2/images/{}/import", {"method": {"name": ["web-download"]}}, NO_METHOD),
        (
            "/v2/images/{}/import",
            {"method": {"name": "glance-direct"}, "stores": ["file2"]},
            'stores, if given, must be ["file1"].',
        ),
        (
            "/ext/v1/images/{0}/uploads/{0}/complete",
            {"etags": [5]},
            "etags, if given, must be a list of the parts' ETags.",
        ),
        (
            "/ext/v1/images/{0}/uploads/{0}/complete",
            {"sha512": 5},
            "sha512, if given, must be 128 hexadecimal digits, lower case.",
        ),
    ],
)
def test_a_bad_field_of_a_body_is_named(
    call: str, body: Any, message: str, producer: Actor, image_id: str
) -> None:
    """By its whole path, with what it must be."""
    response = producer.post(call.format(image_id), body)

    words = response.document.get("message", response.document.get("detail"))
    assert (response.status, words) == (400, message)


@pytest.mark.parametrize("query", QUERIES)
def test_a_bad_query_is_refused(query: str, producer: Actor) -> None:
    """A wrong parameter of a list is an error, never ignored."""
    assert bad(QUERIES[query]) == outcome(producer.get(f"/v2/images?{query}"))


@pytest.mark.parametrize("what", ["tags", "properties"])
def test_more_than_the_quota_is_refused(what: str, producer: Actor) -> None:
    """The message names the quota and the number sent."""
    names = [f"name{number}" for number in range(129)]
    body = {"tags": names} if what == "tags" else dict.fromkeys(names, "x")

    response = producer.post("/v2/images", body)

    message = f"An image can have at most 128 {what}, not 129."
    assert error(413, "Request Entity Too Large", message) == outcome(response)
    assert stored() == []


def test_a_property_name_that_is_too_long_is_told_the_limit(producer: Actor) -> None:
    """The message tells what is allowed, as for every other field."""
    response = producer.post("/v2/images", {"p" * 256: "x"})

    assert (response.status, "255" in response.document["message"]) == (400, True)


def test_deep_nesting_is_refused_at_every_depth(producer: Actor) -> None:
    """However near it comes to the end of Python's stack."""
    bodies = [
        b'{"x": ' + start * depth + b"1" + end * depth + b"}"
        for start, end in [(rb'{"\u0078":', b"}"), (rb'["\u0078",', b"]")]
        for depth in range(500, 1001)
    ]

    assert {producer.post("/v2/images", body).status for body in bodies} == {400}


def test_an_id_in_use_is_refused_and_the_list_stays(producer: Actor) -> None:
    """A caller that tries to take an id again still sees its images, each once."""
    image_id = producer.make_image()

    response = producer.post("/v2/images", {"id": image_id})

    message = f"Image ID {image_id} already exists!"
    assert error(409, "Conflict", message) == outcome(response)
    assert [image_id] == producer.listed()


@pytest.mark.parametrize(
    "path",
    [
        *("ubuntu", "%00", "a%2Fb", "%FF", "%zz", "..%2F..", "{image}%2Fmembers"),
        *("{image}%0A", "%20{image}", "{image}%00", "m" * 500),
    ],
)
def test_an_odd_id_is_that_of_no_image(
    path: str, producer: Actor, image_id: str
) -> None:
    """What is no id, or differs from one by a sign, is not found."""
    target = path.replace("{image}", image_id)
    before = stored()

    statuses = [
        producer.get(f"/v2/images/{target}").status,
        producer.delete(f"/v2/images/{target}").status,
        producer.put(f"/v2/images/{target}/tags/new").status,
        producer.post(f"/v2/images/{target}/members", {"member": "x"}).status,
        producer.get(f"/v2/images/{image_id}/members/{target}").status,
        producer.delete(f"/v2/images/{image_id}/members/{target}").status,
    ]

    assert {404} == set(statuses)
    assert before == stored()


@pytest.mark.parametrize("ids", ["ubuntu", "in:a%23b,b", "in:", "%00", "%23"])
def test_a_list_of_odd_ids_is_empty(ids: str, producer: Actor, image_id: str) -> None:
    """Nothing has an id that is none."""
    assert image_id in producer.listed()
    assert producer.listed(f"?id={ids}") == []


def test_an_owner_that_nobody_can_be_owns_nothing(
    producer: Actor, admin: Actor, image_id: str
) -> None:
    """No key of DynamoDB is made of it."""
    assert image_id in admin.listed("?owner=producer")
    for owner in ("o" * 5000, "%00", "a%2Fb", ""):
        with recording() as calls:
            assert producer.listed(f"?owner={owner}") == []
            assert admin.listed(f"?owner={owner}") == []

        assert calls == []


WORDS = st.sampled_from([
    "a", "b", "in:", "gt:", "1", "name", "member", "status", "accepted", "visibility",
    "public", "tags", "owner", "id", "created_at", "limit", "marker", "sort",
    "sort_key", "sort_dir", "size_min", "member_status", "os_hidden", "protected",
])  # fmt: skip
TEXTS = WORDS | st.text(st.characters(), max_size=20)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda some: st.lists(some) | st.dictionaries(TEXTS, some),
    max_leaves=10,
)
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "replace", "remove"]),
        "path": TEXTS.map("/{}".format),
        "value": DOCUMENTS,
    }
)
OBJECTS = st.dictionaries(WORDS, TEXTS) | st.lists(OPERATIONS, max_size=3) | DOCUMENTS
RAW = st.binary(max_size=50) | OBJECTS.map(lambda value: json.dumps(value).encode())
PATHS = st.sampled_from([
    "/v2/images", "/v2/images/{0}", "/v2/images/{image}", "/v2/images/{image}/tags/{0}",
    "/v2/images/{image}/members", "/v2/images/{image}/members/{0}", "/v2/schemas/{0}",
    "/v2/images/{0}/members/{0}", "/v2/images/{0}/actions/{0}", "/v2/{0}", "/{0}/v2",
])  # fmt: skip


def encode(text: str) -> str:
    """Write any text, half surrogate pairs included, as a part of a path or query."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


@pytest.mark.parametrize("roles", ["member", "admin"])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=st.builds(str.format, PATHS, TEXTS.map(encode), image=st.just(NO_ID)),
    query=st.lists(st.tuples(TEXTS.map(encode), TEXTS.map(encode)), max_size=3),
    raw=RAW,
)
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_nothing_that_is_sent_makes_the_service_fail(  # noqa: PLR0913 - drawn
    *,
    send: Send,
    roles: str,
    method: str,
    path: str,
    query: list[tuple[str, str]],
    raw: bytes,
) -> None:
    """Arbitrary paths, queries and bodies are answered, never with 5xx."""
    headers = {"Accept": "application/json", "Content-Type": PATCH_TYPE}
    actor = Actor(send, "producer", roles, headers=headers)
    if actor.get(f"/v2/images/{NO_ID}").status == 404:
        actor.make_image(id=NO_ID, protected=True)

    pairs = "&".join(f"{key}={value}" for key, value in query)
    response = actor.ask(method, f"{path}?{pairs}", raw)

    assert response.status < 500, (response.status, response.document)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v2/images/{image}"),
        ("PUT", "/v2/images/{image}/tags/new"),
        ("DELETE", "/v2/images/{image}/tags/lts"),
        ("DELETE", "/v2/images/{image}/members/consumer"),
        ("POST", "/v2/images/{image}/actions/deactivate"),
        ("POST", "/v2/images/{image}/actions/reactivate"),
        ("DELETE", "/ext/v1/images/{image}/uploads/{image}"),
        ("DELETE", "/ext/v1/incoming/{image}"),
        ("DELETE", "/ext/v1/outgoing/{image}/consumer"),
        ("DELETE", "/ext/v1/profile"),
        ("DELETE", "/ext/v1/rules/consumer"),
    ],
)
def test_a_body_where_none_belongs_is_refused_before_anything_happens(
    method: str, path: str, producer: Actor
) -> None:
    """400, as in the reference, and the image stays as it is."""
    image_id = producer.make_image(tags=["lts"])
    producer.share(image_id, "consumer")
    make_active(image_id)
    before = stored()

    response = producer.ask(method, path.format(image=image_id), ["x"])

    words = response.document.get("message", response.document.get("detail"))
    assert (response.status, words) == (400, "The request must not have a body.")
    assert stored() == before
