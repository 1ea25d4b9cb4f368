"""Fuzz: hostile requests at every operation that the API's description has.

None makes the service fail, each error has its shape, and what is refused, or only
reads, changes nothing.
"""

import json
import re
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.actors import DATA_TYPE, JSON_TYPE, PATCH_TYPE, Response, token
from tests.bucket_faults import multiparts, stored_objects
from tests.openapi import DESCRIPTION, resolved
from tests.soak.scenes import Scene, make_scene
from tests.soak.stand import Stand
from tests.soak.tables import check_sound, kind_of
from tests.test_bad_input import BODIES, DOCUMENTS, NO_ID, RAW, TEXTS, encode

EXAMPLES: Final = 100
"""How many requests a batch has."""

Operation = tuple[str, str, Any]
"""A method, a path, and what the description says of the two."""


def _operations() -> list[Operation]:
    return [
        (method.upper(), path, described)
        for path, methods in DESCRIPTION["paths"].items()
        for method, described in methods.items()
        if method != "parameters"
    ]


OPERATIONS: Final = _operations()

_BODIES: Final = [raw for raw, _ in BODIES.values()]
_QUOTED_ID: Final = re.compile(r'"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"')
_WORDS: Final = ("", "*", ".", "..", "all", "-1", "0", "1e9", "%00", "%FF", "a" * 300)
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
_TYPES: Final = (
    *(JSON_TYPE, PATCH_TYPE, DATA_TYPE, "application/openstack-images-v2.0-json-patch"),
    *("application/json; charset=latin-1", "text/html", "multipart/form-data", ";", ""),
)
_HEADERS: Final = st.dictionaries(
    st.sampled_from(
        (
            *("Range", "X-Image-Meta-Store", "X-OpenStack-Image-Size", "Origin"),
            *("Content-Encoding", "If-None-Match", "Host", "X-Forwarded-Host"),
            *("Access-Control-Request-Method", "X-HTTP-Method-Override"),
        )
    ),
    st.sampled_from(
        (
            *("bytes=0-1", "bytes=-1", "bytes=9-", "bytes=0-0,2-3", "x" * 5000, "-1"),
            *("99999999999999999999", "file1", "https://example.org", "null", "\xff"),
        )
    ),
    max_size=2,
)
_ODD_TOKENS: Final = (
    *("", ":", "a:b", "a:b:", ":b:member", "a:b/c:admin", "a:b:c:d", "a:%00:member"),
    *("a:b:root", "a" * 5000, "\xff:b:member", "%zz:b:member", "a:..:admin"),
)


@st.composite
def _mutated(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document that differs from a good one in a place, or in none."""
    if isinstance(document, dict) and document and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(document)))
        rest = {key: value for key, value in document.items() if key != name}
        fate = draw(st.sampled_from(("keep", "keep", "drop", "rename", "add")))
        if fate == "drop":
            return rest
        if fate == "rename":
            return {**rest, draw(TEXTS): document[name]}
        if fate == "add":
            return {**document, draw(TEXTS): draw(DOCUMENTS)}
        return {**rest, name: draw(_mutated(document[name]))}
    if isinstance(document, list) and document and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(document) - 1))
        fate = draw(st.sampled_from(("keep", "keep", "drop", "repeat")))
        times = {"keep": 1, "drop": 0, "repeat": draw(st.sampled_from((2, 150)))}[fate]
        one = draw(_mutated(document[place]))
        return [*document[:place], *[one] * times, *document[place + 1 :]]
    return draw(st.just(document) | DOCUMENTS | st.sampled_from((2**63, -1, "a" * 300)))


def _examples(described: Any) -> list[Any]:
    forms = resolved(described.get("requestBody", {})).get("content", {})
    return [
        one
        for form in forms.values()
        for one in (
            *([form["example"]] if "example" in form else []),
            *(each["value"] for each in form.get("examples", {}).values()),
        )
    ]


class Fuzz:
    """Requests to images in every state, and what is held against the responses."""

    def __init__(self, stand: Stand) -> None:
        stand.clear()
        self._stand = stand
        kinds = ("shared", "queued", "staged", "open", "active")
        self.scenes = [make_scene(kind, stand) for kind in kinds]
        self.failure: AssertionError | None = None
        self.succeeded = 0

    @st.composite
    @staticmethod
    def requests(draw: st.DrawFn, scenes: list[Scene]) -> tuple[Any, ...]:
        """Draw a method, a target, headers and a body."""
        scene = draw(st.sampled_from(scenes))
        method, path, described = draw(st.sampled_from(OPERATIONS))
        known = {
            "image_id": (scene.image_id, scene.image_id, scene.other_id, NO_ID),
            "upload_id": (scene.upload.rpartition("/")[2] or NO_ID, NO_ID),
            "name": ("image", "images", "member", "console.js"),
            "tag": ("lts", "new"),
        }
        projects = (scene.consumer.project, scene.producer.project, "another")
        asked = [one for one in described.get("parameters", []) if one["in"] == "query"]
        words = st.sampled_from((*projects, scene.image_id, *_WORDS))
        while "{" in path:
            name = path.partition("{")[2].partition("}")[0]
            good = st.sampled_from(known.get(name, projects))
            odd = TEXTS.map(encode) | st.sampled_from(_WORDS[1:])
            value = draw(good if draw(st.integers(0, 4)) else odd)
            path = path.replace(f"{{{name}}}", value, 1)
        names = st.sampled_from([one["name"] for one in asked] or ["x"])
        pairs = st.tuples(names | TEXTS.map(encode), words | TEXTS.map(encode))
        query = draw(st.lists(pairs, max_size=3)) if draw(st.booleans()) else []
        if not draw(st.integers(0, 9)):
            method = draw(st.sampled_from(_METHODS))
        actors = (scene.producer, scene.producer, scene.consumer, scene.admin)
        actor = draw(st.sampled_from(actors))
        who = draw(
            st.sampled_from(
                (
                    *[token("someone", actor.project, actor.roles)] * 8,
                    *("u:stranger:member", f"u:{actor.project}:reader"),
                    draw(st.sampled_from(_ODD_TOKENS)),
                )
            )
        )
        headers = {
            "X-Auth-Token": who,
            "Accept": draw(st.sampled_from((JSON_TYPE, JSON_TYPE, "*/*", ""))),
            "Content-Type": draw(st.sampled_from(_TYPES)),
            **draw(_HEADERS),
        }
        bodies = [RAW, st.sampled_from(_BODIES), st.just(b"")]
        examples = _examples(described)
        if draw(st.integers(0, 4)) and examples:
            mutant = st.sampled_from(examples).flatmap(_mutated).map(json.dumps)
            here = f'"{scene.image_id}"'
            bodies = [mutant.map(lambda text: _QUOTED_ID.sub(here, text).encode())]
            is_patch = method == "PATCH"
            headers["Content-Type"] = PATCH_TYPE if is_patch else JSON_TYPE
        body = draw(st.one_of(bodies))
        target = path + "".join(
            f"{'&' if number else '?'}{name}={value}"
            for number, (name, value) in enumerate(query)
        )
        return method, target, headers, body

    def table(self) -> list[Any]:
        """Return what the table holds, without hints: those of a refused write stay."""
        return [one for one in self._stand.items() if kind_of(one) != "RECENT"]

    def bucket(self) -> list[Any]:
        """Return what the bucket holds."""
        return [*stored_objects(), *multiparts()]

    def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        """Send a request, and check its response and what it left.

        Raises:
            AssertionError: The response, or the change, is not what it may be.
        """
        before = self.table(), self.bucket()
        response = self._stand.send(method, target, headers, body)
        check_answer(target, headers["Accept"], response)
        after = self.table(), self.bucket()
        self.succeeded += response.status < 400
        if response.status >= 400 or method in ("GET", "HEAD", "OPTIONS"):
            assert before == after, "it was refused, or reads, and changed something"
        check_sound(after[0])


def check_answer(target: str, accept: str, response: Response) -> None:
    """Check that a response is one that this API gives, errors in their shape.

    Raises:
        AssertionError: It is not.
    """
    assert response.status < 500
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["strict-transport-security"]
    assert response.headers["x-openstack-request-id"].startswith("req-")
    if response.status < 400 or not response.body:
        return
    kind, document = response.headers["content-type"], response.document
    if target.startswith("/ext/v1"):
        assert kind == "application/problem+json"
        assert set(document) == {"title", "status", "detail", "reason"}
        assert document["status"] == response.status
    elif JSON_TYPE in accept:
        assert kind == JSON_TYPE
        assert set(document) == {"code", "title", "message"}
        assert document["code"].startswith(f"{response.status} ")
    else:
        assert kind.startswith("text/html")


def fuzz(stand: Stand, number: int, examples: int = EXAMPLES) -> tuple[int, int]:
    """Send a batch of requests, by its number; return how many, and how many succeeded.

    Raises:
        AssertionError: One was answered wrongly, or changed what it must not.
    """
    here, sent = Fuzz(stand), []

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        # What is there depends on the requests before, so that nothing can be shrunk.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(request=Fuzz.requests(here.scenes))
    def batch(request: Any) -> None:
        if here.failure:
            return
        sent.append(request)
        try:
            here.ask(*request)
        except Exception as exc:  # noqa: BLE001 - raised below
            here.failure = AssertionError(f"{request}: {type(exc).__name__}: {exc}")
            here.failure.__cause__ = exc

    batch()
    if here.failure:
        raise here.failure
    return len(sent), here.succeeded
