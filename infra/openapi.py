"""`python -m infra.openapi`: the API's description, and its page in `docs/api`.

Paths and methods are the app's, what each does and answers is the table of endpoints
in docs/api.md, documents are the schemas that are served: nothing is written twice.
"""

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from chalicelib.api.discovery import VERSIONS
from chalicelib.api.responses import JSON_TYPE
from chalicelib.api.schemas import SCHEMAS
from chalicelib.errors import title_of

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "api"
ERRORS_MIN: Final = 400
PROBLEM_TYPE: Final = "application/problem+json"

_OPEN: Final = ("/", "/versions", "/healthcheck")
_DATA: Final = ("/v2/images/{image_id}/file", "/v2/images/{image_id}/stage")
_DOCUMENTS: Final = {
    ("POST", "/v2/images"): "image",
    ("GET", "/v2/images"): "images",
    ("GET", "/v2/images/{image_id}"): "image",
    ("PATCH", "/v2/images/{image_id}"): "image",
    ("POST", "/v2/images/{image_id}/members"): "member",
    ("GET", "/v2/images/{image_id}/members"): "members",
    ("GET", "/v2/images/{image_id}/members/{member_id}"): "member",
    ("PUT", "/v2/images/{image_id}/members/{member_id}"): "member",
}
_TEXT: Final = {"type": "string"}
_ERROR: Final[Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["code", "title", "message"],
    "properties": {"code": _TEXT, "title": _TEXT, "message": _TEXT},
}
_PROBLEM: Final[Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "status", "detail", "reason"],
    "properties": {
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "reason": _TEXT,
    },
}


def described(endpoints: list[dict[str, str]]) -> Json:
    """Describe the API: an operation for each row of the table in docs/api.md."""
    paths: dict[str, Json] = {}
    for row in endpoints:
        path = row["path"].strip("`")
        paths.setdefault(path, {})[row["method"].lower()] = _operation(row, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloud Images",
            "version": VERSIONS[0],
            "description": "The OpenStack Images API v2, and direct uploads.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "error": _ERROR, "problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
    }


def page(description: Json) -> str:
    """Make the page of a description: one file, that needs nothing else."""
    rows = "\n".join(
        f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2>"
        f"<p>{escape(operation['summary'])}</p><ul>{_answers(operation)}</ul></section>"
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    documents = "\n".join(
        f'<section id="{escape(name)}"><h2>{escape(name)}</h2>'
        f"<pre>{escape(json.dumps(schema, indent=1))}</pre></section>"
        for name, schema in description["components"]["schemas"].items()
    )
    return _PAGE.format(rows=rows, documents=documents)


def files() -> Mapping[str, str]:
    """Return what belongs into `docs/api`, by name."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    description = described(_rows(text.split("\n## Endpoints\n", 1)[1]))
    return {
        "openapi.json": json.dumps(description, indent=1, ensure_ascii=False) + "\n",
        "index.html": page(description),
    }


def _rows(section: str) -> list[dict[str, str]]:
    """Read the first table of a section."""
    text = section[section.index("\n|") + 1 :].partition("\n\n")[0]
    columns, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
    ]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _operation(row: Mapping[str, str], path: str) -> Json:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    told = [int(one) for one in f"{row['success']},{row['refusals']}".split(",") if one]
    # Data is answered by S3, where a redirect leads.
    told = [one for one in told if (path, one) != (_DATA[0], 206)]
    known = {*told, 500, 503}
    if path.startswith(("/v2/", "/ext/")):
        known.add(401)
    if path.startswith(("/v2/images", "/ext/")):
        known.add(403)
    operation: Json = {
        "summary": row["what it does"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _TEXT}
            for name in names
        ],
        "responses": {
            str(status): _response(row["method"], path, status)
            for status in sorted(known)
        },
        "security": [] if path in _OPEN else [{"token": []}],
    }
    return operation


def _response(method: str, path: str, status: int) -> Json:
    title = title_of(HTTPStatus(status))
    response: Json = {
        "description": title,
        "headers": {"x-openstack-request-id": {"schema": _TEXT}},
    }
    if status >= ERRORS_MIN:
        response["content"] = _error_forms(path)
    elif status in (HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED):
        pass
    elif status == HTTPStatus.TEMPORARY_REDIRECT:
        response["headers"]["Location"] = {"schema": _TEXT}
    elif path not in _DATA:
        name = _DOCUMENTS.get((method, path))
        schema = {"$ref": f"#/components/schemas/{name}"} if name else {}
        form = "text/plain" if path == "/healthcheck" else JSON_TYPE
        response["content"] = {form: {"schema": schema}}
    return response


def _error_forms(path: str) -> Json:
    if path.startswith("/ext/"):
        return {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {
        JSON_TYPE: {"schema": {"$ref": "#/components/schemas/error"}},
        "text/html": {"schema": _TEXT},
    }


def _answers(operation: Json) -> str:
    parts = []
    for status, response in operation["responses"].items():
        forms = response.get("content", {})
        names = [
            form["schema"]["$ref"].rpartition("/")[2]
            for form in forms.values()
            if "$ref" in form["schema"]
        ]
        links = "".join(f' <a href="#{name}">{name}</a>' for name in names)
        parts.append(f"<li>{status} {escape(response['description'])}{links}</li>")
    return "".join(parts)


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cloud Images: the API</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
h2 {{ font: 1em monospace; border-top: 1px solid #ccc; padding-top: 1em; }}
pre {{ overflow: auto; background: #f6f6f6; padding: 1em; }}
ul {{ columns: 2; }}
</style>
<h1>Cloud Images: the API</h1>
<p>Made from <a href="openapi.json">openapi.json</a>. Every answer carries
<code>x-openstack-request-id</code>; a method that a path does not have is 405.</p>
{rows}
<h1>Documents</h1>
{documents}
</html>
"""  # noqa: E501 - a style a line

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, "utf-8")
