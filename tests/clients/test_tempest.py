"""OpenStack's own tests of the Images API, those of tempest, with a Keystone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.environments import install
from tests.clients.terminal import environment
from tests.local.service import running
from tests.web_source import WebSource, serving

NOT_SERVED = "(?i)metadef|metadata|ImageTaskCreate"
"""Tests of metadata definitions, and of the old form of tasks."""

PASSED = 50
"""How many of the others do not need several stores, locations, a cache or Nova."""

CONFIGURATION = """
[auth]
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
create_isolated_networks = false
[identity]
uri_v3 = {keystone}
v3_endpoint_type = public
[image]
endpoint_type = public
http_qcow2_image = {source}
[image-feature-enabled]
image_format_enforcement = false
import_image = true
os_glance_reserved = true
[oslo_concurrency]
lock_path = {home}
[service_available]
cinder = false
glance = true
neutron = false
nova = false
swift = false
"""

pytestmark = [
    pytest.mark.clients,
    pytest.mark.keystone,
    pytest.mark.xdist_group("tempest"),
]


def test_tempest_finds_nothing_wrong(tmp_path: Path) -> None:
    """Not one test of what is served fails; some upload random bytes as qcow2."""
    programs = install("tempest")
    source = WebSource(bytes(1000))
    with (
        serving(source),
        running(
            AUTH="keystone",
            DATA="none",
            IMAGE_FORMATS="off",
            IMPORT_ALLOW=f"127.0.0.1:{source.port}",
        ) as run,
    ):
        ((keystone, password),) = re.findall(
            r"Keystone serves at (\S+)\.\n.* password (\S+)\.\n", run.greeting
        )
        configuration = CONFIGURATION.format(
            home=tmp_path, keystone=keystone, password=password, source=source.uri
        )

        def tempest(*words: str, cwd: Path) -> str:
            path = os.pathsep.join([str(programs), os.environ["PATH"]])
            done = subprocess.run(
                [programs / "tempest", *words],
                cwd=cwd,
                env=environment(tmp_path) | {"PATH": path},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            return done.stdout

        tempest("init", "workspace", cwd=tmp_path)
        workspace = tmp_path / "workspace"
        (workspace / "etc" / "tempest.conf").write_text(configuration, "utf-8")
        output = tempest(
            *("run", "--serial", "--regex", r"tempest\.api\.image\.v2"),
            *("--exclude-regex", NOT_SERVED),
            cwd=workspace,
        )

    counts = dict(re.findall(r"(?m)^ - (Passed|Failed): (\d+)$", output))
    assert counts == {"Passed": str(PASSED), "Failed": "0"}, output
