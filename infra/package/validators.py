"""The validators of bodies as modules, so that no request waits for their making."""

from pathlib import Path

from fastjsonschema import compile_to_code

from chalicelib.api.bodies.validators import COMPILED, SCHEMAS, module_of


def write_validators(code: Path) -> None:
    """Write a module for each schema into a copy of the code."""
    folder = code.joinpath(*COMPILED.split("."))
    folder.mkdir()
    (folder / "__init__.py").touch()
    for kind, schema in SCHEMAS.items():
        module = folder / f"{module_of(kind)}.py"
        module.write_text(compile_to_code(schema), "utf-8")
