"""Runs in Keystone's own environment: a new Keystone on loopback, until stdin ends.

Its words are an open socket's number, the URL and the administrator's password. It
prints the folder where it keeps everything once it can be called, and leaves nothing.
"""

import importlib
import logging
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

CONFIGURATION = """
[DEFAULT]
log_file = {home}/keystone.log
[database]
connection = sqlite:///{home}/keystone.db
[fernet_tokens]
key_repository = {home}/tokens
[fernet_receipts]
key_repository = {home}/tokens
[credential]
key_repository = {home}/credentials
[cache]
backend = dogpile.cache.memory
[identity]
password_hash_rounds = 4
"""


def library(name: str) -> Any:  # noqa: ANN401 - Keystone has no type hints
    """Import what cannot be imported in the service's environment."""
    return importlib.import_module(name)


def prepare(home: Path, url: str, password: str) -> Any:  # noqa: ANN401 - as above
    """Make keys, database, administrator and catalog; return the WSGI application."""
    configuration = home / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(home=home), "utf-8")
    library("keystone.server").configure(config_files=[str(configuration)])
    keys = library("keystone.common.fernet_utils")
    for folder, group in (("tokens", "fernet_tokens"), ("credentials", "credential")):
        (home / folder).mkdir(mode=0o700)
        keys.FernetUtils(str(home / folder), 3, group).initialize_key_repository()
    library("keystone.common.sql.upgrades").offline_sync_database_to_version()
    first = library("keystone.cmd.bootstrap").Bootstrapper()
    first.admin_username = first.project_name = first.admin_role_name = "admin"
    first.admin_password = password
    first.region_id = "RegionOne"
    first.service_name = "keystone"
    first.public_url = url
    first.bootstrap()
    # `keystone.server.wsgi` would read the configuration once more, which it may not.
    flask = library("keystone.server.flask.core")
    bare = library("keystone.server.flask.application").application_factory("public")
    return flask.setup_app_middleware(bare)


def main() -> None:
    """Serve, as the words of the command line say."""
    # Ctrl-C is for the process that started this; it ends this one by stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket, url, password = sys.argv[1:]
    del sys.argv[1:]  # Keystone would read them.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serving = library("werkzeug.serving")
    with TemporaryDirectory(prefix="keystone-") as home:
        application = prepare(Path(home), url, password)
        server = serving.make_server(
            "127.0.0.1", 0, application, threaded=True, fd=int(socket)
        )
        Thread(target=server.serve_forever, daemon=True).start()
        print(home, flush=True)
        sys.stdin.read()


main()
