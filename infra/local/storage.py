"""`python -m infra.local.storage`: S3 (moto) in a process of its own, over HTTP.

Its objects are not in the service's memory then, and clients can reach it.
"""

import logging
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FILES_MAX: Final = 10_240
"""How many open files every system allows; a multipart upload has up to 10,000."""


@contextmanager
def storage() -> Iterator[str]:
    """Run S3 while the context lasts; give its URL.

    It ends with its standard input, so that it never outlives who started it.
    """
    command = [sys.executable, "-m", __name__]
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

    from infra.local.mended_storage import mended_storage  # noqa: PLC0415
    from infra.local.spooled_storage import spooled_storage  # noqa: PLC0415

    _open_many_files()
    # Its lines would have the query of each URL, and so signatures.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with mended_storage(), spooled_storage():
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        sys.stdout.write(f"http://{host}:{port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.stop()


def _open_many_files() -> None:
    """
    Have as many files as may be: each object has one, or one for each of its parts.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if most == resource.RLIM_INFINITY else min(FILES_MAX, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    main()
