"""`python -m tests.package.cold_start`: what a cold start of the artifact takes.

Each start is a process that has nothing but the artifact. It measures the processor's
time until the app is imported, that of the first request, which shows an image, the
time of both by the clock, and its peak of memory: medians of some runs of each
identity, in turn, as other work on the machine comes and goes. The floor is botocore
of the artifact, one client and one BatchGetItem; the first column is how many times the
floor's processor time a start takes, import and request. Nothing is asserted. It needs
Linux, as the artifact does.
"""

import json
import logging
import platform
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import boto3

from infra.local import backend, gateway, issuer, keystone
from infra.package.package import ARTIFACT, package
from tests.actors import token
from tests.aws_server import serving_aws

RUNS = 15
TABLE = "cold-start"
PROCESSORS = {"aarch64": "arm64"}
COLUMNS = ("beside floor", "import", "first request", "clock", "peak MB")

# What the interpreter itself takes is left out: in Lambda it runs already.
BEGIN = """
import json, os, re, sys, time
processor, clock = time.process_time(), time.perf_counter()
sys.path.insert(0, sys.argv[1])
"""

CHILD = """
import app
imported = time.process_time()
answer = app.app(json.load(sys.stdin), None)
"""

# Botocore alone, one client and one call: what no service on it can do without.
FLOOR = """
from botocore.session import get_session
client = get_session().create_client("dynamodb")
imported = time.process_time()
keys = [{"pk": {"S": "IMAGE#1"}, "sk": {"S": "IMAGE"}}]
client.batch_get_item(RequestItems={os.environ["TABLE_NAME"]: {"Keys": keys}})
answer = {"statusCode": 200, "body": None}
"""

END = """
answered, over = time.process_time(), time.perf_counter()
assert answer["statusCode"] in (200, 201), answer
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) / 1024
took = [imported - processor, answered - imported, over - clock]
measured = [*[seconds * 1000 for seconds in took], peak]
print(json.dumps({"measured": measured, "body": answer["body"]}))
"""


def start(
    folder: Path, environ: dict[str, str], event: Any = None, code: str = CHILD
) -> tuple[list[float], str]:
    """Return what one start took, and the body of its response."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BEGIN + code + END, str(folder)],
        input=json.dumps(event),
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    last = json.loads(done.stdout.splitlines()[-1])
    return last["measured"], last["body"]


def _processor(measured: list[float]) -> float:
    imported, answered, _, _ = measured
    return imported + answered


def _show(folder: Path, environ: dict[str, str], who: str) -> Any:
    """Make an image as a caller; return the event that shows it."""
    path, headers = "/v2/images", {"X-Auth-Token": who}
    create = gateway.event([path], "POST", path, headers, b"{}")
    image_id = json.loads(start(folder, environ, create)[1])["id"]
    route = f"{path}/{{image_id}}"
    return gateway.event([route], "GET", f"{path}/{image_id}", headers, b"")


def main() -> None:
    """Package, start AWS and both identities here, and measure."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        machine = platform.machine()
        package("dev", folder, PROCESSORS.get(machine, machine))
        with ZipFile(folder / ARTIFACT) as archive:
            archive.extractall(folder / "code")
        signer = stack.enter_context(issuer.running())
        cloud = stack.enter_context(keystone.running("http://127.0.0.1"))
        user, project, _ = keystone.PEOPLE["producer"]
        scoped = keystone.scope_to(project)
        ways = {
            "development": ({}, token("alice", "producer", "member")),
            "keystone": (
                keystone.service_environment(cloud.url),
                cloud.sign_in(user, keystone.PASSWORD, scoped)[0],
            ),
            "oidc": (
                {"OIDC_ISSUER": signer.url, "OIDC_AUDIENCE": issuer.AUDIENCE},
                signer.sign(signer.claims("alice", "producer", "member")),
            ),
        }
        backend.start()
        stack.callback(backend.stop)
        url = stack.enter_context(serving_aws())
        backend.create_table(boto3.client("dynamodb"), TABLE)
        environ = {
            "TABLE_NAME": TABLE,
            "BUCKET_NAME": TABLE,
            "QUEUE_URL": backend.QUEUE_URL,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }
        code = folder / "code"
        starts = {"floor": (environ, None, FLOOR)}
        for way, (own, who) in ways.items():
            whole = environ | {"AUTH": way} | own
            starts[way] = whole, _show(code, whole, who), CHILD
        rounds = [
            {way: start(code, *one)[0] for way, one in starts.items()}
            for _ in range(RUNS + 1)
        ][1:]  # The first one brings the files into memory.
    sys.stdout.write(f"{'milliseconds':<12}" + "".join(f"{c:>15}" for c in COLUMNS))
    for way in starts:
        ratio = median(
            _processor(one[way]) / _processor(one["floor"]) for one in rounds
        )
        each = zip(*[one[way] for one in rounds], strict=True)
        sys.stdout.write(
            f"\n{way:<12}{ratio:>15.2f}"
            + "".join(f"{median(some):>15.0f}" for some in each)
        )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
