"""How the commands of this folder are called, and how they end."""

import argparse
from typing import Final, NoReturn

FAILED: Final = 1
"""The exit status of a command that could not do what it was asked for."""

INTERRUPTED: Final = 130
"""The exit status of a command that was ended by Ctrl-C."""

CREDENTIALS: Final = (
    "Credentials are read as by openstack: from the OS_* variables"
    " or a cloud of clouds.yaml (OS_CLOUD)."
)


class Parser(argparse.ArgumentParser):
    """Ends a wrong use in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the right use is described."""
        command = self.prog.partition(" ")[0]  # Of "sharing accept", "sharing".
        self.exit(2, f"{command}: {message}. See tools/{command} --help.\n")
