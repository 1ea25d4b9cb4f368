"""The compiled validators of the package, beside those of the source."""

import runpy
from collections.abc import Callable
from typing import Any

import fastjsonschema
import pytest

from chalicelib.api.bodies.validators import COMPILED, SCHEMAS, module_of
from tests.package.packaged import Lambda, Package, through_gateway

VALUES: tuple[Any, ...] = (
    *(None, True, 5, -1, 10**18, 1.5, "", "x", "x" * 300, "a/b", "accepted"),
    *([], ["x"], [1, 1], [{}], [{"project_id": "p", "image_id": "i"}], {}, {"x": 1}),
    *({"name": "web-download"}, "00000000-0000-4000-8000-000000000000"),
)


def fault(validate: Callable[..., Any], document: Any) -> Any:
    """Return all that a message is made of, or what passed."""
    try:
        return validate(document, name_prefix="body")
    except fastjsonschema.JsonSchemaValueException as exc:
        rule = exc.rule, exc.rule_definition, exc.definition
        return exc.message, exc.name, exc.path, exc.value, rule


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_compiled_validator_finds_what_its_schema_refuses(
    kind: str, dev: Package
) -> None:
    """Of each value alone, and as each property, the same as the source's."""
    folder = dev.unzipped.joinpath(*COMPILED.split("."))
    compiled = runpy.run_path(str(folder / f"{module_of(kind)}.py"))["validate"]
    source = fastjsonschema.compile(SCHEMAS[kind])
    names = [*SCHEMAS[kind]["properties"], "unknown"]
    whole = dict.fromkeys(SCHEMAS[kind].get("required", ()), "x")
    documents = [
        *VALUES,
        *({**whole, name: value} for name in names for value in VALUES),
        *({name: value} for name in names for value in VALUES),
    ]

    assert [fault(source, one) for one in documents] == [
        fault(compiled, one) for one in documents
    ]


def test_a_request_uses_the_compiled_validator(dev: Package, function: Lambda) -> None:
    """It compiles no schema, and the others stay on the disk."""
    send = through_gateway(dev, function)
    token = {"X-Auth-Token": "alice:producer:member"}
    before = function.imported()

    response = send("POST", "/v2/images", token, b'{"name": 5}')

    new = function.imported().keys() - before.keys()
    assert response.status == 400
    assert {name for name in new if name.startswith(COMPILED)} == {
        COMPILED,
        f"{COMPILED}.new_image",
    }
