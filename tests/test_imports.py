"""Which room of `chalicelib` may import which; docs/architecture.md draws it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "chalicelib"
TOOLS = ROOT.parent / "tools"
ROOMS = {
    "": set[str](),  # The modules beside the rooms.
    "domain": set[str](),
    "identity": {"domain"},
    "store": {"domain"},
    "api": {"domain", "identity", "store"},
    "background": {"domain", "store"},
}
"""The rooms that each room may import beside itself."""

OUTSIDE = {
    "boto3": set[str](),
    "dataclasses": set[str](),  # It compiles half a millisecond for each: NamedTuple.
    "pynamodb": {"store"},
    "chalice": {"", "api", "background"},  # An error of the API is Chalice's, too.
    "jwt": {"identity"},
    "fastjsonschema": {"api"},
}
"""
The rooms that may import a package: each ties a room to it, or costs a cold start.
"""

MODULES = sorted(ROOT.rglob("*.py"))


def room_of(name: str) -> str:
    """Return the room of `chalicelib.room.module`, or none of `chalicelib.module`."""
    room = name.split(".")[1]
    return room if room in ROOMS else ""


def imports(path: Path) -> set[str]:
    """Return the full names that a module imports."""
    tree = ast.parse(path.read_text("utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    """Arrows point one way, of our own modules and of packages."""
    room = "" if path.parent == ROOT else path.relative_to(ROOT).parts[0]
    names = imports(path)
    own = {room_of(name) for name in names if name.startswith("chalicelib.")}
    packages = {name.split(".")[0] for name in names} & set(OUTSIDE)

    assert own <= {"", room, *ROOMS[room]}
    assert all(room in OUTSIDE[package] for package in packages)


def test_the_architecture_page_draws_these_rooms() -> None:
    """Its arrows are the imports that are allowed between rooms."""
    page = (ROOT.parent / "docs/architecture.md").read_text("utf-8")
    picture = page.split("# Rooms\n", 1)[1].split("```mermaid\n", 1)[1].split("```")[0]
    arrows = {tuple(line.split(" --> ")) for line in picture.splitlines()[1:]}

    assert {(one.strip(), other) for one, other in arrows} == {
        (room, other) for room, others in ROOMS.items() for other in others
    }


def test_only_the_keys_module_spells_keys() -> None:
    """No other module knows how a key is written."""
    prefixes = ("UPLOAD", "IMAGE", "PROJECT", "VISIBILITY", "RECENT", "MEMBER")
    spelling = {
        path.name
        for path in MODULES
        for prefix in prefixes
        if f'"{prefix}#' in path.read_text("utf-8")
    }

    assert spelling == {"keys.py"}


@pytest.mark.parametrize(
    "path", sorted(filter(Path.is_file, TOOLS.iterdir())), ids=lambda path: path.name
)
def test_a_tool_of_users_needs_nothing_of_the_service(path: Path) -> None:
    """The folder `tools` can be copied to a machine that has Python alone."""
    assert {name.split(".")[0] for name in imports(path)} <= {
        *sys.stdlib_module_names,
        "tools",
    }


def printed(code: str, **variables: str) -> list[str]:
    """Return the words that some code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT.parent,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_api_imports_no_work_of_the_other_functions() -> None:
    """Its cold start pays for no module of the worker, the stream or the sweep.

    Nor for the one that inspects data, which few requests bring, nor for the page of
    the API.
    """
    code = (
        "import sys; opened = []; sys.addaudithook(lambda event, args: event == 'open'"
        " and 'static' in str(args[0]) and opened.append(args[0])); import app;"
        " print(*opened, *sorted(m for m in sys.modules if m.startswith("
        "('chalicelib.background.', 'chalicelib.domain.formats'))))"
    )

    assert printed(code) == ["chalicelib.background.functions"]


def test_what_no_request_needs_is_imported_when_it_is_used() -> None:
    """But for what the interpreter itself imported; what is used then, works."""
    code = (
        "import sys, types; before = set(sys.modules); import app;"
        " from chalicelib.late_imports import SPARED; from urllib3 import http2;"
        " print(*[name for name in SPARED if name not in before"
        " and type(sys.modules[name]) is types.ModuleType]);"
        " import shutil; print(http2.version('urllib3')[0], shutil.copyfile.__module__)"
    )

    assert printed(code) == ["2", "shutil"]


def test_an_issuers_tokens_are_checked_without_certificates() -> None:
    """PyJWT's import of them takes as long as the rest of it; they work when used."""
    code = (
        "import sys, app; from cryptography import x509;"
        " lazy = 'cryptography.x509.base' not in sys.modules;"
        " print(lazy, x509.Certificate.__name__, 'jwt' in sys.modules)"
    )
    oidc = {"AUTH": "oidc", "OIDC_ISSUER": "https://example.org", "OIDC_AUDIENCE": "a"}

    assert printed(code, **oidc) == ["True", "Certificate", "True"]


def test_the_api_imports_no_heavy_module() -> None:
    """None that costs its cold start milliseconds, and that it can do without.

    PyJWT and cryptography come with the identity that needs them, fastjsonschema with
    the first body.
    """
    heavy = (
        *("asyncio", "boto3", "cryptography", "fastjsonschema", "jsonschema", "jwt"),
        *("multiprocessing", "pydantic", "requests", "sqlite3", "unittest", "yaml"),
    )
    code = f"import sys, app; print(*[one for one in {heavy} if one in sys.modules])"

    assert printed(code) == []
