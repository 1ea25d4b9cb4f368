"""
The local S3: what it checks, what an object of parts is, and how much memory it takes.
"""

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.storage import storage
from tests.local.service import ROOT

PART_MIN = 5 * 1024**2
PARTS = [b"a" * PART_MIN, b"b" * PART_MIN, b"c" * 10]
WHOLE = b"".join(PARTS)
MEMORY_MAX = 200 * 1024**2

numbers = count(1)

# They share the services that others start.
pytestmark = pytest.mark.xdist_group("run")


class Bucket:
    """A bucket, asked as the service does."""

    def __init__(self, url: str) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            config=Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self.do("create_bucket")

    def do(self, operation: str, **parameters: Any) -> Any:
        """Make a call that succeeds."""
        return getattr(self._client, operation)(Bucket="images", **parameters)

    def refused(self, operation: str, **parameters: Any) -> tuple[int, str]:
        """Make a call that fails; return its status, and the name of the error."""
        with pytest.raises(ClientError) as refusal:
            self.do(operation, **parameters)
        response = refusal.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]

    def begin(self) -> dict[str, Any]:
        """Begin a multipart upload of a new object; return what names it."""
        key = f"object-{next(numbers)}"
        upload = self.do("create_multipart_upload", Key=key)
        return {"Key": key, "UploadId": upload["UploadId"]}

    def put(self, upload: dict[str, Any], *parts: bytes) -> dict[str, Any]:
        """Send parts; return what completes them."""
        listed = []
        for number, content in enumerate(parts, 1):
            response = self.do("upload_part", **upload, PartNumber=number, Body=content)
            listed.append({"PartNumber": number, "ETag": response["ETag"]})
        return {"MultipartUpload": {"Parts": listed}}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of the local S3."""
    with storage() as url:
        yield Bucket(url)


@pytest.fixture(scope="module")
def key(bucket: Bucket) -> str:
    """The key of an object that was put together from `PARTS`."""
    upload = bucket.begin()
    named = bucket.put(upload, *PARTS)
    bucket.do("complete_multipart_upload", **upload, **named)
    return str(upload["Key"])


@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_data_that_went_wrong_on_its_way_is_refused(
    bucket: Bucket, operation: str
) -> None:
    """What came is compared with the Content-MD5 that was sent along."""
    parameters: dict[str, Any] = {"Key": "object", "Body": b"dada"}
    if operation == "upload_part":
        parameters |= {**bucket.begin(), "PartNumber": 1}
    digest = b64encode(md5(b"data", usedforsecurity=False).digest()).decode()
    different = bucket.refused(operation, **parameters, ContentMD5=digest)
    malformed = bucket.refused(operation, **parameters, ContentMD5="data")
    bucket.do(operation, **parameters | {"Body": b"data"}, ContentMD5=digest)

    assert different == (400, "BadDigest")
    assert malformed == (400, "InvalidDigest")


def test_an_upload_that_is_gone_takes_nothing(bucket: Bucket) -> None:
    """Neither a part, nor that it be completed."""
    upload = bucket.begin()
    named = bucket.put(upload, b"data")
    bucket.do("abort_multipart_upload", **upload)
    part = bucket.refused("upload_part", **upload, PartNumber=1, Body=b"data")
    complete = bucket.refused("complete_multipart_upload", **upload, **named)

    assert part == complete == (404, "NoSuchUpload")


def test_parts_are_listed_by_their_numbers(bucket: Bucket) -> None:
    """Page by page, also where some of them have not arrived."""
    upload = bucket.begin()
    for number in (2, 3000, 4000, 4001, 9000):
        bucket.do("upload_part", **upload, PartNumber=number, Body=b"data")
    listed, more = [], {"PartNumberMarker": 0}
    while more:
        page = bucket.do("list_parts", **upload, MaxParts=2, **more)
        listed += [part["PartNumber"] for part in page["Parts"]]
        marker = page["NextPartNumberMarker"]
        more = {"PartNumberMarker": marker} if page["IsTruncated"] else {}

    assert listed == [2, 3000, 4000, 4001, 9000]


def test_an_object_is_its_parts(bucket: Bucket, key: str) -> None:
    """Its tag is the MD5 of theirs, and how many they are."""
    digests = b"".join(md5(part, usedforsecurity=False).digest() for part in PARTS)
    shown = bucket.do("head_object", Key=key)

    assert shown["ETag"] == f'"{md5(digests, usedforsecurity=False).hexdigest()}-3"'
    assert shown["ContentLength"] == len(WHOLE)
    assert bucket.do("get_object", Key=key)["Body"].read() == WHOLE


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        (f"bytes={PART_MIN - 2}-{PART_MIN + 1}", PART_MIN - 2, PART_MIN + 2),
        (f"bytes=7-{2 * PART_MIN + 3}", 7, 2 * PART_MIN + 4),
        (f"bytes={PART_MIN}-", PART_MIN, len(WHOLE)),
        ("bytes=-12", len(WHOLE) - 12, len(WHOLE)),
    ],
)
def test_a_range_is_cut_out_of_them(
    bucket: Bucket, key: str, byte_range: str, start: int, end: int
) -> None:
    """Wherever it begins and ends; with the type that the URL asks for."""
    response = bucket.do(
        "get_object", Key=key, Range=byte_range, ResponseContentType="text/plain"
    )

    assert response["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert response["ContentRange"] == f"bytes {start}-{end - 1}/{len(WHOLE)}"
    assert response["ContentType"] == "text/plain"
    assert response["Body"].read() == WHOLE[start:end]


def test_a_range_beyond_the_end_is_refused(bucket: Bucket, key: str) -> None:
    """The status is S3's own, 416."""
    refusal = bucket.refused("get_object", Key=key, Range=f"bytes={len(WHOLE)}-")

    assert refusal == (416, "InvalidRange")


def test_a_part_but_the_last_has_5_mib(bucket: Bucket) -> None:
    """S3 puts no smaller ones together, nor those that it does not have."""
    upload = bucket.begin()
    named = bucket.put(upload, b"small", b"last")
    small = bucket.refused("complete_multipart_upload", **upload, **named)
    named["MultipartUpload"]["Parts"][0]["ETag"] = "other"
    other = bucket.refused("complete_multipart_upload", **upload, **named)

    assert (small, other) == ((400, "EntityTooSmall"), (400, "InvalidPart"))


def test_who_reads_an_object_is_not_cut_off(bucket: Bucket) -> None:
    """Though it is deleted meanwhile."""
    upload = bucket.begin()
    named = bucket.put(upload, *PARTS)
    bucket.do("complete_multipart_upload", **upload, **named)
    body = bucket.do("get_object", Key=upload["Key"])["Body"]
    first = body.read(10)
    bucket.do("delete_object", Key=upload["Key"])

    assert first + body.read() == WHOLE


def test_it_takes_little_memory() -> None:
    """Whatever the size of what is put together, and read."""
    access = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import measure; measure()"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "AWS_DEFAULT_REGION": "us-east-1",
            **access,
        },
        capture_output=True,
        check=True,
        text=True,
    )

    assert int(done.stdout) < MEMORY_MAX


def measure() -> None:
    """Print the most memory that the local S3 took for 320 MiB, in bytes."""
    import resource  # noqa: PLC0415 - in a process of its own

    with storage() as url:
        bucket = Bucket(url)
        upload = bucket.begin()
        named = bucket.put(upload, *[bytes(32 * 1024**2)] * 10)
        bucket.do("complete_multipart_upload", **upload, **named)
        body = bucket.do("get_object", Key=upload["Key"], Range="bytes=1-")["Body"]
        assert sum(map(len, body.iter_chunks(1024**2))) == 320 * 1024**2 - 1
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    sys.stdout.write(str(peak * (1 if sys.platform == "darwin" else 1024)))
