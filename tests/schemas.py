"""Every response of the whole test run, held against the schema that it names."""

from typing import Any

import jsonschema

from chalicelib.api.schemas import SCHEMAS

_VALIDATORS = {
    f"/v2/schemas/{name}": jsonschema.Draft4Validator(schema)
    for name, schema in SCHEMAS.items()
}


def check(document: Any) -> None:
    """Hold a document against its schema, and each image and member in it.

    Raises:
        jsonschema.ValidationError: It does not fit.
    """
    if isinstance(document, dict) and "schema" in document:
        _VALIDATORS[document["schema"]].validate(document)
