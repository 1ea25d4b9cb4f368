"""DynamoDB Local, which tells the units that DynamoDB would charge."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from filelock import FileLock

VERSION = "2.9.30"
FOLDER = Path(__file__).parents[2] / ".cache" / "dynamodb-local"
_JAR = "node_modules/amplify-dynamodb-simulator/emulator/DynamoDBLocal.jar"


def install() -> Path:
    """Get the emulator from npm, once for all; give its jar."""
    for program in ("java", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"DynamoDB Local needs {program}, which is not installed.")
    jar = FOLDER / _JAR
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / "lock"):
        if not jar.exists():
            package = f"amplify-dynamodb-simulator@{VERSION}"
            subprocess.run(
                [
                    *("npm", "install", "--no-save", "--no-audit", "--silent"),
                    *("--no-package-lock", "--ignore-scripts", package),
                ],
                cwd=FOLDER,
                check=True,
            )
    return jar


@contextmanager
def running() -> Iterator[Any]:
    """Run the emulator in memory; give a client of it."""
    jar = install()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}",
            *("-jar", str(jar), "-inMemory", "-sharedDb", "-disableTelemetry"),
            *("-port", str(port)),
        ],
        cwd=jar.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port)
        yield botocore.session.get_session().create_client(
            "dynamodb",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"DynamoDB Local does not listen on {port}")
