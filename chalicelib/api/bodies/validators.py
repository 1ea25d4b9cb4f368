"""The validators of bodies, one for each schema.

The package has them compiled: to compile the schema of an image takes as long as to
import ten modules. Elsewhere each is compiled when it is first needed.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from chalicelib.api.schemas import BODIES, Json
from chalicelib.api.sharing_schemas import SHARING_BODIES

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

SCHEMAS: Final[dict[str, Json]] = {**BODIES, **SHARING_BODIES}
"""The schemas of all bodies, by their kind."""

COMPILED: Final = f"{__package__}.compiled"
"""The sub-package of the compiled validators; `infra/package` writes it."""


def find_fault(
    kind: str,
    document: Any,  # noqa: ANN401 - any JSON
    name: str = "data",
) -> "JsonSchemaValueException | None":
    """Return the first thing in a document that its schema refuses, or None.

    Messages call the document by *name*.
    """
    # A request without a body does not pay for it.
    from fastjsonschema import JsonSchemaValueException  # noqa: PLC0415

    try:
        _validator(kind)(document, name_prefix=name)
    except JsonSchemaValueException as exc:
        return exc
    return None


def module_of(kind: str) -> str:
    """Return the module of a compiled validator: `new_image` of `new-image`."""
    return kind.replace("-", "_")


@cache
def _validator(kind: str) -> Callable[..., Any]:
    validate: Callable[..., Any]
    try:
        validate = import_module(f"{COMPILED}.{module_of(kind)}").validate
    except ModuleNotFoundError:
        from fastjsonschema import compile as compiled  # noqa: PLC0415 - as above

        validate = compiled(SCHEMAS[kind])
    return validate
