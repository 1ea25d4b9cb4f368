"""The documents say what the code does: a table or a link that drifts fails."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import app as service
from chalicelib import store
from chalicelib.domain.caller import Role
from chalicelib.domain.policy import RULES, Rule, Verdict
from chalicelib.identity import oidc, service_credentials
from chalicelib.settings import Settings
from infra.local import gateway
from infra.openapi.calls import CALLS
from tests import messages
from tests.contract.player import RECORDINGS, read
from tests.readme import ROOT, table

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README_LINES_MAX = 150
EVERYWHERE = {HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED}
"""What any path may answer, so that no row of the table says it."""

FROM_RACES = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
"""What the recordings cannot show of each call: a lost race, and a limit of ours."""

Route = tuple[str, str]

UNRECORDED: dict[Route, set[int]] = {
    ("GET", "/v2/images/{image_id}/file"): {307},
    ("PUT", "/v2/images/{image_id}/stage"): {400, 403, 404, 415},
    ("POST", "/v2/images/{image_id}/import"): {202, 403},
    ("DELETE", "/v2/images/{image_id}"): {400},
    ("DELETE", "/v2/images/{image_id}/tags/{tag}"): {400},
    ("DELETE", "/v2/images/{image_id}/members/{member_id}"): {400},
    ("POST", "/v2/images/{image_id}/actions/deactivate"): {400},
    ("POST", "/v2/images/{image_id}/actions/reactivate"): {400},
}
"""What no recording has: a redirect that was followed, and calls that were not made."""


@cache
def all_tests() -> dict[str, ast.FunctionDef]:
    """Return every test function in the tree."""
    return {
        node.name: node
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def routes() -> Iterator[Route]:
    """Return each route that is more than a refusal, or than a GET's HEAD."""
    for path, by_method in service.app.routes.items():
        for method, entry in by_method.items():
            if method != "HEAD" and not entry.view_function.__name__.startswith(
                "refuse"
            ):
                yield method, path


def endpoints() -> dict[Route, dict[str, str]]:
    """Return the rows of docs/api.md's endpoints."""
    rows = table("Endpoints", "docs/api.md")
    return {(row["method"], row["path"].strip("`")): row for row in rows}


def statuses(text: str) -> set[int]:
    """Read the statuses in a cell."""
    return {int(word) for word in re.findall(r"\d+", text)}


def test_the_readme_is_short() -> None:
    """It is read in five minutes: pages of their own hold the rest."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()

    assert len(lines) <= README_LINES_MAX


def test_every_document_is_on_the_map() -> None:
    """docs/README.md names each page beside it."""
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert sorted(name for name in pages if f"({name})" not in text) == []


def test_the_documents_have_every_endpoint() -> None:
    """Each route that the app has, and no other."""
    assert set(endpoints()) == set(routes())


def test_the_documents_have_the_statuses_of_each_call() -> None:
    """As the OpenAPI document is made of them."""
    table = {
        key: (statuses(row["success"]), statuses(row["refusals"]))
        for key, row in endpoints().items()
    }
    described = {
        key: (set(call.answers), set(call.refusals)) for key, call in CALLS.items()
    }

    assert table == described


def test_the_documents_have_every_answer_that_was_recorded() -> None:
    """And no refusal that was not, except those of a race or of our limits."""
    recorded: dict[Route, set[int]] = {}
    for recording in RECORDINGS.glob("*.json"):
        for step in read(recording.stem):
            path = step["path"].partition("?")[0]
            if path.endswith("/"):
                continue  # No path of the API ends so: 404.
            route, _ = gateway.match(service.app.routes, path)
            responses = recorded.setdefault((step["method"], route), set())
            responses.add(step["expect"]["status"])
    documented = {
        key: statuses(row["success"]) | statuses(row["refusals"])
        for key, row in endpoints().items()
    }

    undocumented = {
        key: recorded.get(key, set()) - documented[key] - EVERYWHERE
        for key in documented
    }
    never = {
        key: documented[key] - recorded[key] - FROM_RACES - UNRECORDED.get(key, set())
        for key in documented
        if key in recorded
    }

    assert {key: missing for key, missing in undocumented.items() if missing} == {}
    assert {key: missing for key, missing in never.items() if missing} == {}


def test_the_documents_have_every_rule() -> None:
    """Cell by cell."""

    def row(action: str, rule: Rule) -> dict[str, str]:
        cells = {
            column: getattr(rule, column).value
            for column in ("admin", "owner", "member", "other")
        }
        unshared = "" if rule.unshared is Verdict.ALLOW else rule.unshared.value
        return {
            "action": action.replace("_", " "),
            "needs role": rule.role.name.lower(),
            **cells,
            "image is not `shared`": unshared,
        }

    wanted = [row(action, rule) for action, rule in RULES.items()]

    assert wanted == table("Rules", "docs/rules.md")
    assert all(rule.role is not Role.NONE for rule in RULES.values())


def test_the_documents_have_every_access_pattern() -> None:
    """Each function's docstring starts with the number of its row."""
    rows = table("Access patterns", "docs/data-model.md")
    documented = {row["#"]: row["function"].strip("`") for row in rows}

    named = {
        match[1]: name
        for one in iter_modules(store.__path__, f"{store.__name__}.")
        for module in [import_module(one.name)]
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if (match := re.match(r"\s*(AP-\d+):", function.__doc__ or ""))
    }

    assert documented == named
    assert list(documented) == [
        f"AP-{number}" for number in range(1, len(documented) + 1)
    ]


def test_the_documents_have_every_room() -> None:
    """Of `chalicelib`, and the modules beside them."""
    rows = table("Where things live", "docs/architecture.md")
    documented = {row["place"].strip("`") for row in rows}

    package = ROOT / "chalicelib"
    rooms = {
        f"chalicelib/{path.parent.name}/" for path in package.glob("*/__init__.py")
    }
    modules = {f"chalicelib/{path.name}" for path in package.glob("[a-z]*.py")}
    assert rooms | modules <= documented
    assert all((ROOT / place).exists() for place in documented)


def test_every_question_leads_to_a_name() -> None:
    """Each row of a newcomer's questions names a file, and a word that is in it."""
    rows = table("Find your place", "docs/architecture.md")

    answers = [(row["place"].strip("`"), row["name in it"].strip("`")) for row in rows]
    wrong = [
        (place, name)
        for place, name in answers
        if not re.search(rf"\b{name}\b", (ROOT / place).read_text("utf-8"))
    ]

    assert wrong == []


def test_every_setting_is_told() -> None:
    """With the default that it has."""
    rows = table("Settings", "docs/settings.md")

    documented = {row["setting"].strip("`"): row["default"] for row in rows}

    def default(name: str) -> str:
        value: Any = inspect.signature(Settings).parameters[name].default
        return "none, needed" if value is inspect.Parameter.empty else str(value)

    wanted = {name.upper(): default(name) for name in Settings.__annotations__}
    assert wanted == documented


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("Settings of Keystone", service_credentials.SETTINGS),
        ("Settings of OpenID Connect", oidc.SETTINGS),
    ],
)
def test_every_setting_of_an_identity_is_told(
    heading: str, settings: tuple[str, ...]
) -> None:
    """In the order that the module has."""
    rows = table(heading, "docs/settings.md")

    assert tuple(row["setting"].strip("`") for row in rows) == settings


def test_every_difference_is_tested() -> None:
    """By the test that its line names."""
    heading = "Differences from the reference, on purpose"
    named = [row["test"].strip("`") for row in table(heading, "docs/differences.md")]

    assert [name for name in named if name not in all_tests()] == []


def test_every_behaviour_is_tested_or_left_out_with_a_reason() -> None:
    """A test carries the numbers of what it holds: `@pytest.mark.behaviour("S1")`."""
    rows = table("Behaviours", "docs/behaviours.md")
    left_out = {row["number"] for row in rows if row["left out"]}
    carried = {
        argument.value
        for test in all_tests().values()
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith(".behaviour")
        for argument in mark.args
        if isinstance(argument, ast.Constant)
    }

    assert carried == {row["number"] for row in rows} - left_out


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Links between the documents, and to files of the repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_lock_file_names_what_it_is_compiled_from() -> None:
    """The file beside it, where that is now, so that `make lock` changes nothing."""
    locks = {path: path.with_suffix(".txt") for path in ROOT.glob("[!.]*/**/*.in")}
    locks |= {path: path.with_suffix(".txt") for path in ROOT.glob(".ci/*.in")}

    assert [
        str(lock.relative_to(ROOT))
        for source, lock in locks.items()
        if set(re.findall(r"-r (\S+)", lock.read_text("utf-8")))
        != {str(source.relative_to(ROOT))}
    ] == []


def test_every_decision_is_listed() -> None:
    """By its number and its own heading."""
    folder = ROOT / "docs" / "decisions"
    rows = table("Decisions", "docs/decisions/README.md")

    documented = {
        f"# {re.findall(r'[0-9]+', row['number'])[0]}. {row['decision']}"
        for row in rows
    }

    headings = {
        path.read_text("utf-8").partition("\n")[0] for path in folder.glob("0*.md")
    }
    assert documented == headings


def test_every_error_response_is_documented() -> None:
    """Each with its status, its reason and its message, and no other."""
    rows = {
        (int(row["status"]), row["reason"].strip("`"), unescaped(row["message"]))
        for row in table("Responses", "docs/errors.md")
    }

    assert rows == messages.responses()


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Failed imports and uploads", messages.failures),
        ("Settings", messages.settings),
    ],
)
def test_every_message_of_a_failure_is_documented(
    heading: str, expected: Callable[[], set[str]]
) -> None:
    """And no other: of imports and uploads, and of settings."""
    rows = {unescaped(row["message"]) for row in table(heading, "docs/errors.md")}

    assert rows == expected()


def unescaped(cell: str) -> str:
    """Return the text of a table's cell."""
    return cell.replace("\\\\", "\\")


@pytest.mark.parametrize(
    "heading", ["Rules and identity", "Other services", "Images and members", "Lists"]
)
def test_every_surviving_mutant_is_of_a_function_that_is_there(heading: str) -> None:
    """Who renames or removes a function looks at what is said of its mutants."""
    for row in table(heading, "docs/mutants.md"):
        room, module, *names = row["function"].strip("`").split(".")
        found: Any = import_module(f"chalicelib.{room}.{module}")
        for name in names:
            found = inspect.getattr_static(found, name)
        assert names, row
