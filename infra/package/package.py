"""One SAM template and one artifact, out of the code and the files of `infra`.

Chalice finds the functions, routes and dependencies; its template has the files of
`infra` merged into it, and its artifact is rebuilt.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from infra.package.artifact import write_artifact
from infra.package.template import finished, merged, read, write
from infra.package.validators import write_validators

ROOT: Final = Path(__file__).parents[2]
STAGES: Final = ("dev", "prod")
ARCHITECTURES: Final = ("arm64", "x86_64")
RUNTIME: Final = (Path(__file__).parent / "python-version").read_text("utf-8").strip()
"""The version of Python that Lambda runs: it is named in that file alone."""

TEMPLATE: Final = "sam.yaml"
ARTIFACT: Final = "deployment.zip"

_CODE: Final = ("app.py", "requirements.txt", "chalicelib", ".chalice/config.json")
_NO_SETTINGS: Final = {
    # The app is imported to find its routes; nothing of this gets into the template.
    "TABLE_NAME": "none",
    "BUCKET_NAME": "none",
    "QUEUE_URL": "none",
    "AUTH": "development",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def package(stage: str, out: Path, architecture: str) -> None:
    """Write a stage's template and artifact into a folder."""
    if stage not in STAGES:
        sys.exit(f"STAGE must be {' or '.join(STAGES)}, not {stage!r}.")
    if architecture not in ARCHITECTURES:
        sys.exit(f"ARCH must be {' or '.join(ARCHITECTURES)}, not {architecture!r}.")
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        _copy_code(folder / "code", architecture)
        write_validators(folder / "code")
        write(merged(stage), folder / "merge.yaml")
        packed = _package_by_chalice(folder, stage)
        write(finished(read(packed / TEMPLATE), stage), out / TEMPLATE)
        write_artifact(packed / ARTIFACT, out / ARTIFACT)


def require_runtime() -> None:
    """End the program unless it runs on Lambda's Python.

    Chalice deploys for the Python that it runs on, with that one's dependencies.
    """
    version = "{}.{}".format(*sys.version_info)
    if version != RUNTIME:
        sys.exit(
            f"Lambda runs Python {RUNTIME} and .venv has {version}:"
            f" add PYTHON=python{RUNTIME} to the command."
        )


def _copy_code(to: Path, architecture: str) -> None:
    """Copy what Chalice needs, so that nothing that lies about gets in."""
    for name in _CODE:
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copyfile(source, target)
    path = to / ".chalice/config.json"
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    # What the stages have there is for `chalice local`.
    config["stages"] = {stage: {} for stage in STAGES}
    config["lambda_architecture"] = architecture
    path.write_text(json.dumps(config), "utf-8")


def _package_by_chalice(folder: Path, stage: str) -> Path:
    packed = folder / "packed"
    chalice = [sys.executable, "-c", "from chalice.cli import main; main()"]
    options = ["--stage", stage, "--merge-template", str(folder / "merge.yaml")]
    # Whose account the shell is in does not matter.
    shell = {name: os.environ[name] for name in os.environ if name[:4] != "AWS_"}
    done = subprocess.run(  # noqa: S603 - it is Chalice
        [*chalice, "package", *options, "--template-format", "yaml", str(packed)],
        cwd=folder / "code",
        env=shell | _NO_SETTINGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode or not (packed / TEMPLATE).exists():
        sys.exit(done.stdout)
    return packed
