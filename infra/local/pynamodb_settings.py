"""
What puts plain `chalice local` on the embedded DynamoDB, with an empty table.

PynamoDB reads the file that the variable PYNAMODB_CONFIG names as it is imported. That
is before the app makes its client, and in every process that Chalice starts.
"""

import os

import botocore.session

from infra.local import backend

backend.start()
backend.create_table(
    botocore.session.get_session().create_client("dynamodb"), os.environ["TABLE_NAME"]
)
