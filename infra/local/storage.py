"""
`python -m infra.local.storage FOLDER`: S3 (moto) in a process of its own, over HTTP.

Its objects are files of the folder, and clients can reach it.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def storage(folder: Path | None = None) -> Iterator[str]:
    """
    Run S3 while the context lasts, and yield its URL.

    Its objects are kept in *folder*, or end with it. The process ends with its standard
    input, so that it never outlives the one that started it.
    """
    command = [sys.executable, "-m", __name__, *([str(folder)] if folder else [])]
    process = subprocess.Popen(  # noqa: S603 - it is this module
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is its starter's alone.
    )
    with process:
        yield str(process.stdout and process.stdout.readline()).strip()
        # What leaves the block closes its standard input.


def main() -> None:
    """Serve S3 on any free port, and print where, until standard input ends."""
    # They take a second.
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    from infra.local.kept_storage import kept_storage  # noqa: PLC0415
    from infra.local.mended_storage import mended_storage  # noqa: PLC0415

    # Its lines would have the query of each URL, and so signatures.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="cloud-images-") as temporary, mended_storage():
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        with kept_storage(folder):
            server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
            server.start()
            host, port = server.get_host_and_port()
            sys.stdout.write(f"http://{host}:{port}\n")
            sys.stdout.flush()
            sys.stdin.read()
            server.stop()


if __name__ == "__main__":
    main()
