"""The API's description: of every route and no other, and of every answer.

`tests/actors.py` holds each answer of every test against it, in process, over HTTP and
of the packaged artifact.
"""

import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from infra import openapi
from tests import openapi as answers
from tests.test_docs import routes


def test_the_files_are_those_that_the_code_makes() -> None:
    """`python -m infra.openapi` writes them."""
    written = {
        name: (openapi.FOLDER / name).read_text("utf-8") for name in openapi.files()
    }

    assert written == openapi.files()


def test_the_description_is_openapi() -> None:
    """As the specification has it."""
    validate(answers.DESCRIPTION)


def test_every_route_is_described() -> None:
    """And no other."""
    described = {
        (method.upper(), path)
        for path, methods in answers.DESCRIPTION["paths"].items()
        for method in methods
    }

    assert described == set(routes())


def test_the_page_needs_nothing_else() -> None:
    """Neither a network nor a script."""
    page = (openapi.FOLDER / "index.html").read_text("utf-8")

    assert re.findall(r'(?:src|href)="(?!#|openapi\.json)', page) == []
    assert "<script" not in page
    assert all(path in page for path in answers.DESCRIPTION["paths"])


def test_an_answer_that_is_not_described_is_found() -> None:
    """By its status, its media type or its form."""
    json_type = "application/json"
    with pytest.raises(AssertionError, match="418 is not described"):
        answers.check("GET", "/v2/images", 418, json_type, {})
    with pytest.raises(AssertionError, match="as text/html is not described"):
        answers.check("GET", "/v2/images", 200, "text/html", "<p>")
    with pytest.raises(jsonschema.ValidationError):
        answers.check("GET", "/v2/images/x", 404, json_type, {"error": "?"})
