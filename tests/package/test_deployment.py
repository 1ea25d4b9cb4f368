"""The commands of docs/deploy.md, in its order, against an emulator of AWS."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import app as service
from chalicelib.store import objects
from infra.local.environments import install
from infra.local.server import serve
from infra.package.package import ARTIFACT, TEMPLATE
from infra.package.template import write
from tests.aws_server import serving_aws
from tests.package.cloudformation import supported, transformed
from tests.package.packaged import ROOT, Package

HERE = Path(__file__).parent
COMMANDS = re.compile(r"^ *```console\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
NOT_HERE = ("$ openstack", "$ python3 -c")
"""Commands of others, which tests/clients and tests/identity run."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """An AWS in a process of its own, where what it cannot make is only warned of."""
    command = [sys.executable, "-W", "ignore", str(HERE / "emulator.py"), "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = ""
        while not url:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            url = found[0] if found else ""
        yield url.replace("127.0.0.1", "localhost")  # moto finds the bucket by it.
        process.kill()


@pytest.fixture
def _s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the service sign URLs of the embedded S3 of this process."""
    with serving_aws() as url:
        monkeypatch.setattr(objects, "_endpoint", lambda: url)
        yield


def commands() -> list[str]:
    """Return the page's blocks of commands, in order, as a shell takes them.

    But for going back and removing: moto cannot update what it made of the template.
    """
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    text = page.partition("\n## Roll back\n")[0]
    found = []
    for block in COMMANDS.findall(text):
        lines = [line.strip() for line in block.splitlines()]
        if lines[0].startswith(NOT_HERE):
            continue
        found.append("\n".join(line.removeprefix("$ ") for line in lines))
    return found


def prepared(folder: Path, prod: Package, endpoint: str) -> None:
    """Fill a folder as a clone, whose package is what CloudFormation makes of it."""
    for name in ("Makefile", "infra/account.yaml", "infra/github.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("infra/stages", "infra/tools", "infra/package"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "infra/stages/prod.json").unlink(missing_ok=True)
    # The command line that tests can install is version 1, which reads another form.
    example = folder / "infra/stages/example.json"
    given = json.loads(example.read_text("utf-8"))["Parameters"]
    example.write_text(json.dumps([f"{name}={given[name]}" for name in given]))
    packaged = folder / "packaged"
    packaged.mkdir()
    template: Any = supported(transformed(prod))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = ARTIFACT
    template["Outputs"]["Endpoint"] = {"Value": endpoint}
    write(template, packaged / TEMPLATE)
    with ZipFile(packaged / ARTIFACT, "w") as archive:
        archive.writestr("app.py", "")  # The real one takes long to upload.
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@me"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for number in ("one", "two"):
        (folder / "CHANGELOG.md").write_text(number)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", number], check=True)


@pytest.mark.clients
@pytest.mark.usefixtures("_s3")
def test_the_commands_of_the_page_run_in_its_order(
    prod: Package, emulator: str, tmp_path: Path
) -> None:
    """Each succeeds, and prints what the page says."""
    program = install(HERE / "awscli.txt")
    with serve(service.app, prefix="/api") as api:
        prepared(tmp_path, prod, api)
        environ = {
            "PATH": f"{program}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL": emulator,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PACKAGED": "yes",
            "OUT": "packaged",
            "TOKEN": "a:producer:member",
            "OTHER_TOKEN": "b:consumer:member",
        }
        done = subprocess.run(
            ["bash", "-ec", "\n".join(commands())],  # noqa: S607 - any bash
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    for stack in ("account", "prod", "github-prod"):
        said = f"Successfully created/updated stack - cloud-images-{stack}"
        assert said in done.stdout
    assert "It works." in done.stdout
    assert json.loads((tmp_path / "infra/stages/prod.json").read_text("utf-8"))
