"""The artifact: what is in it, and what is not."""

import gzip
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import botocore
import pytest

from chalicelib.api.bodies.validators import COMPILED, SCHEMAS, module_of
from infra.package import package as packaging
from infra.package.artifact import SERVICES
from tests.package.packaged import Lambda, Package, made

ROOT = Path(__file__).parents[2]
BYTES_MAX = 9_200_000
"""
What the artifact may weigh: Lambda fetches it at each cold start. Two thirds of it is
the code that checks the signatures of tokens.
"""

MACHINES = {"x86_64": 62, "arm64": 183}
"""How ELF, the form of native code, names processors."""


def test_the_same_file_has_the_same_bytes(dev: Package, prod: Package) -> None:
    """In the artifacts of both stages, as they are compressed, but what is native."""
    entries: list[dict[str, Any]] = []
    for package in (dev, prod):
        with ZipFile(package.artifact) as archive:
            entries.append(
                {
                    info.filename: (
                        archive.read(info),
                        info.date_time,
                        info.external_attr,
                    )
                    for info in archive.infolist()
                }
            )

    ours, theirs = entries
    assert {
        name
        for name in ours.keys() & theirs.keys()
        if ours[name] != theirs[name]
        and not name.endswith(".so")
        and ".dist-info/" not in name  # They name the machine and the native files.
    } == set()
    assert all(name.endswith(".so") for name in ours.keys() ^ theirs.keys())


@pytest.mark.thorough
def test_the_same_code_gives_the_same_bytes(dev: Package, packages: Path) -> None:
    """Artifact and template, whenever and wherever they are made."""
    again = made(packages, "dev", "x86_64", "-again")

    assert dev.artifact.read_bytes() == again.artifact.read_bytes()
    assert dev.template == again.template


def test_the_artifact_is_small(dev: Package, prod: Package) -> None:
    """Less than half of what Chalice packs."""
    sizes = [package.artifact.stat().st_size for package in (dev, prod)]

    assert max(sizes) < BYTES_MAX


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_artifact_has_what_is_deployed_and_nothing_else(
    stage: str, request: pytest.FixtureRequest
) -> None:
    """The app, Chalice's runtime, and the distributions of requirements.txt."""
    package: Package = request.getfixturevalue(stage)
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    wanted = re.findall(r"(?m)^([\w.-]+)==([\w.]+)", requirements)

    found = {
        name.partition(".dist-info/")[0]
        for name in package.names
        if ".dist-info/" in name
    }

    assert found == {f"{name.replace('-', '_')}-{version}" for name, version in wanted}
    tops = {name.partition("/")[0] for name in package.names}
    code = {str(path.relative_to(ROOT)) for path in ROOT.glob("chalicelib/**/*.py")}
    compiled = COMPILED.replace(".", "/")
    code |= {f"{compiled}/{name}.py" for name in ("__init__", *map(module_of, SCHEMAS))}
    assert {"app.py", "chalicelib", "chalice"} <= tops
    assert not tops & {"boto3", "s3transfer", "moto", "pytest", "tests", "infra"}
    assert code == {
        name for name in package.names if re.fullmatch(r"chalicelib/.+\.py", name)
    }
    assert {
        name.split("/")[1]
        for name in package.names
        if re.match(r"chalice/\w+\.py$", name)
    } == {"app.py", "__init__.py"}


def test_botocore_knows_the_services_in_use(dev: Package) -> None:
    """
    Those that it makes clients of, what keeps secrets, and what gives credentials.
    """
    data = "botocore/data/"
    folders = {
        name.removeprefix(data).partition("/")[0]
        for name in dev.names
        if re.match(data + r"[^/]+/", name)
    }
    code = "".join(path.read_text("utf-8") for path in ROOT.glob("chalicelib/**/*.py"))
    clients = set(re.findall(r'\bclient\(\s*"(\w+)"', code))

    assert folders == set(SERVICES)
    assert {*clients, "dynamodb", "secretsmanager", "ssm", "sts"} == folders


def _wire(part: Any) -> Any:
    """Empty what a description says for people; it is text, a member is not."""
    if isinstance(part, dict):
        texts = {"documentation"} if isinstance(part.get("documentation"), str) else ()
        return {name: "" if name in texts else _wire(part[name]) for name in part}
    return [_wire(one) for one in part] if isinstance(part, list) else part


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_described_but_for_people(service: str, dev: Package) -> None:
    """All that goes over the wire is as botocore has it."""
    installed = Path(botocore.__file__).parents[1]
    names = [
        name
        for name in dev.names
        if re.fullmatch(f"botocore/data/{service}/.+/service-2.json.gz", name)
    ]

    for name in names:
        packaged, whole = (
            json.loads(gzip.decompress((root / name).read_bytes()))
            for root in (dev.unzipped, installed)
        )
        assert packaged == _wire(whole)
    assert names


def test_every_module_has_bytecode_that_lambda_takes(dev: Package) -> None:
    """
    Of Lambda's Python, and never checked against its source: times are all of 1980.
    """
    sources = [name for name in dev.names if name.endswith(".py")]
    magic, unchecked = importlib.util.MAGIC_NUMBER, (1).to_bytes(4, "little")

    headers = {
        (dev.unzipped / importlib.util.cache_from_source(name)).read_bytes()[:8]
        for name in sources
    }

    assert headers == {magic + unchecked}
    assert {
        function["Runtime"]
        for function in dev.of_type("AWS::Serverless::Function").values()
    } == {"python{}.{}".format(*sys.version_info[:2])}


def test_another_python_than_lambdas_packages_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its artifact would start nowhere; the message has the command that works."""
    monkeypatch.setattr(packaging, "RUNTIME", "3.99")
    monkeypatch.setattr(
        sys, "argv", ["package", "dev", str(tmp_path / "dist"), "arm64"]
    )

    with pytest.raises(SystemExit, match=r"add PYTHON=python3\.99 to"):
        runpy.run_module("infra.package", run_name="__main__")

    assert not list(tmp_path.iterdir())


def test_the_files_that_were_written_are_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With their sizes; what goes wrong is named instead."""

    def write(_stage: str, out: Path, _architecture: str) -> None:
        for name in (packaging.TEMPLATE, packaging.ARTIFACT):
            (out / name).write_bytes(bytes(1_200_000))

    monkeypatch.setattr(packaging, "require_runtime", lambda: None)
    monkeypatch.setattr(packaging, "package", write)
    monkeypatch.setattr(sys, "argv", ["package", "dev", str(tmp_path), "arm64"])

    runpy.run_module("infra.package", run_name="__main__")

    assert capsys.readouterr().out.splitlines() == [
        f"Wrote {tmp_path / name} (1.2 MB)" for name in ("sam.yaml", "deployment.zip")
    ]


def test_nothing_is_imported_from_elsewhere(dev: Package, function: Lambda) -> None:
    """But Python's own library; and nothing is compiled when it starts."""
    functions = dev.of_type("AWS::Serverless::Function").values()
    modules = [one["Handler"].rpartition(".")[0] for one in functions]
    before = set(dev.unzipped.rglob("*"))

    files = function.imported(*modules)

    library = Path(sys.base_prefix)
    strays = {
        name: source
        for name, (source, _) in files.items()
        if source
        and name != "__main__"
        and not Path(source).is_relative_to(dev.unzipped)
        and (not Path(source).is_relative_to(library) or "site-packages" in source)
    }
    assert strays == {}
    assert set(dev.unzipped.rglob("*")) == before


@pytest.mark.parametrize(("stage", "processor"), [("dev", "x86_64"), ("prod", "arm64")])
def test_native_code_is_for_the_functions_processor(
    stage: str, processor: str, request: pytest.FixtureRequest
) -> None:
    """Where a dependency has any."""
    package: Package = request.getfixturevalue(stage)
    native = [name for name in package.names if name.endswith(".so")]

    machines = {
        int.from_bytes((package.unzipped / name).read_bytes()[18:20], "little")
        for name in native
    }

    assert machines <= {MACHINES[processor]}
    functions = package.of_type("AWS::Serverless::Function")
    assert {name: [processor] for name in functions} == {
        name: one["Architectures"] for name, one in functions.items()
    }
