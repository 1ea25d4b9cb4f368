"""What puts plain `chalice local` on the embedded AWS, with an empty table.

PynamoDB reads the file that the variable PYNAMODB_CONFIG names as it is imported. That
is before the app makes its client, and in every process that Chalice starts.
"""

import atexit
import os
from contextlib import ExitStack

import boto3

from infra.local import backend
from infra.local.storage import storage

_started = ExitStack()
atexit.register(_started.close)

backend.start()
os.environ["AWS_ENDPOINT_URL_S3"] = _started.enter_context(storage())
backend.create_table(boto3.client("dynamodb"), os.environ["TABLE_NAME"])
backend.create_bucket(os.environ["BUCKET_NAME"])
