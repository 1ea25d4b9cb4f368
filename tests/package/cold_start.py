"""`python -m tests.package.cold_start`: what a cold start of the artifact takes.

Each start is a process that has nothing but the artifact. It tells the time and the
processor's time until the app is imported, the time of the first request, a list of
images with a token, and its peak of memory: medians of some runs of each identity, in
turn, as other work on the machine comes and goes. The floor is botocore of the
artifact, one client and one BatchGetItem; the first column is how many times the
floor's import and call a start takes. Nothing is asserted. It needs Linux, as the
artifact does.
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
from zipfile import ZipFile

import boto3
from moto.server import ThreadedMotoServer

from infra.local import backend, gateway, issuer, keystone
from infra.package.package import ARTIFACT, package
from tests.actors import token

RUNS = 15
TABLE = "cold-start"
PROCESSORS = {"aarch64": "arm64"}
COLUMNS = ("beside floor", "import", "processor", "first request", "peak MB")

# In Lambda the interpreter runs already; the processor's time counts its start, too.
CHILD = """
import json, re, sys, time
start = time.perf_counter()
sys.path.insert(0, sys.argv[1])
import app
imported, processor = time.perf_counter(), time.process_time()
answer = app.app(json.load(sys.stdin), None)
answered = time.perf_counter()
assert answer["statusCode"] == 200, answer
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) / 1024
took = [imported - start, processor, answered - imported]
print(json.dumps([*[seconds * 1000 for seconds in took], peak]))
"""

# Botocore alone, one client and one call: what no service on it can do without.
FLOOR = """
import json, os, re, sys, time
start = time.perf_counter()
sys.path.insert(0, sys.argv[1])
from botocore.session import get_session
client = get_session().create_client("dynamodb")
imported, processor = time.perf_counter(), time.process_time()
keys = [{"pk": {"S": "IMAGE#1"}, "sk": {"S": "IMAGE"}}]
client.batch_get_item(RequestItems={os.environ["TABLE_NAME"]: {"Keys": keys}})
answered = time.perf_counter()
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) / 1024
took = [imported - start, processor, answered - imported]
print(json.dumps([*[seconds * 1000 for seconds in took], peak]))
"""


def start(
    folder: Path, environ: dict[str, str], who: str, code: str = CHILD
) -> list[float]:
    """Return what one start took."""
    headers = {"X-Auth-Token": who}
    event = gateway.event(["/v2/images"], "GET", "/v2/images", headers, b"")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(folder)],
        input=json.dumps(event),
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: list[float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _whole(measured: list[float]) -> float:
    imported, _, answered, _ = measured
    return imported + answered


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
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        host, port = server.get_host_and_port()
        backend.create_table(boto3.client("dynamodb"), TABLE)
        environ = {
            "TABLE_NAME": TABLE,
            "BUCKET_NAME": TABLE,
            "QUEUE_URL": backend.QUEUE_URL,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }
        rounds = [
            {"floor": start(folder / "code", environ, "", FLOOR)}
            | {
                way: start(folder / "code", environ | {"AUTH": way} | own, who)
                for way, (own, who) in ways.items()
            }
            for _ in range(RUNS + 1)
        ][1:]  # The first one brings the files into memory.
    sys.stdout.write(f"{'milliseconds':<12}" + "".join(f"{c:>15}" for c in COLUMNS))
    for way in ("floor", *ways):
        ratio = median(_whole(one[way]) / _whole(one["floor"]) for one in rounds)
        each = zip(*[one[way] for one in rounds], strict=True)
        sys.stdout.write(
            f"\n{way:<12}{ratio:>15.2f}"
            + "".join(f"{median(some):>15.0f}" for some in each)
        )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
