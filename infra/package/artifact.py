"""The artifact: what Lambda runs, as small and as quick to start as it gets.

Of Chalice's archive it keeps what is imported: of botocore's data the services in use.
It adds bytecode, which Lambda could not keep: without it a cold start compiles every
module. The same code gives the same bytes.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

SERVICES: Final = (
    *("dynamodb", "events", "s3", "secretsmanager", "sqs", "ssm", "sts"),
)
"""The services of AWS whose descriptions are packaged."""

_DATA: Final = "botocore/data/"
_ENDPOINTS: Final = f"{_DATA}endpoints.json"
_GENERAL: Final = {
    f"{_DATA}{name}.json"
    for name in ("_retry", "endpoints", "partitions", "sdk-default-configuration")
}
_OF_SERVICE: Final = ("service-2.json.gz", "endpoint-rule-set-1.json.gz")
_UNUSED: Final = (".pyc", ".pyi", ".pyx", ".pxd", ".h", "py.typed", "RECORD", "WHEEL")
_UNUSED_FOLDERS: Final = ("bin/", "urllib3/contrib/emscripten/")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o644 << 16

# Bytecode that is never checked against its source. In a process of its own, with a
# fixed seed: the order of a set of constants is part of the bytes.
_COMPILE: Final = """
import py_compile, sys
from pathlib import Path
root = Path(sys.argv[1])
for path in sorted(root.rglob("*.py")):
    py_compile.compile(
        str(path),
        dfile=str(path.relative_to(root)),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""


def write_artifact(packed: Path, to: Path) -> None:
    """Make the artifact from Chalice's archive."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with ZipFile(packed) as archive:
            for path in archive.namelist():
                if _is_used(path):
                    archive.extract(path, folder)
        _trim_endpoints(folder / _ENDPOINTS)
        for description in (folder / _DATA).glob("*/*/service-2.json.gz"):
            _trim_description(description)
        subprocess.run(  # noqa: S603 - it is Python
            [sys.executable, "-s", "-S", "-c", _COMPILE, str(folder)],
            env={"PYTHONHASHSEED": "0"},
            check=True,
        )
        _zip(folder, to)


def _is_used(path: str) -> bool:
    if path.endswith(("/", *_UNUSED)) or path.startswith(_UNUSED_FOLDERS):
        return False
    if ".data/" in path.partition("/")[0] + "/":  # Programs of a wheel.
        return False
    if not path.startswith(_DATA):
        return True
    service, _, rest = path.removeprefix(_DATA).partition("/")
    return path in _GENERAL or (service in SERVICES and rest.endswith(_OF_SERVICE))


def _trim_endpoints(path: Path) -> None:
    """
    Keep the endpoints of the services in use: the whole file takes 20 ms to parse.
    """
    known = json.loads(path.read_text("utf-8"))
    for partition in known["partitions"]:
        services = partition["services"]
        partition["services"] = {
            name: services[name] for name in SERVICES if name in services
        }
    path.write_text(json.dumps(known, sort_keys=True), "utf-8")


def _trim_description(path: Path) -> None:
    """
    Empty what a service's description says for people: three quarters of its parsing.
    """
    description = _without_documentation(json.loads(gzip.decompress(path.read_bytes())))
    text = json.dumps(description, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _without_documentation(part: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(part, list):
        return [_without_documentation(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: ""  # botocore reads some; what is no text is a member of this name.
        if name == "documentation" and isinstance(value, str)
        else _without_documentation(value)
        for name, value in part.items()
    }


def _zip(folder: Path, to: Path) -> None:
    with ZipFile(to, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                entry.external_attr, entry.compress_type = _MODE, ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
