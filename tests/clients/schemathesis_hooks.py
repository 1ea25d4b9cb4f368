"""Runs in Schemathesis's own environment: how it writes a JSON patch."""

import importlib
from typing import Any

# It cannot be imported in the environment of the tests themselves.
schemathesis: Any = importlib.import_module("schemathesis")

for version in ("2.1", "2.0"):
    schemathesis.serializer.alias(
        f"application/openstack-images-v{version}-json-patch", "application/json"
    )
