"""The API's description: of every route and no other, and of all that they answer.

`tests/actors.py` holds each call of every test against it, in process, over HTTP and
of the packaged artifact.
"""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from chalicelib.api import list_parameters
from infra.openapi.description import FILE, encoded
from infra.openapi.documents import DOCUMENTS
from infra.openapi.examples import EXAMPLES
from tests import openapi
from tests.test_docs import routes

JSON_TYPE = "application/json"
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


def operations() -> Iterator[tuple[str, Any]]:
    """Yield each operation, and its method and path."""
    for path, methods in openapi.DESCRIPTION["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_file_is_what_the_code_makes() -> None:
    """`make docs` writes it."""
    assert FILE.read_text("utf-8") == encoded()


def test_the_file_that_was_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a path in the repository."""
    monkeypatch.setattr(Path, "write_text", lambda *_: 0)

    runpy.run_module("infra.openapi", run_name="__main__")

    output = "Wrote the OpenAPI document: chalicelib/api/static/openapi.json\n"
    assert capsys.readouterr().out == output


def test_the_description_is_openapi() -> None:
    """As the specification has it."""
    validate(openapi.DESCRIPTION)


def test_every_route_is_described() -> None:
    """And no other."""
    described = {call for call, _ in operations()}

    assert described == {f"{method} {path}" for method, path in routes()}


def test_an_operation_has_all_that_a_generator_needs() -> None:
    """A name of its own, a tag, a summary, and a description of each answer."""
    names = [operation["operationId"] for _, operation in operations()]
    tags = {one["name"] for one in openapi.DESCRIPTION["tags"]}

    assert len(set(names)) == len(names)
    for call, operation in operations():
        assert set(operation["tags"]) <= tags, call
        assert operation["summary"], call
        open_to_all = operation.get("security") == []
        assert open_to_all == ("401" not in operation["responses"]), call
        for status, response in operation["responses"].items():
            assert openapi.resolved(response)["description"], f"{call} {status}"


def test_every_document_of_a_call_has_an_example() -> None:
    """Which fits its schema."""
    used = {
        form["schema"]["$ref"].rpartition("/")[2]
        for _, operation in operations()
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        for form in openapi.resolved(part).get("content", {}).values()
        if "$ref" in form["schema"]
    }
    simple = {"schema", "import-info", "stores-info", "usage-info", "error", "problem"}

    assert used - simple <= set(EXAMPLES) <= set(DOCUMENTS)
    components = openapi.DESCRIPTION["components"]
    for name, example in EXAMPLES.items():
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": components,
        }
        jsonschema.Draft202012Validator(schema).validate(example)


def test_every_filter_is_described() -> None:
    """And each parameter of paging."""
    operation = openapi.DESCRIPTION["paths"]["/v2/images"]["get"]
    described = {parameter["name"] for parameter in operation["parameters"]}

    assert described == {
        *list_parameters.FILTERS,
        *list_parameters.PAGING,
        *("tag", "visibility", "os_hidden", "member_status", "properties"),
    }


def test_no_filter_has_an_example() -> None:
    """The page would fill it in, and a list that one tries would be empty."""
    filters = openapi.DESCRIPTION["paths"]["/v2/images"]["get"]["parameters"]

    assert [one["name"] for one in filters if "example" in one] == []


def test_an_answer_that_is_not_described_is_found() -> None:
    """By its status, its media type or its form."""
    with pytest.raises(AssertionError, match="418 is not described"):
        openapi.check("GET", "/v2/images", 418, JSON_TYPE, {})
    with pytest.raises(AssertionError, match="as text/html is not described"):
        openapi.check("GET", "/v2/images", 200, "text/html", "<p>")
    with pytest.raises(jsonschema.ValidationError):
        openapi.check("GET", "/v2/images/x", 404, JSON_TYPE, {"error": "?"})


@pytest.mark.parametrize(
    ("method", "target", "kind", "body"),
    [
        ("POST", "/v2/images", JSON_TYPE, b'{"status": "active"}'),
        ("PUT", "/v2/images/x/members/y", "text/plain", b'{"status": "all"}'),
        ("PATCH", "/v2/images/x", PATCH_TYPE, b'[{"op": "test"}]'),
    ],
)
def test_a_body_that_is_not_described_is_found(
    method: str, target: str, kind: str, body: bytes
) -> None:
    """Where the service took it."""
    with pytest.raises(jsonschema.ValidationError):
        openapi.check_taken(method, target, {"Content-Type": kind}, body)
