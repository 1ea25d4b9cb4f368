"""The command `tools/sharing`: both sides of a share, for people and for scripts."""

import argparse
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from tools.access import RefusedError, Service, ToolError, connect
from tools.command_line import CREDENTIALS, FAILED, INTERRUPTED, Parser

Json = dict[str, Any]
Row = Sequence[str]

PAIRS_AT_ONCE: Final = 50
"""How many memberships a request changes: a line of progress follows each."""

EXTENSION: Final = "/ext/v1"
STATUSES: Final = ("pending", "accepted", "rejected", "all")
ANSWERS: Final[dict[str, Json]] = {
    "accept": {"status": "accepted"},
    "reject": {"status": "rejected"},
    "leave": {"leave": True},
}
"""What a request says of an offer, by the command."""

ID: Final = "an image's id"


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(words)
    try:
        return int(options.run(connect(), options))
    except ToolError as error:
        sys.stderr.write(f"sharing: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> Parser:
    parser = Parser(
        "sharing",
        description="See what is shared with your project and by it, and act.",
        epilog=CREDENTIALS,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[..., int], words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=f"{words}.")
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(run=run)
        return command

    add("whoami", _whoami, "Print your project's id, which a producer needs")
    incoming = add("incoming", _incoming, "List what others offer to your project")
    incoming.add_argument(
        "--status", choices=STATUSES, default="pending", help="by default pending"
    )
    incoming.add_argument("--producer", metavar="PROJECT", help="only of this one")
    incoming.add_argument("--muted", action="store_true", help="what a rule hides")
    for name, words in (
        ("accept", "Accept offers: the images are in your image list"),
        ("reject", "Reject offers: the images are not in your image list"),
        ("leave", "Leave images: your project's access ends"),
    ):
        command = add(name, _answer, words)
        command.add_argument("images", metavar="IMAGE", nargs="+", help=ID)
        command.add_argument("--dry-run", action="store_true", help="change nothing")
        command.set_defaults(answer=ANSWERS[name])
    outgoing = add("outgoing", _outgoing, "List what your project shares")
    outgoing.add_argument(
        "--status", choices=STATUSES, default="all", help="by default all"
    )
    outgoing.add_argument("--image", metavar="IMAGE", help="only of this one")
    outgoing.add_argument(
        "--with", dest="member", metavar="PROJECT", help="only with this one"
    )
    for name, words in (
        ("share", "Share images with projects"),
        ("revoke", "Stop sharing images with projects"),
    ):
        command = add(name, _change, words)
        command.add_argument("images", metavar="IMAGE", nargs="+", help=ID)
        command.add_argument(
            "--with",
            dest="projects",
            metavar="PROJECT",
            nargs="+",
            required=True,
            help="a project's id",
        )
        command.add_argument("--dry-run", action="store_true", help="change nothing")
        command.set_defaults(action=name, note=None, known_only=False)
        if name == "share":
            command.add_argument("--note", help="for the consumers to read")
            command.add_argument(
                "--known-only", action="store_true", help="refuse unknown projects"
            )
    return parser


def _whoami(service: Service, options: argparse.Namespace) -> int:
    project_id = _ask(service, "GET", "")["project_id"]
    _write(options, {"project_id": project_id}, ["Project"], [[project_id]])
    return 0


def _incoming(service: Service, options: argparse.Namespace) -> int:
    query = {"status": options.status}
    if options.producer:
        query["producer_id"] = options.producer
    if options.muted:
        query["muted"] = "true"
    offers = list(_entries(service, f"/incoming?{urlencode(query)}"))
    rows = [
        [
            offer["image_id"],
            (offer["image"] or {}).get("name") or "",
            offer["status"],
            _producer(offer["producer"]),
            _local(offer["offered_at"]),
            offer["note"] or "",
        ]
        for offer in offers
    ]
    heads = ["Image", "Name", "Status", "Producer", "Offered", "Note"]
    _write(options, {"memberships": offers}, heads, rows)
    return 0


def _outgoing(service: Service, options: argparse.Namespace) -> int:
    query = {"status": options.status}
    if options.image:
        query["image_id"] = options.image
    if options.member:
        query["member_id"] = options.member
    shares = list(_entries(service, f"/outgoing?{urlencode(query)}"))
    rows = [
        [
            share["image_id"],
            share["image"]["name"] or "",
            share["project_id"],
            share["status"],
            _local(share["offered_at"]),
            share["note"] or "",
        ]
        for share in shares
    ]
    heads = ["Image", "Name", "Project", "Status", "Since", "Note"]
    _write(options, {"memberships": shares}, heads, rows)
    return 0


def _answer(service: Service, options: argparse.Namespace) -> int:
    results: list[Json] = []
    for images in _chunks(options.images):
        left: list[str] = images
        while left:
            body = {
                "answers": [{"image_id": one, **options.answer} for one in left],
                "dry_run": options.dry_run,
            }
            response = _ask(service, "POST", "/incoming", body)
            results += response["results"]
            left = left[len(response["results"]) :]
        _show_progress(len(results), len(options.images))
    rows = [[one["image_id"], _outcome(one)] for one in results]
    _write(options, {"results": results}, ["Image", _result(options)], rows)
    return _status(results)


def _change(service: Service, options: argparse.Namespace) -> int:
    pairs = len(options.images) * len(options.projects)
    results: list[Json] = []
    for image_id in options.images:
        for projects in _chunks(options.projects):
            left: list[str] = projects
            while left:
                body = {
                    "action": options.action,
                    "images": [image_id],
                    "projects": left,
                    "dry_run": options.dry_run,
                }
                if options.note is not None:
                    body["note"] = options.note
                if options.known_only:
                    body["known_only"] = True
                response = _ask(service, "POST", "/outgoing", body)
                results += response["results"]
                done = {one["project_id"] for one in response["results"]}
                left = [project for project in left if project not in done]
            _show_progress(len(results), pairs)
    rows = [
        [
            one["image_id"],
            one["project_id"],
            _outcome(one),
            "yes" if one["known"] else "no: check the id",
        ]
        for one in results
    ]
    heads = ["Image", "Project", _result(options), "Known"]
    _write(options, {"results": results}, heads, rows)
    return _status(results)


def _ask(service: Service, method: str, path: str, body: Json | None = None) -> Json:
    """Make a call of the extension; say so where there is none."""
    try:
        document: Json = service.ask(method, EXTENSION + path, body)
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise ToolError(f"{error} Is the sharing extension on?") from None
        raise ToolError(_named(str(error), body)) from None
    return document


def _named(message: str, body: Json | None) -> str:
    """Name what was typed where a message has its place: /images/0."""

    def typed(place: re.Match[str]) -> str:
        name, index, key = place.groups()
        try:
            value = (body or {})[name][int(index)]
            return _printable(f'"{value[key] if key else value}"')
        except (KeyError, IndexError, TypeError):
            return place[0]

    return re.sub(r"/(\w+)/(\d+)(?:/(\w+))?", typed, message, count=1)


def _entries(service: Service, path: str) -> Iterator[Json]:
    target: str | None = EXTENSION + path
    while target:
        page = _ask(service, "GET", target.removeprefix(EXTENSION))
        yield from page["memberships"]
        target = page["next"]


def _chunks(items: list[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(items))
    for start in range(0, len(unique), PAIRS_AT_ONCE):
        yield unique[start : start + PAIRS_AT_ONCE]


def _status(results: list[Json]) -> int:
    return FAILED if any(one["result"] == "refused" for one in results) else 0


def _result(options: argparse.Namespace) -> str:
    """Return the head of the results, which a dry run would have."""
    return "Would be" if options.dry_run else "Result"


def _outcome(result: Json) -> str:
    reason = f" ({result['reason']})" if "reason" in result else ""
    return f"{result['result']}{reason}"


def _producer(producer: Json) -> str:
    name = producer.get("display_name")
    verified = ", verified" if producer.get("verified") else ""
    project_id: str = producer["project_id"]
    return f"{name} ({project_id}{verified})" if name else project_id


def _local(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"


def _show_progress(done: int, total: int) -> None:
    if total > PAIRS_AT_ONCE and sys.stderr.isatty():
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done} of {total}{end}")
        sys.stderr.flush()


def _write(
    options: argparse.Namespace, document: Json, heads: Row, rows: Sequence[Row]
) -> None:
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    cells = [[_printable(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [
            cell + " " * (width - _width(cell))
            for cell, width in zip(row, widths, strict=True)
        ]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _printable(text: str) -> str:
    """Replace what a terminal would not show as text: the words are another's."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
