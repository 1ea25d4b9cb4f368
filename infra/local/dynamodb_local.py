"""
DynamoDB Local, Amazon's emulator: it survives a restart, and tells what units cost.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

VERSION: Final = "2.9.30"
FOLDER: Final = Path(__file__).parents[2] / ".cache" / "dynamodb-local"
START_SECONDS: Final = 60
"""How long a start may take, on a busy machine."""

_JAR: Final = "node_modules/amplify-dynamodb-simulator/emulator/DynamoDBLocal.jar"
# Java ends as standard input does, and so never outlives the process that started it.
_END_WITH_STDIN: Final = (
    'exec 3<&0; "$@" & java=$!; { read -r _; kill $java; } <&3 &'
    " wait $java; kill $! 2>/dev/null"
)


class MissingError(Exception):
    """A program that DynamoDB Local needs is missing, or too old."""


def install() -> Path:
    """
    Install the emulator from npm, once for all, and return its jar.

    Raises:
        MissingError: Java or npm is not installed.
    """
    jar = FOLDER / _JAR
    _require("java", "Java 17 or newer")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / "lock"):
        if not jar.exists():
            npm = _require("npm", "npm, for its first start")
            package = f"amplify-dynamodb-simulator@{VERSION}"
            subprocess.run(  # noqa: S603 - as named here
                [
                    *(npm, "install", "--no-save", "--no-audit", "--silent"),
                    *("--no-package-lock", "--ignore-scripts", package),
                ],
                cwd=FOLDER,
                check=True,
            )
    return jar


@contextmanager
def running(folder: Path | None = None) -> Iterator[str]:
    """
    Run the emulator while the context lasts, and yield its URL.

    Tables are kept in *folder*, or in memory.

    Raises:
        MissingError: Java or npm is not installed, or does not start the emulator.
    """
    jar = install()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["-dbPath", str(folder)] if folder else ["-inMemory"]
    process = subprocess.Popen(  # noqa: S603 - as installed
        [
            *("/bin/sh", "-c", _END_WITH_STDIN, "sh"),
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}",
            *("-jar", str(jar), *place, "-sharedDb", "-disableTelemetry"),
            *("-port", str(port)),
        ],
        cwd=jar.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is its starter's alone.
    )
    with process:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
        # What leaves the block closes its standard input.


def _require(program: str, what: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingError(f"DynamoDB Local needs {what}, which is not installed.")
    return path


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise MissingError("DynamoDB Local does not start. It needs Java 17 or newer.")
