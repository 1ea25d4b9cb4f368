"""Plays recorded conversations with the reference implementation against this service.

A recording is a list of steps: who asks (`as`), what (`method`, `path`, `headers`,
`json` or `text`), what is kept of the response (`save`), and what the reference
answered (`expect`). `${name}` stands for a kept value; `<uuid>`, `<timestamp>`,
`<text>` and `<any>` match what they say. More keys than were recorded are allowed; of
an error, the words are ours.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.actors import Response, Send, followed, token

RECORDINGS = Path(__file__).parent

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_PATTERNS = {"<uuid>": _UUID, "<timestamp>": _TIME, "<text>": ".+", "<any>": ".*"}
_NAME = re.compile(r"\$\{(\w+)\}")

Step = dict[str, Any]


def read(name: str) -> list[Step]:
    """Read the steps of a recording: `read("workflow")`."""
    steps: list[Step] = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    return steps


@dataclass
class Conversation:
    """One run of one recording: what it kept, and which images it made.

    Each run has projects of its own, so that other data does no harm.
    """

    send: Send
    kept: dict[str, str] = field(default_factory=lambda: {"run": uuid.uuid4().hex[:12]})
    made: set[str] = field(default_factory=set)

    def play(self, step: Step) -> list[str]:
        """Ask what the step asks; return each difference from what was recorded."""
        try:
            response = self._ask(step)
        except KeyError as missing:
            return [f"{missing} was never kept"]
        want = self.fill(step["expect"])
        return list(_differences(want, response, ordered=not step.get("unordered")))

    def _ask(self, step: Step) -> Response:
        headers: dict[str, str | None] = {"Accept": "application/json"}
        who = self.fill(step["as"])
        if who:
            headers["X-Auth-Token"] = token(who["user"], who["project"], who["roles"])
        body = b""
        if "json" in step:
            body = json.dumps(self.fill(step["json"])).encode()
            headers["Content-Type"] = "application/json"
        elif "text" in step:
            body = self.fill(step["text"]).encode()
        headers |= self.fill(step.get("headers", {}))
        sent = {name: value for name, value in headers.items() if value is not None}
        response = self.send(step["method"], self.fill(step["path"]), sent, body)
        response = followed(
            response, sent
        )  # What was recorded is what came in the end.
        document = response.document
        if isinstance(document, dict):
            if response.status == 201 and "id" in document:
                self.made.add(document["id"])
            if isinstance(document.get("images"), list):
                document["images"] = [
                    image for image in document["images"] if image["id"] in self.made
                ]
        for name, key in step.get("save", {}).items():
            self.kept[name] = str(document.get(key)) if document else "None"
        return response

    def fill(self, value: Any) -> Any:
        """Put what was kept in the place of each `${name}`."""
        if isinstance(value, str):
            return _NAME.sub(lambda name: self.kept[name[1]], value)
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(one) for key, one in value.items()}
        return value


def _differences(want: Step, response: Response, *, ordered: bool) -> Iterator[str]:
    if response.status != want["status"]:
        yield f"status: want {want['status']}, got {response.status}"
    for name, value in want.get("headers", {}).items():
        got = response.headers.get(name, "")
        if name == "allow":
            yield from _unlike(sorted(value.split(", ")), sorted(got.split(", ")), name)
        else:
            yield from _unlike(value, got.partition(";")[0], name)
    if "body" in want:
        body = response.document
        if not ordered:
            for document in (want["body"], body):
                for listed in (document.get("images"), document.get("members")):
                    if isinstance(listed, list):
                        listed.sort(
                            key=lambda entry: entry.get("id") or entry["member_id"]
                        )
        yield from _unlike(want["body"], body, "body")


def _unlike(want: Any, got: Any, where: str) -> Iterator[str]:
    if isinstance(want, dict) and isinstance(got, dict):
        for key in want:
            if key in got:
                yield from _unlike(want[key], got[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}: missing, want {want[key]!r}"
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        if where.endswith(".tags"):
            want, got = sorted(want), sorted(got)
        for number, (one, other) in enumerate(zip(want, got, strict=True)):
            yield from _unlike(one, other, f"{where}[{number}]")
    elif not (_fits(want, got) if isinstance(want, str) else _equals(want, got)):
        yield f"{where}: want {want!r}, got {got!r}"


def _equals(want: Any, got: Any) -> bool:
    return type(want) is type(got) and bool(want == got)


def _fits(want: str, got: Any) -> bool:
    if want == "<any>":
        return True
    if not isinstance(got, str):
        return False
    pattern = re.escape(want)
    for word, one in _PATTERNS.items():
        pattern = pattern.replace(word, one)
    return re.fullmatch(pattern, got, re.DOTALL) is not None
