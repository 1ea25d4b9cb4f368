"""The whole service on this machine."""

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread

from chalice.app import Chalice
from chalice.config import Config
from chalice.constants import DEFAULT_STAGE_NAME
from chalice.local import create_local_server

from infra.local import backend, examples, identities
from infra.local.bucket import Bucket
from infra.local.examples import People
from infra.local.identities import Callers
from infra.local.keeping import Keeping, keeping
from infra.local.server import HOST, serve
from infra.local.spelling import misspelt
from infra.local.storage import storage
from infra.local.streams import LocalStream, MotoStream
from infra.local.worker import Pump, pumping

PORT_MAX = 65_535
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Serve as the environment's variables say, until SIGTERM or Ctrl-C."""
    _keep_off_proxies()
    for name, setting in misspelt(os.environ):
        print(f"{name} is not a setting. Is {setting} meant?", file=sys.stderr)
    data = _choice("DATA", "examples", "none")
    method = _choice("AUTH", "development", "keystone", "oidc")
    server = _choice("SERVER", "waitress", "chalice")
    store = _choice("BACKEND", "moto", "dynamodb-local")
    if store != "moto" and method == "keystone" and not os.environ.get("OS_AUTH_URL"):
        sys.exit(
            "BACKEND=dynamodb-local keeps no Keystone, whose projects get new ids at"
            " each start. Set OS_AUTH_URL, or choose another AUTH."
        )
    listener = _listen(os.environ.get("PORT") or "8000")
    ended = Event()
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    with (
        keeping(store) as kept,
        storage(kept.objects if kept else None) as objects,
        identities.start_identity(method, url) as callers,
    ):
        app, is_new = _start(objects, kept)
        people = callers.people if data == "examples" and is_new else None
        offered = _load_examples(app, people) if people else None
        if server == "waitress":
            bucket = Bucket(objects, os.environ["BUCKET_NAME"])
            serving = serve(app, listener, bucket=bucket)
        else:
            serving = _chalice_local(app, listener)
        with serving as url, _work(kept, has_examples=bool(offered)):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
            print(_greeting(url, callers, kept, offered), flush=True)
            ended.wait()
    backend.stop()


def _keep_off_proxies() -> None:
    """Have no call to this machine go through a proxy that the environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        excepted = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, [excepted, HOST, "localhost"]))


def _choice(name: str, *allowed: str) -> str:
    value = os.environ.get(name) or allowed[0]
    if value not in allowed:
        sys.exit(f"{name} must be {' or '.join(allowed)}, not {value!r}.")
    return value


def _listen(port: str) -> socket.socket:
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        sys.exit(f"PORT must be a number up to {PORT_MAX}, not {port!r}.")
    try:
        return socket.create_server((HOST, int(port)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            sys.exit(f"Port {port} cannot be used: {error.strerror}.")
        with socket.create_server((HOST, 0)) as free:
            other = free.getsockname()[1]
        sys.exit(f"Port {port} is in use. Choose another: make run PORT={other}")


def _start(objects: str, kept: Keeping | None) -> tuple[Chalice, bool]:
    """
    Start the embedded AWS, then the app, and make the app's table, bucket and queue.

    Return the app, and whether its table is new.
    """
    backend.start()
    os.environ["AWS_ENDPOINT_URL_S3"] = objects
    if kept:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = kept.database
        os.environ["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] = kept.database
    os.environ["QUEUE_URL"] = backend.QUEUE_URL
    os.environ["IMPORT_QUEUE_URL"] = backend.IMPORT_QUEUE_URL
    os.environ.setdefault("TABLE_NAME", "cloud-images-local")
    os.environ.setdefault("BUCKET_NAME", "cloud-images-local")
    os.environ.setdefault("EVENT_BUS", "cloud-images-local")
    try:
        # They read the settings, and make DynamoDB's client, as they are imported.
        from app import app  # noqa: PLC0415
        from chalicelib.store.dynamodb import connection  # noqa: PLC0415
    except ValueError as wrong:  # A SettingError, whose module then has no import.
        sys.exit(str(wrong))
    client = connection.connection.client
    try:
        is_new = backend.ensure_table(client, connection.table_name)
    except backend.LayoutError:
        sys.exit(
            "DATA_DIR holds a table of another layout. Choose another DATA_DIR, or"
            " copy the table (docs/upgrade.md)."
        )
    backend.create_bucket(os.environ["BUCKET_NAME"])
    backend.create_queues()
    backend.create_bus(os.environ["EVENT_BUS"])
    return app, is_new


def _work(kept: Keeping | None, *, has_examples: bool) -> AbstractContextManager[None]:
    """Run the functions beside the API's on what the requests leave to them.

    What the examples leave is done at once, so that no event of theirs is printed.
    """
    from chalicelib.background import functions  # noqa: PLC0415 - as above
    from chalicelib.telemetry import write_lines  # noqa: PLC0415 - as above

    table = os.environ["TABLE_NAME"]
    stream = LocalStream(table, kept.reached) if kept else MotoStream(table)
    pump = Pump(stream, functions.stream, functions.worker, functions.importer)
    if has_examples:
        pump.drain()
    write_lines("cloud-images.events")
    return pumping(pump)


def _load_examples(app: Chalice, people: People) -> str:
    try:
        return examples.load(app, people)
    except examples.RefusedError as refusal:
        sys.exit(f"The settings refuse an example; try DATA=none. {refusal}")


@contextmanager
def _chalice_local(app: Chalice, listener: socket.socket) -> Iterator[str]:
    """Serve by the server of `chalice local`.

    Chalice's command line is not imported: that asks the terminal what it can do, and
    waits for a response.
    """
    port = listener.getsockname()[1]
    listener.close()
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    stage = Config(DEFAULT_STAGE_NAME, config_from_disk=config)
    local = create_local_server(app, stage, HOST, port)
    loop = Thread(target=local.serve_forever, name="http", daemon=True)
    loop.start()
    try:
        yield f"http://{HOST}:{port}"
    finally:
        local.shutdown()
        loop.join()
        local.server.server_close()


def _greeting(
    url: str, callers: Callers, kept: Keeping | None, offered: str | None
) -> str:
    """Say where the service is, who may call it, and three commands to try."""
    tries = identities.tries(url, callers, offered)
    lines = [f"{what}\n  {command}\n" for what, command in tries.items()]
    address = (
        f"Cloud Images serves at {url} until Ctrl-C.\nThe page of the API: {url}/docs"
    )
    if os.environ.get("EXTENSION") != "off":
        address += f"\nThe console, for both sides of a share: {url}/console"
    if kept:
        fate = f"What is stored is kept in {kept.folder} (DATA_DIR).\n"
    else:
        fate = "Nothing is kept. To keep it: make run BACKEND=dynamodb-local\n"
    return "\n".join([address, fate, *callers.notes, "", *lines])
