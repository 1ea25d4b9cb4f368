"""Every response of the whole test run, held against the schema that it names."""

from typing import Any

import fastjsonschema

from chalicelib.api.schemas import SCHEMAS

_VALIDATORS = {
    f"/v2/schemas/{name}": fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-04/schema#", **schema}
    )
    for name, schema in SCHEMAS.items()
}


def check(document: Any) -> None:
    """Hold a document against its schema, and each image and member in it.

    Raises:
        fastjsonschema.JsonSchemaException: It does not fit.
    """
    if isinstance(document, dict) and "schema" in document:
        _VALIDATORS[document["schema"]](document)
