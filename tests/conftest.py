"""What every test stands on: an empty table in an embedded AWS, and four projects."""

import os
import pickle
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from infra.local import backend

os.environ.update(
    TABLE_NAME="cloud-images-test",
    BUCKET_NAME="cloud-images-test",
    QUEUE_URL=backend.QUEUE_URL,
    IMPORT_QUEUE_URL=backend.IMPORT_QUEUE_URL,
    AUTH="development",
)
backend.start()
backend.create_bucket("cloud-images-test")
backend.create_queues()


import app as service
from chalicelib.background import functions
from chalicelib.store import dynamodb
from infra.local.streams import MotoStream
from infra.local.worker import Pump
from tests.actors import Actor, Send, in_process
from tests.cost import dynamodb_local
from tests.infra.rights import Watch, watching


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors: tests wait for what they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def new_table() -> bytes:
    """The table of `infra/resources.yaml`, as moto has it once it is made."""
    name = dynamodb.connection.table_name
    backend.create_table(boto3.client("dynamodb"), name)
    return pickle.dumps(
        dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables.pop(name)
    )


@pytest.fixture(autouse=True)
def table(new_table: bytes) -> Iterator[str]:
    """
    The table of `infra/resources.yaml`, empty for each test; its name.
    """
    name = dynamodb.connection.table_name
    tables = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables
    tables[name] = pickle.loads(new_table)  # noqa: S301 - made above
    yield name
    del tables[name]


@pytest.fixture(autouse=True)
def rights() -> Iterator[Watch]:
    """Fail a test in which a function does what its role does not allow."""
    with watching() as watch:
        yield watch
    assert watch.excess == []


@pytest.fixture
def send() -> Send:
    """Call the Lambda handler in this process."""
    return in_process(service.app)


@pytest.fixture
def producer(send: Send) -> Actor:
    """A project that owns images."""
    return Actor(send, "producer")


@pytest.fixture
def consumer(send: Send) -> Actor:
    """A project that images are shared with."""
    return Actor(send, "consumer")


@pytest.fixture
def stranger(send: Send) -> Actor:
    """A project that nobody shares anything with."""
    return Actor(send, "stranger")


@pytest.fixture
def admin(send: Send) -> Actor:
    """An operator, who may see and change every project's images."""
    return Actor(send, "operators", "admin")


@pytest.fixture
def image_id(producer: Actor) -> str:
    """An image that is shared with nobody yet."""
    return producer.make_image(name="ubuntu")


@pytest.fixture
def pump(table: str) -> Pump:
    """
    What hands changes and uploads on to the functions beside the API's, at each turn.
    """
    client = dynamodb.connection.connection.client
    specification = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.update_table(TableName=table, StreamSpecification=specification)
    client = boto3.client("sqs")
    for url in (backend.QUEUE_URL, backend.IMPORT_QUEUE_URL):
        client.delete_queue(QueueUrl=url)
    backend.create_queues()
    stream = MotoStream(table)
    return Pump(stream, functions.stream, functions.worker, functions.importer)


@pytest.fixture(scope="module")
def local_client() -> Iterator[Any]:
    """DynamoDB Local, for all tests of a module."""
    with dynamodb_local.running() as client:
        yield client


@pytest.fixture
def on_dynamodb_local(
    local_client: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Put the service on DynamoDB Local, with an empty table."""
    backend.create_table(local_client, table)
    monkeypatch.setattr(dynamodb.connection.connection, "_client", local_client)
    yield
    local_client.delete_table(TableName=table)
