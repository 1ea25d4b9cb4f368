"""
What the tests of the package stand on: packages, made once, and an AWS that they reach.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws_server import serving_aws
from tests.package.packaged import Lambda, Package, made, running


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all packages that this run of the tests makes."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # Which all processes of this run have.
    root /= "packages"
    root.mkdir(exist_ok=True)
    return root


@pytest.fixture(scope="session")
def dev(packages: Path) -> Package:
    """The package of the stage `dev`, for machines as this one."""
    return made(packages, "dev", "x86_64")


@pytest.fixture(scope="session")
def prod(packages: Path) -> Package:
    """The package of the stage `prod`, for the processor that it runs on."""
    return made(packages, "prod", "arm64")


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The embedded AWS of this process, over HTTP; its URL."""
    with serving_aws() as url:
        yield url


@pytest.fixture(scope="module")
def function(dev: Package, aws: str) -> Iterator[Lambda]:
    """The packaged functions, in a process that has nothing but them."""
    with running(dev.unzipped, aws) as process:
        yield process
