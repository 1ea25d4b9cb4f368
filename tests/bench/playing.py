"""Recorded requests, and a DynamoDB in another process that answers as recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.responder import ENVIRONMENT


@contextmanager
def playing() -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Record a request of each kind and play the answers.

    Yield what was recorded, and the environment of a process that is to ask.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.json"
        subprocess.run(
            [sys.executable, "-m", "tests.bench.record", str(file)],
            env=os.environ | ENVIRONMENT,
            check=True,
        )
        responder = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.responder", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with responder:
            assert responder.stdout
            port = responder.stdout.readline().strip()
            environment = ENVIRONMENT | {
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            }
            try:
                yield json.loads(file.read_text("utf-8")), environment
            finally:
                responder.kill()
