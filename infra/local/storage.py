"""
`python -m infra.local.storage FOLDER`: S3 (moto) in a process of its own, over HTTP.

Its objects are files of the folder, and clients can reach it.
"""

import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

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
    from moto.moto_server import werkzeug_app as moto  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    from infra.local.kept_storage import kept_storage  # noqa: PLC0415
    from infra.local.mended_storage import mended_storage  # noqa: PLC0415

    # Its lines would have the query of each URL, and so signatures.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="cloud-images-") as temporary, mended_storage():
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        with kept_storage(folder):
            app = moto.DomainDispatcherApplication(moto.create_backend_app)
            server = make_server(
                "127.0.0.1",
                0,
                app,
                threaded=True,
                request_handler=moto.MotoRequestHandler,
            )
            address = f"127.0.0.1:{server.server_port}"
            server.app = _for_clients(app, address)
            Thread(target=server.serve_forever, daemon=True).start()
            sys.stdout.write(f"http://{address}\n")
            sys.stdout.flush()
            sys.stdin.read()
            server.shutdown()


def _for_clients(app: WSGIApplication, address: str) -> WSGIApplication:
    """Return the application without what a page in a browser could make of it.

    It asks for no credentials, so a page of any site could read each object, or use
    moto's own API.
    """

    def response(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        is_page = "HTTP_ORIGIN" in environ or environ.get("HTTP_HOST") != address
        if is_page or environ["PATH_INFO"].lstrip("/").startswith("moto-api"):
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        return app(environ, start_response)

    return response


if __name__ == "__main__":
    main()
