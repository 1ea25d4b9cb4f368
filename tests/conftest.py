"""
What every test stands on: an empty table in an embedded DynamoDB, and four projects.
"""

import os

os.environ.update(TABLE_NAME="cloud-images-test", AUTH="development")

from collections.abc import Iterator

import pytest

from infra.local import backend

backend.start()

import app as service
from chalicelib import dynamo
from tests.actors import Actor, Send, in_process


@pytest.fixture(autouse=True)
def table() -> Iterator[str]:
    """
    Make the table of `infra/resources.yaml`, empty for each test; give its name.
    """
    name = dynamo.connection.table_name
    client = dynamo.connection.connection.client
    backend.create_table(client, name)
    yield name
    client.delete_table(TableName=name)


@pytest.fixture
def send() -> Send:
    """
    Call the Lambda handler in this process.
    """
    return in_process(service.app)


@pytest.fixture
def producer(send: Send) -> Actor:
    """
    A project that owns images.
    """
    return Actor(send, "producer")


@pytest.fixture
def consumer(send: Send) -> Actor:
    """
    A project that images are shared with.
    """
    return Actor(send, "consumer")


@pytest.fixture
def stranger(send: Send) -> Actor:
    """
    A project that nobody shares anything with.
    """
    return Actor(send, "stranger")


@pytest.fixture
def admin(send: Send) -> Actor:
    """
    An operator, who may see and change every project's images.
    """
    return Actor(send, "operators", "admin")


@pytest.fixture
def image_id(producer: Actor) -> str:
    """
    An image that is shared with nobody yet.
    """
    return producer.make_image(name="ubuntu")
