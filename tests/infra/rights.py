"""Which function makes which calls of AWS, and which rights they take.

While any test runs, each call that a function makes is held against what its role
allows (`conftest.py`); that it is allowed no more, `test_rights.py` counts alone.

IAM has actions of its own: a transaction is granted as its parts, what is signed is
checked as if it were done, and S3 says that something is missing only to who may list.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from inspect import unwrap
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from botocore.auth import S3SigV4QueryAuth
from botocore.client import BaseClient

from chalicelib.api import app
from chalicelib.background import functions, stream, sweep
from chalicelib.identity import secret
from chalicelib.store import dynamodb
from infra.local.backend import IMPORT_QUEUE_URL
from infra.package.template import INFRA, read

Right = tuple[str, str]
"""An action, and the resource of the template that it is on."""

ROLES = {
    name: f"{name.title()}Role"
    for name in ("api", "importer", "worker", "stream", "sweep")
}

TABLE, INDEXES = "ImagesTable.Arn", "${ImagesTable.Arn}/index/*"
OBJECTS, BUCKET = "${DataBucket.Arn}/*", "DataBucket.Arn"
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}

BY_LAMBDA: dict[str, set[Right]] = {
    "api": set(),
    **{
        function: {
            ("sqs:DeleteMessage", queue),
            ("sqs:GetQueueAttributes", queue),
            ("sqs:ReceiveMessage", queue),
        }
        for function, queue in (
            ("importer", "ImportQueue.Arn"),
            ("worker", "UploadQueue.Arn"),
        )
    },
    "stream": {
        ("dynamodb:DescribeStream", "ImagesTable.StreamArn"),
        ("dynamodb:GetRecords", "ImagesTable.StreamArn"),
        ("dynamodb:GetShardIterator", "ImagesTable.StreamArn"),
        ("dynamodb:ListStreams", "*"),
        ("sqs:SendMessage", "RecordDeadLetterQueue.Arn"),
    },
    "sweep": set(),
}
"""What Lambda does in a function's name, to bring it its events."""

S3: dict[str, set[Right]] = {
    "AbortMultipartUpload": {("s3:AbortMultipartUpload", OBJECTS)},
    "CompleteMultipartUpload": {("s3:PutObject", OBJECTS)},
    "CreateMultipartUpload": {("s3:PutObject", OBJECTS)},
    "DeleteObject": {("s3:DeleteObject", OBJECTS)},
    "GetObject": {("s3:GetObject", OBJECTS), ("s3:ListBucket", BUCKET)},
    "HeadObject": {("s3:GetObject", OBJECTS), ("s3:ListBucket", BUCKET)},
    "ListMultipartUploads": {("s3:ListBucketMultipartUploads", BUCKET)},
    "ListObjectsV2": {("s3:ListBucket", BUCKET)},
    "ListParts": {("s3:ListMultipartUploadParts", OBJECTS)},
    "PutObject": {("s3:PutObject", OBJECTS)},
    "UploadPart": {("s3:PutObject", OBJECTS)},
}
SECRETS = ("secretsmanager", "ssm")
SIGNED = {"GET": "s3:GetObject", "PUT": "s3:PutObject"}
PARTS = {
    "ConditionCheck": "ConditionCheckItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
}


@cache
def granted() -> dict[str, set[Right]]:
    """Return what each function's role allows."""
    resources = read(INFRA / "functions.yaml")["Resources"]
    rights: dict[str, set[Right]] = {function: set() for function in ROLES}
    for function, role in ROLES.items():
        policies = [*resources[role]["Properties"]["Policies"]]
        policies += [
            one["Properties"]
            for one in resources.values()
            if one.get("Type") == "AWS::IAM::RolePolicy"
            and one["Properties"]["RoleName"] == {"Ref": role}
        ]
        rights[function] = {
            (action, _resource(resource))
            for policy in policies
            for one in policy["PolicyDocument"]["Statement"]
            for action in as_list(one["Action"])
            for resource in as_list(one["Resource"])
        }
    return rights


def always(function: str) -> set[Right]:
    """Return what a function needs without a call: its log, its traces, its events."""
    logs = f"{function.title()}Logs.Arn"
    return (
        {(action, logs) for action in LOGS}
        | {(action, "*") for action in TRACES}
        | BY_LAMBDA[function]
    )


_ENTRIES = {
    app.App.__call__.__code__: "api",
    # In a thread of its own; mutmut wraps it, as it does all that it changes.
    unwrap(secret.read_secret).__code__: "api",
    functions.importer.func.__code__: "importer",
    functions.worker.func.__code__: "worker",
    functions.stream.func.__code__: "stream",
    stream.process_records.__code__: "stream",
    functions.sweep.func.__code__: "sweep",
    sweep.sweep.__code__: "sweep",
}
"""Where each function begins; tests call some of them without Lambda's part."""

_TESTS = str(Path(__file__).parents[1])
_submitter: ContextVar[str | None] = ContextVar("submitter", default=None)


class Watch:
    """Notes the rights that each function uses, and those that it lacks."""

    def __init__(self) -> None:
        self.used: dict[str, set[Right]] = {function: set() for function in ROLES}

    @property
    def excess(self) -> list[str]:
        """What was used and is not granted: function, action, resource."""
        return [
            f"{function} may not {action} on {resource}"
            for function, rights in self.used.items()
            if rights  # Nothing is read for a test that makes no call.
            for action, resource in sorted(rights - granted()[function])
        ]


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch every client of AWS in this process, and whatever is signed."""
    watch = Watch()
    call, sign = BaseClient._make_api_call, S3SigV4QueryAuth.add_auth  # noqa: SLF001
    submit = dynamodb._pool.submit  # noqa: SLF001 - its threads work for who submits

    @wraps(call)
    def noted_call(client: Any, operation: str, parameters: Any) -> Any:
        if function := _running():
            service = client.meta.service_model.service_name
            watch.used[function] |= _rights(service, operation, parameters)
        return call(client, operation, parameters)

    @wraps(sign)
    def noted_sign(auth: Any, request: Any) -> Any:
        if function := _running():
            watch.used[function] |= {(SIGNED[request.method], OBJECTS)}
        return sign(auth, request)

    def submit_for(job: Callable[[], Any]) -> Future[Any]:
        function = _running()

        def run() -> Any:
            _submitter.set(function)
            return job()

        return submit(run)

    with (
        patch.object(BaseClient, "_make_api_call", noted_call),
        patch.object(S3SigV4QueryAuth, "add_auth", noted_sign),
        patch.object(dynamodb._pool, "submit", submit_for),  # noqa: SLF001 - as above
    ):
        yield watch


def _running() -> str | None:
    """
    Return which function makes the current call; none where a test itself makes it.
    """
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - Python's own way
    while frame:
        if function := _ENTRIES.get(frame.f_code):
            return function
        file = frame.f_code.co_filename
        if file.startswith(_TESTS) and file != __file__:
            return None
        frame = frame.f_back
    return _submitter.get()


def _rights(service: str, operation: str, parameters: Any) -> set[Right]:
    if service == "s3":
        return S3.get(operation, {(f"s3:{operation}", BUCKET)})
    if service in SECRETS:
        return {(f"{service}:{operation}", "KeystoneCredential")}
    if service == "dynamodb":
        return _of_dynamodb(operation, parameters)
    place = {"sqs": "UploadQueue.Arn", "events": "EventBus.Arn"}.get(service)
    if service == "sqs" and parameters["QueueUrl"] == IMPORT_QUEUE_URL:
        place = "ImportQueue.Arn"
    return {(f"{service}:{operation}", place or "*")}


def _of_dynamodb(operation: str, parameters: Any) -> set[Right]:
    if operation == "TransactWriteItems":
        parts = {part for item in parameters["TransactItems"] for part in item}
        return {(f"dynamodb:{PARTS[part]}", TABLE) for part in parts}
    place = INDEXES if "IndexName" in parameters else TABLE
    return {(f"dynamodb:{operation}", place)}


def as_list(value: Any) -> list[Any]:
    """Return a list of what a policy names as one thing or as a list."""
    return value if isinstance(value, list) else [value]


def _resource(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return str(value["Ref"])
    name = value.get("Fn::Sub") or ".".join(value["Fn::GetAtt"])
    return str(name)
