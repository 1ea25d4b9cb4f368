"""What the store asks of S3, and what it makes of S3's responses."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from botocore.response import StreamingBody

from chalicelib.domain.images import Image
from chalicelib.domain.uploads import DIRECT_UPLOAD, Upload, UploadState
from chalicelib.errors import Unavailable
from chalicelib.store import objects
from chalicelib.store.objects import MissingError, Part, StoredData

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UPLOAD = Upload(
    *("9c27", "6b1f", DIRECT_UPLOAD, UploadState.OPEN, "producer", "alice", "req-1"),
    *(NOW, NOW),
    size=25,
    part_size=10,
    multipart_id="m-1",
)
NAMED = {"Bucket": "cloud-images-test", "Key": "6b1f/9c27"}
OF_UPLOAD = {**NAMED, "UploadId": "m-1"}
DATA = "application/octet-stream"
MD5 = b64encode(hashlib.md5(b"data", usedforsecurity=False).digest()).decode()
ETAGS = ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"]
PARTS = [Part(1, 10, ETAGS[0]), Part(2, 5, ETAGS[1])]


@dataclass
class Bucket:
    """A client of S3 that responds as a test says, and notes what it is asked."""

    responses: list[Any] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return an operation of S3."""

        def respond(**parameters: Any) -> Any:
            self.asked.append((operation, parameters))
            response = self.responses.pop(0) if self.responses else {}
            if isinstance(response, Exception):
                raise response
            return response

        return respond


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket in the place of S3's."""
    bucket = Bucket()
    monkeypatch.setattr(objects, "client", lambda *_, **__: bucket)
    return bucket


def failed(code: str) -> ClientError:
    """Return an error of S3's."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "operation")


class Broken:
    """A body whose connection ends."""

    def read(self) -> bytes:
        """Raise as botocore does."""
        raise HTTPClientError(error="ended")

    def iter_chunks(self, _: int) -> Iterator[bytes]:
        """Yield some, then raise as botocore does."""
        yield b"da"
        raise HTTPClientError(error="ended")


def test_data_is_put_once_and_checked(bucket: Bucket) -> None:
    """An object that is there already stays, and is as good."""
    bucket.responses = [{}, failed("PreconditionFailed")]

    for _ in range(2):
        objects.put_data("6b1f", "9c27", b"data")

    asked = {"Body": b"data", "ContentMD5": MD5, "ContentType": DATA}
    put = ("put_object", {**NAMED, **asked, "IfNoneMatch": "*"})
    assert bucket.asked == [put, put]


def test_a_multipart_upload_is_begun_filled_and_completed(bucket: Bucket) -> None:
    """By its id, with each part's MD5 and ETag."""
    bucket.responses = [{"UploadId": "m-1"}]

    assert objects.begin_multipart("6b1f", "9c27") == "m-1"
    objects.put_part(UPLOAD, 2, b"data")
    objects.complete_multipart(UPLOAD, PARTS)

    part = {"PartNumber": 2, "Body": b"data", "ContentMD5": MD5}
    named = [{"PartNumber": n + 1, "ETag": etag} for n, etag in enumerate(ETAGS)]
    assert bucket.asked == [
        ("create_multipart_upload", {**NAMED, "ContentType": DATA}),
        ("upload_part", {**OF_UPLOAD, **part}),
        (
            "complete_multipart_upload",
            {**OF_UPLOAD, "MultipartUpload": {"Parts": named}},
        ),
    ]


def test_parts_are_listed_to_the_last(bucket: Bucket) -> None:
    """S3 lists some at a time, and quotes their ETags."""
    rows = [
        {"PartNumber": part.number, "Size": part.size, "ETag": f'"{part.etag}"'}
        for part in PARTS
    ]
    bucket.responses = [
        {"Parts": rows[:1], "IsTruncated": True, "NextPartNumberMarker": 1},
        {"IsTruncated": True, "NextPartNumberMarker": 7},
        {"Parts": rows[1:], "IsTruncated": False},
    ]

    assert objects.list_parts(UPLOAD) == PARTS
    assert bucket.asked == [
        ("list_parts", OF_UPLOAD),
        ("list_parts", {**OF_UPLOAD, "PartNumberMarker": 1}),
        ("list_parts", {**OF_UPLOAD, "PartNumberMarker": 7}),
    ]
    assert objects.list_parts(UPLOAD) == []


def test_the_etag_of_parts_is_the_one_that_s3_makes(bucket: Bucket) -> None:
    """S3's own says the object's size, too."""
    bucket.responses = [{"ContentLength": 15, "ETag": '"abc-2"'}]

    joined = bytes.fromhex("".join(ETAGS))
    md5 = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    assert objects.etag_of_parts(PARTS) == f"{md5}-2"
    assert objects.etag_of("6b1f", "9c27") == (15, "abc-2")
    assert bucket.asked == [("head_object", NAMED)]


def test_data_is_read_from_a_byte_on(bucket: Bucket) -> None:
    """In pieces of a size; or one piece alone."""
    body = StreamingBody(BytesIO(b"content"), 7)
    bucket.responses = [{"Body": body}, {"Body": BytesIO(b"tent")}]

    assert list(objects.read_data(UPLOAD, 10, 3)) == [b"con", b"ten", b"t"]
    assert objects.read_piece(UPLOAD, 10, 4) == b"tent"

    assert bucket.asked == [
        ("get_object", {**NAMED, "Range": "bytes=10-"}),
        ("get_object", {**NAMED, "Range": "bytes=10-13"}),
    ]


def test_a_read_that_breaks_off_is_503(bucket: Bucket) -> None:
    """What had come by then is not the whole."""
    bucket.responses = [{"Body": Broken()}, {"Body": Broken()}]

    with pytest.raises(Unavailable, match="store of images' data"):
        list(objects.read_data(UPLOAD, 0, 2))
    with pytest.raises(Unavailable, match="store of images' data"):
        objects.read_piece(UPLOAD, 0, 2)


@pytest.mark.parametrize("multipart_id", ["m-1", None])
def test_an_uploads_data_is_deleted_with_its_parts(
    bucket: Bucket, multipart_id: str | None
) -> None:
    """Whether it has any; parts that are gone already are no error."""
    bucket.responses = [failed("NoSuchUpload")] if multipart_id else []

    objects.delete_upload(UPLOAD._replace(multipart_id=multipart_id))

    abort = [("abort_multipart_upload", OF_UPLOAD)] if multipart_id else []
    assert bucket.asked == [*abort, ("delete_object", NAMED)]


LISTED = {"Key": "6b1f/9c27", "LastModified": NOW}
BEGUN = {"Key": "6b1f/9c27/x", "Initiated": NOW, "UploadId": "m-1"}


def test_objects_are_listed_to_the_last(bucket: Bucket) -> None:
    """From a key on; S3 lists some at a time."""
    bucket.responses = [
        {"Contents": [LISTED], "IsTruncated": True, "NextContinuationToken": "t"},
        {"IsTruncated": True, "NextContinuationToken": "u"},
        {"Contents": [{**LISTED, "Key": "odd"}], "IsTruncated": False},
        {},
    ]

    assert list(objects.list_objects("6b1f/", "6b1f/1")) == [
        StoredData("6b1f", "9c27", NOW),
        StoredData("odd", "", NOW),
    ]
    assert list(objects.list_objects()) == []

    asked = {"Bucket": "cloud-images-test", "Prefix": "6b1f/"}
    assert bucket.asked == [
        ("list_objects_v2", {**asked, "StartAfter": "6b1f/1"}),
        ("list_objects_v2", {**asked, "ContinuationToken": "t"}),
        ("list_objects_v2", {**asked, "ContinuationToken": "u"}),
        ("list_objects_v2", {**asked, "Prefix": ""}),
    ]


def test_multipart_uploads_are_listed_to_the_last(bucket: Bucket) -> None:
    """From a key on; S3 lists some at a time, by key and id."""
    nexts = {"NextKeyMarker": "k", "NextUploadIdMarker": "i"}
    bucket.responses = [
        {"Uploads": [BEGUN], "IsTruncated": True, **nexts},
        {"IsTruncated": True, **nexts, "NextKeyMarker": "l"},
        {"Uploads": [{**BEGUN, "Key": "odd"}], "IsTruncated": False},
        {},
    ]

    assert list(objects.list_multiparts("6b1f/", "6b1f/1")) == [
        StoredData("6b1f", "9c27/x", NOW, "m-1"),
        StoredData("odd", "", NOW, "m-1"),
    ]
    assert list(objects.list_multiparts()) == []

    asked = {"Bucket": "cloud-images-test", "Prefix": "6b1f/"}
    assert bucket.asked == [
        ("list_multipart_uploads", {**asked, "KeyMarker": "6b1f/1"}),
        (
            "list_multipart_uploads",
            {**asked, "KeyMarker": "k", "UploadIdMarker": "i"},
        ),
        (
            "list_multipart_uploads",
            {**asked, "KeyMarker": "l", "UploadIdMarker": "i"},
        ),
        ("list_multipart_uploads", {**asked, "Prefix": ""}),
    ]


def test_all_data_of_an_image_is_deleted(bucket: Bucket) -> None:
    """Its uploads in progress and its objects, and no other image's."""
    begun = {**BEGUN, "Key": "6b1f/9c27"}
    other = {**LISTED, "Key": "6b1f/1"}
    bucket.responses = [{"Uploads": [begun]}, {"Contents": [LISTED, other]}]

    objects.delete_image_data("6b1f")

    listed = {"Bucket": "cloud-images-test", "Prefix": "6b1f/"}
    assert bucket.asked == [
        ("list_multipart_uploads", listed),
        ("list_objects_v2", listed),
        ("abort_multipart_upload", OF_UPLOAD),
        ("delete_object", NAMED),
        ("delete_object", {**NAMED, "Key": "6b1f/1"}),
    ]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (failed("404"), MissingError),
        (failed("NoSuchKey"), MissingError),
        (failed("NoSuchUpload"), MissingError),
        (failed("PreconditionFailed"), objects.ObjectExistsError),
        (failed("SlowDown"), Unavailable),
        (failed("NoSuchBucket"), Unavailable),
        (HTTPClientError(error="down"), Unavailable),
    ],
)
def test_an_error_of_s3_is_one_of_three(
    bucket: Bucket, error: Exception, raised: type[Exception]
) -> None:
    """It has no such thing, or already has it, or is unavailable."""
    bucket.responses = [error]

    with pytest.raises(raised) as excinfo:
        objects.etag_of("6b1f", "9c27")

    assert excinfo.value.__cause__ is error
    operation = "store of images' data" if raised is Unavailable else "head_object"
    assert operation in str(excinfo.value)


def test_the_client_waits_for_s3_within_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 seconds; it says MD5s itself; at another endpoint a path names the bucket."""
    asked: list[tuple[Any, ...]] = []

    def client(*names: str, **options: Any) -> Bucket:
        asked.append((names, options))
        return Bucket()

    monkeypatch.setattr(objects, "client", client)
    checksums = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }

    for endpoint, style in (("", None), ("http://s3", {"addressing_style": "path"})):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        objects.delete_data("6b1f", "9c27")
        assert asked.pop() == (("s3",), {"read_timeout": 20, "s3": style, **checksums})


def signed(url: str) -> tuple[str, dict[str, str]]:
    """Return a signed URL without its query, and that but for the signature's parts."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    for name in ("X-Amz-Date", "X-Amz-Security-Token"):
        query.pop(name, None)
    assert len(query.pop("X-Amz-Signature")) == 64
    *_, region, service, end = query.pop("X-Amz-Credential").split("/")
    assert (region, service, end) == ("us-east-1", "s3", "aws4_request")
    assert query.pop("X-Amz-Algorithm") == "AWS4-HMAC-SHA256"
    return f"{parts.scheme}://{parts.netloc}{parts.path}", query


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9000"])
def test_a_url_is_signed_for_one_object(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    """Of an image's data for five minutes, of a part for fifteen and its exact size."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    root = "https://cloud-images-test.s3.us-east-1.amazonaws.com"
    if endpoint:
        root = f"{endpoint}/cloud-images-test"
    image = Image("6b1f", "producer", NOW, NOW, {}, upload_id="9c 27")

    assert signed(objects.download_url(image)) == (
        f"{root}/6b1f/9c%2027",
        {
            "response-content-type": DATA,
            "X-Amz-Expires": "300",
            "X-Amz-SignedHeaders": "host",
        },
    )
    assert signed(objects.part_url(UPLOAD, 3)) == (
        f"{root}/6b1f/9c27",
        {
            "partNumber": "3",
            "uploadId": "m-1",
            "X-Amz-Expires": "900",
            "X-Amz-SignedHeaders": "content-length;host",
        },
    )


def test_a_url_for_a_part_is_for_its_size_alone() -> None:
    """Another size has another signature."""
    urls = {
        objects.part_url(UPLOAD._replace(size=size), 3).partition("X-Amz-Signature")[2]
        for size in (25, 26)
    }

    assert len(urls) == 2
