"""
The real clients, each at one version, in an environment of its own.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from uv import find_uv_bin

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"


def install(client: str) -> Path:
    """
    Make the environment of a client, once for all; give the folder of its programs.
    """
    wanted = HERE / f"{client}.txt"
    (version,) = re.findall(rf"(?m)^{client}==(\S+)", wanted.read_text("utf-8"))
    folder = CACHE / f"{client}-{version}"
    # What it was made from. Written last: an environment without it was left half made.
    made_from = folder / wanted.name
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{client}.lock"):
        if not (made_from.exists() and made_from.read_bytes() == wanted.read_bytes()):
            _make(folder, wanted)
            shutil.copyfile(wanted, made_from)
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
