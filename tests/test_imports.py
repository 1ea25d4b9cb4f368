"""
Who may import whom: arrows point one way, so that the rules do no I/O.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DOMAIN = {"domain", "errors"}
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "domain": set(),
    "errors": set(),
    "environment": set(),
    "telemetry": {"environment"},
    "cors": {"environment"},
    "policy": DOMAIN,
    "schemas": {"domain"},
    "bodies": {*DOMAIN, "environment", "schemas"},
    "answers": {"domain", "schemas"},
    "patches": {*DOMAIN, "bodies", "schemas"},
    "filters": {*DOMAIN, "environment"},
    "credentials": {*DOMAIN, "environment"},
    "remote": set(),
    "secret": {"remote"},
    "access_rules": set(),
    "openrc": {"credentials", "environment", "remote", "secret"},
    "keystone": {
        *(*DOMAIN, "access_rules", "credentials", "environment", "openrc", "remote"),
        "secret",
    },
    "oidc": {*DOMAIN, "credentials", "environment", "remote"},
    "identity": {"domain", "environment", "credentials", "keystone", "oidc"},
    "table": {"domain", "environment"},
    "dynamo": {*DOMAIN, "environment", "table", "telemetry"},
    "hints": {"domain", "environment", "dynamo", "table"},
    "store": {*DOMAIN, "environment", "dynamo", "hints", "table"},
    "digests": set(),
    "targets": set(),
    "sources": {"targets"},
    "uploads": {*DOMAIN, "environment", "dynamo", "store", "table"},
    "clients": {"dynamo"},
    "bucket": {*DOMAIN, "clients", "environment", "dynamo"},
    "jobs": {"clients", "errors", "environment"},
    "transfers": {
        *(*DOMAIN, "environment", "bucket", "digests", "jobs"),
        *("sources", "targets", "uploads"),
    },
    "events": {*DOMAIN, "clients", "environment", "table"},
    "records": {"bucket", "events", "jobs", "store", "table", "uploads"},
    "sweep": {
        *("domain", "environment", "bucket", "dynamo", "jobs", "store", "table"),
        *("transfers", "uploads"),
    },
    "functions": {"environment", "jobs", "records", "sweep", "targets", "transfers"},
    "memberships": {*DOMAIN, "environment", "dynamo", "hints", "table"},
    "index": {"domain", "environment", "dynamo", "filters", "table"},
    "listing": {
        *("domain", "errors", "environment", "answers", "filters", "policy"),
        *("table", "dynamo", "hints", "store", "index"),
    },
    "web": {
        *(*DOMAIN, "cors", "credentials", "environment", "filters", "identity"),
        "telemetry",
    },
    "documents": {*DOMAIN, "environment", "schemas", "web"},
    "images": {
        *("domain", "errors", "environment", "answers", "bodies", "filters"),
        *("listing", "patches", "policy", "schemas", "store", "web"),
    },
    "data": {
        *("domain", "errors", "environment", "answers", "bodies", "bucket"),
        *("policy", "store", "targets", "uploads", "web"),
    },
    "direct": {
        *("domain", "errors", "answers", "bodies", "bucket", "policy"),
        *("schemas", "store", "uploads", "web"),
    },
    "members": {"answers", "bodies", "memberships", "policy", "store", "web"},
}
"""
What each module of `chalicelib` may import of the others.
"""

OUTSIDE = {
    "boto3": set[str](),
    "botocore": {"bucket", "clients", "events", "jobs", "secret"},
    "jwt": {"oidc"},
    "pynamodb": {"table", "dynamo", "store", "memberships", "index", "uploads"},
    "chalice": {
        *("cors", "errors", "web", "documents", "images", "members"),
        *("data", "direct", "functions"),
    },
    "fastjsonschema": {"bodies"},
}
"""
Who may import what costs a cold start, or ties a module to DynamoDB or HTTP.
"""

MODULES = sorted(path.stem for path in (ROOT / "chalicelib").glob("*.py"))


def imports(module: str) -> set[str]:
    """
    Give the names that a module imports, in full.
    """
    tree = ast.parse((ROOT / "chalicelib" / f"{module}.py").read_text("utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_it_may(module: str) -> None:
    """
    Of this package, and of what is outside.
    """
    names = imports(module)
    own = {name.split(".")[1] for name in names if name.startswith("chalicelib.")}
    outside = {name.split(".")[0] for name in names} & set(OUTSIDE)

    assert own <= ALLOWED[module]
    assert all(module in OUTSIDE[package] for package in outside)


def test_only_the_table_spells_keys() -> None:
    """
    No other module knows how a key is written.
    """
    spelling = {
        module
        for module in MODULES
        for prefix in (
            '"UPLOAD#',
            '"IMAGE#',
            '"PROJECT#',
            '"VISIBILITY#',
            '"RECENT#',
            '"MEMBER#',
        )
        if prefix in (ROOT / "chalicelib" / f"{module}.py").read_text("utf-8")
    }

    assert spelling == {"table"}
