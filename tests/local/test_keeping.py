"""What a local run keeps: all of it on DynamoDB Local, nothing on moto."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local import backend, dynamodb_local
from infra.local.storage import storage
from infra.local.streams import LocalStream
from tests.local.service import Run, failing, running
from tests.local.test_storage import PARTS, WHOLE, Bucket
from tests.scene import CONTENT

pytestmark = [pytest.mark.java, pytest.mark.xdist_group("dynamodb-local")]


@pytest.fixture(scope="module")
def java() -> None:
    """Skip what needs DynamoDB Local where it cannot be installed."""
    try:
        dynamodb_local.install()
    except dynamodb_local.MissingError as missing:
        pytest.skip(str(missing))


def refused(**settings: str) -> tuple[int, str]:
    """Start a service that does not come up; return its exit status and stderr."""
    status, stdout, stderr = failing(**settings)
    assert stdout == ""
    return status, stderr


def kept_in(folder: Path) -> dict[str, str]:
    """Return the settings of a run that keeps what it stores in a folder."""
    return {"BACKEND": "dynamodb-local", "DATA_DIR": str(folder)}


def _end(run: Run) -> None:
    status, log = run.end()
    assert (status, "Traceback" in log) == (0, False)


@pytest.mark.usefixtures("java")
def test_what_is_stored_survives_a_restart(tmp_path: Path) -> None:
    """Images, members, data and deletions; the examples are made once."""
    with running(**kept_in(tmp_path)) as run:
        producer, consumer = run.actor("producer"), run.actor("consumer")
        disk = producer.make_image(disk_format="raw", container_format="bare")
        producer.upload(disk, CONTENT)
        producer.share(disk, "consumer")
        consumer.set_status(disk, "accepted")
        gone = producer.make_image(disk_format="raw", container_format="bare")
        producer.upload(gone, CONTENT)
        producer.delete(f"/v2/images/{gone}")
        before = producer.get("/v2/images").document
        _end(run)
    with running(**kept_in(tmp_path)) as run:
        producer, consumer = run.actor("producer"), run.actor("consumer")
        after = producer.get("/v2/images").document
        accepted = consumer.listed("?visibility=shared")
        content = consumer.download(disk).body
        _end(run)

    assert f"What is stored is kept in {tmp_path} (DATA_DIR).\n" in run.greeting
    assert after == before
    assert disk in accepted
    assert content == CONTENT


@pytest.mark.usefixtures("java")
def test_a_run_that_is_killed_leaves_all_to_the_next(tmp_path: Path) -> None:
    """At once: its database and its objects are free again."""
    with running(**kept_in(tmp_path), DATA="none") as run:
        producer = run.actor("producer")
        disk = producer.make_image(disk_format="raw", container_format="bare")
        producer.upload(disk, CONTENT)
        run.process.kill()
        run.process.wait()
        with running(**kept_in(tmp_path), DATA="none") as later:
            content = later.actor("producer").download(disk).body

    assert content == CONTENT


@pytest.mark.usefixtures("java")
def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """The second one ends with a clear line."""
    with running(**kept_in(tmp_path), DATA="none"):
        refusal = refused(**kept_in(tmp_path))

    assert refusal == (1, f"DATA_DIR is in use by another run: {tmp_path}\n")


def test_java_is_asked_for_in_one_line(tmp_path: Path) -> None:
    """The line says what to install, and what works without it."""
    refusal = refused(**kept_in(tmp_path), PATH=str(tmp_path))

    line = (
        "DynamoDB Local needs Java 17 or newer, which is not installed."
        " BACKEND=moto needs neither, and keeps nothing.\n"
    )
    assert refusal == (1, line)


def test_a_folder_on_moto_is_a_mistake(tmp_path: Path) -> None:
    """It would stay empty."""
    refusal = refused(DATA_DIR=str(tmp_path))

    assert refusal == (
        1,
        "DATA_DIR needs BACKEND=dynamodb-local: moto keeps nothing.\n",
    )


def test_a_keystone_of_its_own_is_not_kept(tmp_path: Path) -> None:
    """Its projects would not be those of the images any more."""
    status, line = refused(**kept_in(tmp_path), AUTH="keystone")

    assert status == 1
    assert line.startswith("BACKEND=dynamodb-local keeps no Keystone")


def test_a_run_on_moto_says_that_nothing_is_kept() -> None:
    """It says how to keep it, too."""
    with running(DATA="none") as run:
        greeting = run.greeting

    assert "Nothing is kept. To keep it: make run BACKEND=dynamodb-local\n" in greeting


def test_objects_survive_the_end_of_their_server(tmp_path: Path) -> None:
    """Whole ones and those of parts; not what was deleted, nor parts on their own."""
    with storage(tmp_path) as url:
        bucket = Bucket(url)
        bucket.do("put_object", Key="whole", Body=b"data", ContentType="text/plain")
        bucket.do("put_object", Key="deleted", Body=b"data")
        bucket.do("delete_object", Key="deleted")
        upload = bucket.begin()
        named = bucket.put(upload, *PARTS)
        bucket.do("complete_multipart_upload", **upload, **named)
        before = bucket.do("list_objects_v2")["Contents"]
        bucket.put(bucket.begin(), b"part")
    with storage(tmp_path) as url:
        bucket = Bucket(url)
        after = bucket.do("list_objects_v2")["Contents"]
        whole = bucket.do("get_object", Key="whole")
        content = bucket.do("get_object", Key=upload["Key"])["Body"].read()
        files = list((tmp_path / "data").iterdir())

    assert after == before
    assert (whole["ContentType"], whole["Body"].read()) == ("text/plain", b"data")
    assert content == WHOLE
    assert len(files) == 1 + len(PARTS)


@pytest.fixture(scope="module")
def local(java: None) -> Iterator[dict[str, Any]]:  # noqa: ARG001 - skips
    """DynamoDB Local, as clients are made for it."""
    with dynamodb_local.running() as url:
        yield {"endpoint_url": url}


@pytest.fixture
def local_table(
    local: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A client of DynamoDB Local that has an empty table `kept`."""
    for service in ("DYNAMODB", "DYNAMODB_STREAMS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", local["endpoint_url"])
    client = boto3.client("dynamodb")
    assert backend.ensure_table(client, "kept")
    yield client
    client.delete_table(TableName="kept")


def test_the_stream_goes_on_after_what_was_done(
    local_table: Any, tmp_path: Path
) -> None:
    """What was taken and not kept comes again to the next run."""

    def put(pk: str) -> None:
        key = {"pk": {"S": pk}, "sk": {"S": "x"}}
        local_table.put_item(TableName="kept", Item=key)

    def taken(stream: LocalStream) -> list[str]:
        return [
            one["dynamodb"]["Keys"]["pk"]["S"]
            for records in iter(stream.take, [])
            for one in records
        ]

    file = tmp_path / "stream.json"
    first = LocalStream("kept", file)
    put("a")
    began = taken(first)
    first.keep()
    put("b")
    went_on = taken(first)
    second = taken(LocalStream("kept", file))

    assert (began, went_on, second) == (["a"], ["b"], ["b"])


def test_a_table_of_another_layout_is_refused(local_table: Any) -> None:
    """Its indexes are not those of the template."""
    local_table.create_table(
        TableName="other",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )

    with pytest.raises(backend.LayoutError):
        backend.ensure_table(local_table, "other")
