"""What a local run keeps for the next one: a database, and S3's objects."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from infra.local import dynamodb_local

DEFAULT: Final = Path(__file__).parents[2] / ".data"


@dataclass(frozen=True)
class Keeping:
    """Where a run keeps all it stores, and the URL of the database that does so."""

    folder: Path
    database: str

    @property
    def objects(self) -> Path:
        """The folder of S3's objects."""
        return self.folder / "s3"

    @property
    def reached(self) -> Path:
        """The file that says how far the table's stream was followed."""
        return self.folder / "stream.json"


@contextmanager
def keeping(backend: str) -> Iterator[Keeping | None]:
    """Run the database that keeps its tables, or none where nothing is to be kept."""
    data = os.environ.get("DATA_DIR")
    if backend == "moto":
        if data:
            sys.exit("DATA_DIR needs BACKEND=dynamodb-local: moto keeps nothing.")
        yield None
        return
    folder = Path(data).resolve() if data else DEFAULT
    tables, lock = folder / "dynamodb", FileLock(folder / "lock")
    try:
        tables.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        sys.exit(f"DATA_DIR is in use by another run: {folder}")
    except OSError as error:
        sys.exit(f"DATA_DIR cannot be used: {error.strerror}: {folder}")
    with lock:
        try:
            with dynamodb_local.running(tables) as url:
                yield Keeping(folder, url)
        except dynamodb_local.MissingError as missing:
            sys.exit(f"{missing} BACKEND=moto needs neither, and keeps nothing.")
