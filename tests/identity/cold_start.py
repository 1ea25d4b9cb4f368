"""
`python -m tests.identity.cold_start`: what each identity adds to a cold start.

Prints the time of the processor until the app is imported, bytecode being there as in
Lambda: the least of some runs, in turn.
"""

import os
import resource
import subprocess
import sys
from tempfile import TemporaryDirectory

from tests.local.service import ROOT

RUNS = 10
WAYS = {
    "development": {},
    "keystone": {
        "OS_AUTH_URL": "https://keystone.example.org",
        "OS_APPLICATION_CREDENTIAL_ID": "images",
        "OS_APPLICATION_CREDENTIAL_SECRET": "secret",
    },
    "oidc": {
        "OIDC_ISSUER": "https://issuer.example.org",
        "OIDC_AUDIENCE": "images",
    },
}


def took(way: str, bytecode: str) -> float:
    """
    Give the milliseconds of one start.
    """
    environ = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPYCACHEPREFIX": bytecode,
        "TABLE_NAME": "images",
        "BUCKET_NAME": "data",
        "QUEUE_URL": "https://queue.invalid/uploads",
        "AUTH": way,
        **WAYS[way],
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", "import app"], cwd=ROOT, env=environ, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    system = after.ru_stime - before.ru_stime
    return (after.ru_utime - before.ru_utime + system) * 1000


with TemporaryDirectory() as folder:
    for name in WAYS:
        took(name, folder)
    rounds = [{name: took(name, folder) for name in WAYS} for _ in range(RUNS)]
for name in WAYS:
    sys.stdout.write(f"{name:<12} {min(each[name] for each in rounds):4.0f} ms\n")
