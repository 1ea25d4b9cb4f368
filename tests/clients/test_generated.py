"""A client that is generated from the OpenAPI document runs the handshake."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.environments import HERE, install
from tests.local.service import Run

OLD_DIALECT = "Unsupported content type application/openstack-images-v2.0-json-patch"
CONFIGURATION = """
post_hooks: []
content_type_overrides:
  application/openstack-images-v2.1-json-patch: application/json
  application/problem+json: application/json
"""

# They share the service that they start.
pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("generated")]


@pytest.fixture
def client(service: Run, tmp_path: Path) -> Path:
    """The folder of the generated client; but for a dialect, nothing is left out."""
    configuration = tmp_path / "client.yaml"
    configuration.write_text(CONFIGURATION, "utf-8")
    done = subprocess.run(
        [
            str(install("openapi-python-client") / "openapi-python-client"),
            *("generate", "--url", f"{service.url}/docs/openapi.json"),
            *("--meta", "none", "--config", str(configuration)),
            *("--output-path", str(tmp_path / "client")),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stderr.count("WARNING") == done.stderr.count(OLD_DIALECT) == 1
    assert "Unable" not in done.stderr
    return tmp_path


def test_a_generated_client_shares_an_image(service: Run, client: Path) -> None:
    """It creates, changes, shares, accepts, lists and removes; errors have a type."""
    python = install("openapi-python-client") / "python"

    done = subprocess.run(
        [str(python), str(HERE / "generated.py"), str(client), service.url],
        stdout=subprocess.PIPE,
        check=True,
    )

    assert json.loads(done.stdout) == {
        "created": ["fedora", ["a b"], "shared"],
        "hidden": ["Error", "404 Not Found"],
        "shared": ["consumer", "pending"],
        "offered": ["fedora-43"],
        "accepted": "accepted",
        "listed": ["fedora-43"],
        "removed": None,
        "left": [],
    }
