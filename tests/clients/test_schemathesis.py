"""Schemathesis looks for answers that the OpenAPI document does not describe."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.environments import HERE, install
from tests.local.service import Run

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)
EXAMPLES = 5
"""The number of requests of each operation and phase that are drawn."""

# They share the service that they start.
pytestmark = [pytest.mark.clients, pytest.mark.xdist_group("generated")]


def configure(service: Run, folder: Path) -> Path:
    """Make images that nobody can delete, and have them drawn in most calls."""
    producer = service.actor("producer")
    active = producer.make_image(
        disk_format="raw", container_format="bare", protected=True, tags=["lts"]
    )
    assert producer.upload(active, b"data").status == 204
    producer.share(active, "consumer")
    queued = producer.make_image(protected=True)
    saving = producer.make_image(
        disk_format="raw", container_format="bare", protected=True
    )
    upload = producer.post(f"/ext/v1/images/{saving}/uploads", {"size": 1})
    configuration = folder / "schemathesis.toml"
    images = json.dumps([active, queued, saving])
    configuration.write_text(
        f"""
        [dictionaries]
        images.values = {images}
        uploads.values = ["{upload.document["id"]}"]
        members.values = ["consumer", "producer"]

        [parameters]
        "path.image_id" = {{ dictionary = "images", probability = 0.8 }}
        "path.upload_id" = {{ dictionary = "uploads", probability = 0.8 }}
        "path.member_id" = {{ dictionary = "members", probability = 0.8 }}
        """,
        "utf-8",
    )
    return configuration


@pytest.mark.parametrize(
    ("token", "phases", "calls_min"),
    [
        ("alice:producer:member", "examples,coverage,fuzzing,stateful", 1000),
        # What breaks a schema is refused alike; that takes most of the time.
        ("carol:operators:admin", "examples,fuzzing,stateful", 250),
    ],
    ids=["member", "admin"],
)
def test_it_finds_nothing(
    token: str, phases: str, calls_min: int, service: Run, tmp_path: Path
) -> None:
    """No 5xx, no status, header or media type of its own, no document that misfits."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            str(install("schemathesis") / "schemathesis"),
            *("--config-file", str(configure(service, tmp_path)), "--no-color"),
            *("run", f"{service.url}/docs/openapi.json"),
            *("--header", f"X-Auth-Token: {token}"),
            *("--header", "Accept: application/json"),
            *("--checks", CHECKS, "--phases", phases),
            *("--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--max-redirects", "0"),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    results = json.loads(report.read_text("utf-8"))
    assert results["failures"] == []
    assert results["test_cases"]["generated"] > calls_min
    assert results["operations"]["tested"] == results["operations"]["total"]
