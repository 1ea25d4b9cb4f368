"""The real clients, each at one version, in an environment of its own."""

from pathlib import Path

from infra.local import environments

HERE = Path(__file__).parent


def install(client: str) -> Path:
    """
    Make the environment of a client, once for all; return the folder of its programs.
    """
    return environments.install(HERE / f"{client}.txt")
