"""Programs of others, each at one version, in an environment of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from filelock import FileLock
from uv import find_uv_bin

# Resolved: the first lines of commands name it, and a link to it may go.
CACHE: Final = (Path(__file__).parents[2] / ".cache").resolve() / "environments"


def install(requirements: Path) -> Path:
    """Make the environment of a program, once for all; return its folder of commands.

    The requirements, with their hashes, stand in a file that has the program's name.
    """
    name = requirements.stem
    (version,) = re.findall(rf"(?m)^{name}==(\S+)", requirements.read_text("utf-8"))
    python = "python{}.{}".format(*sys.version_info)
    folder = CACHE / f"{name}-{version}-{python}"
    # What it was made from. Written last: an environment without it was left half made.
    made_from = folder / requirements.name
    wanted = requirements.read_bytes()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not (made_from.exists() and made_from.read_bytes() == wanted):
            _make(folder, requirements)
            shutil.copyfile(requirements, made_from)
    return folder / "bin"


def _make(folder: Path, requirements: Path) -> None:
    uv = [find_uv_bin(), "--quiet"]
    python = ["--python", sys.executable]
    subprocess.run([*uv, "venv", "--clear", *python, str(folder)], check=True)
    subprocess.run(
        [
            *(*uv, "pip", "install", "--python", str(folder)),
            *("--require-hashes", "--requirements", str(requirements)),
            "--compile-bytecode",  # Each start would do it again, or wait for it.
        ],
        check=True,
    )
