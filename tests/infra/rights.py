"""
Which function makes which calls of AWS, and which rights they take.

IAM has actions of its own: a transaction is granted as its parts, what is signed is
checked as if it were done, and S3 says that something is missing only to who may list.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.session import get_session

from chalicelib import bucket, dynamo
from chalicelib.clients import client
from infra.package.template import merged

Right = tuple[str, str]
"""
An action, and the resource of the template that it is on.
"""

ROLES = {"api": "ApiRole", "worker": "WorkerRole", "consumer": "ConsumerRole"}
ROLES |= {"sweeper": "SweeperRole"}

TABLE, INDEXES = "ImagesTable.Arn", "${ImagesTable.Arn}/index/*"
OBJECTS, BUCKET = "${DataBucket.Arn}/*", "DataBucket.Arn"
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}

BY_LAMBDA: dict[str, set[Right]] = {
    "api": set(),
    "worker": {
        ("sqs:DeleteMessage", "UploadQueue.Arn"),
        ("sqs:GetQueueAttributes", "UploadQueue.Arn"),
        ("sqs:ReceiveMessage", "UploadQueue.Arn"),
    },
    "consumer": {
        ("dynamodb:DescribeStream", "ImagesTable.StreamArn"),
        ("dynamodb:GetRecords", "ImagesTable.StreamArn"),
        ("dynamodb:GetShardIterator", "ImagesTable.StreamArn"),
        ("dynamodb:ListStreams", "*"),
        ("sqs:SendMessage", "RecordDeadLetterQueue.Arn"),
    },
    "sweeper": set(),
}
"""
What Lambda does in a function's name, to bring it its events.
"""

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
PARTS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


def granted() -> dict[str, set[Right]]:
    """
    Give what each function's role allows.
    """
    resources = merged("prod")["Resources"]
    found: dict[str, set[Right]] = {function: set() for function in ROLES}
    for function, role in ROLES.items():
        policies = [*resources[role]["Properties"]["Policies"]]
        policies += [
            one["Properties"]
            for one in resources.values()
            if one.get("Type") == "AWS::IAM::RolePolicy"
            and one["Properties"]["RoleName"] == {"Ref": role}
        ]
        found[function] = {
            (action, _resource(one["Resource"]))
            for policy in policies
            for one in policy["PolicyDocument"]["Statement"]
            for action in _listed(one["Action"])
        }
    return found


def always(function: str) -> set[Right]:
    """
    Give what a function needs without a call: its log, its traces, its events.
    """
    logs = f"{function.title()}Logs.Arn"
    return (
        {(action, logs) for action in LOGS}
        | {(action, "*") for action in TRACES}
        | BY_LAMBDA[function]
    )


class Watch:
    """
    Notes the rights that the function takes that runs just now.
    """

    def __init__(self) -> None:
        self.function: str | None = None
        self.used: dict[str, set[Right]] = {function: set() for function in ROLES}

    @contextmanager
    def running(self, function: str) -> Iterator[None]:
        """
        Let it be one function that runs.
        """
        before, self.function = self.function, function
        try:
            yield
        finally:
            self.function = before

    def wrapped(self, function: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """
        Give a handler whose calls are noted as a function's.
        """

        def run(*arguments: Any) -> Any:
            with self.running(function):
                return handler(*arguments)

        return run

    def note(self, model: Any, params: Any, **_: Any) -> None:
        """
        Note a call that is made.
        """
        service, name = model.service_model.service_name, model.name
        if service == "s3":
            self._use(S3[name])
        elif service in SECRETS:
            self._use({(f"{service}:{name}", "KeystoneCredential")})
        elif service == "dynamodb":
            self._use(_of_dynamodb(name, json.loads(params["body"])))
        elif service == "sqs":
            self._use({(f"sqs:{name}", "UploadQueue.Arn")})
        else:
            self._use({(f"{service}:{name}", "EventBus.Arn")})

    def sign(self, method: str, *rest: Any) -> str:
        """
        Note what a URL is signed for, and sign it.
        """
        self._use({(SIGNED[method], OBJECTS)})
        return _signed_url(method, *rest)

    def _use(self, rights: set[Right]) -> None:
        if self.function:
            self.used[self.function] |= rights


_signed_url = bucket._signed_url  # noqa: SLF001 - signing is no call


@contextmanager
def watching() -> Iterator[Watch]:
    """
    Watch every client of the service while the context lasts.
    """
    watch = Watch()
    clients = [dynamo.connection.connection.client]
    clients.append(bucket._client())  # noqa: SLF001 - for tests alone
    clients += [client("sqs"), client("events")]
    for one in clients:
        one.meta.events.register("before-call.*.*", watch.note)
    session = get_session()
    session.register("before-call.*.*", watch.note)
    try:
        with (
            patch.object(bucket, "_signed_url", watch.sign),
            # Each secret is read by a client of its own.
            patch("botocore.session.get_session", lambda: session),
        ):
            yield watch
    finally:
        for one in clients:
            one.meta.events.unregister("before-call.*.*", watch.note)


def _of_dynamodb(name: str, asked: Any) -> set[Right]:
    if name == "TransactWriteItems":
        parts = {part for item in asked["TransactItems"] for part in item}
        return {(f"dynamodb:{PARTS[part]}", TABLE) for part in parts}
    place = INDEXES if "IndexName" in asked else TABLE
    return {(f"dynamodb:{name}", place)}


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _resource(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return str(value["Ref"])
    name = value.get("Fn::Sub") or ".".join(value["Fn::GetAtt"])
    return str(name)
