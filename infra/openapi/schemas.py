"""What the schemas and parameters of the OpenAPI document are made of."""

from typing import Any, Final

from chalicelib.api.schemas import Json

STRING: Final[Json] = {"type": "string"}
NULLABLE: Final[Json] = {"type": ["string", "null"]}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
FLAG: Final[Json] = {"type": "boolean"}


def object_of(properties: Json, *optional: str) -> Json:
    """Return the schema of an object whose properties are required, but for some."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def ref(name: str) -> Json:
    """Return a reference to the schema of a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(name: str) -> Json:
    """Return the schema of an array whose items have the schema of a name."""
    return {"type": "array", "items": ref(name)}


def one_of(*words: str) -> Json:
    """Return the schema of a string that is one of these."""
    return {"type": "string", "enum": [str(word) for word in words]}


def query_parameter(name: str, schema: Json, description: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
    """Describe a parameter of a query."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": schema,
        **more,
    }
