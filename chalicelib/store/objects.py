"""The bucket: images' data. Each upload is an object of its own, which is written once.

So nothing is ever overwritten, and what an image has is decided by its record alone.
URLs are signed without S3's client, which takes 90 ms to make; it is made when first
used.
"""

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Any, Final
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.aws import client, session
from chalicelib.domain.images import DATA_TYPE, Image
from chalicelib.domain.uploads import Upload
from chalicelib.errors import Unavailable

DOWNLOAD_SECONDS: Final = 300
"""How long a download may be begun, once it was allowed."""

PART_SECONDS: Final = 900
"""How long the sending of a part may be begun."""

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload"})


class MissingError(LookupError):
    """The bucket has no such object or multipart upload."""


class ThereError(Exception):
    """The bucket has such an object already."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload that the bucket has; the tag is its MD5 in hex."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Kept:
    """
    An object, or a multipart upload (then with its id), and since when it is there.
    """

    image_id: str
    upload_id: str
    since: datetime
    multipart_id: str | None = None


def object_key(image_id: str, upload_id: str) -> str:
    """Give the key of an upload's object: `6b1f…/9c27…`."""
    return f"{image_id}/{upload_id}"


def download_url(image: Image) -> str:
    """Sign a URL for one download of an image's data. Nothing is asked of S3."""
    return _signed_url(
        "GET",
        object_key(image.id, image.upload_id or ""),
        {"response-content-type": DATA_TYPE},
        DOWNLOAD_SECONDS,
    )


def part_url(upload: Upload, number: int) -> str:
    """Sign a URL for sending one part of an upload to S3, of just its size."""
    return _signed_url(
        "PUT",
        object_key(upload.image_id, upload.id),
        {"partNumber": str(number), "uploadId": upload.multipart_id or ""},
        PART_SECONDS,
        {"Content-Length": str(upload.part_bytes(number))},
    )


def put_data(image_id: str, upload_id: str, content: bytes) -> None:
    """
    Keep a whole object; S3 checks its MD5. One that is there already stays as it is.
    """
    with suppress(ThereError):
        _ask(
            "put_object",
            Key=object_key(image_id, upload_id),
            Body=content,
            ContentMD5=_content_md5(content),
            ContentType=DATA_TYPE,
            IfNoneMatch="*",
        )


def begin_multipart(image_id: str, upload_id: str) -> str:
    """Begin to put an object together from parts; give S3's id for that."""
    answer = _ask(
        "create_multipart_upload",
        Key=object_key(image_id, upload_id),
        ContentType=DATA_TYPE,
    )
    multipart_id: str = answer["UploadId"]
    return multipart_id


def put_part(upload: Upload, number: int, content: bytes) -> None:
    """Send a part; S3 checks its MD5.

    Raises:
        MissingError: The multipart upload was completed or aborted.
    """
    _ask(
        "upload_part",
        **_multipart(upload),
        PartNumber=number,
        Body=content,
        ContentMD5=_content_md5(content),
    )


def list_parts(upload: Upload) -> list[Part]:
    """Give the parts that S3 has, by their numbers.

    Raises:
        MissingError: The multipart upload was completed or aborted.
    """
    parts: list[Part] = []
    more: dict[str, Any] = {}
    while True:
        answer = _ask("list_parts", **_multipart(upload), **more)
        parts += [
            Part(one["PartNumber"], one["Size"], one["ETag"].strip('"'))
            for one in answer.get("Parts", [])
        ]
        if not answer.get("IsTruncated"):
            return parts
        more = {"PartNumberMarker": answer["NextPartNumberMarker"]}


def complete_multipart(upload: Upload, parts: list[Part]) -> None:
    """Make the object of its parts; S3 checks that each is still the one named.

    Raises:
        MissingError: The multipart upload was completed or aborted before.
    """
    named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    _ask(
        "complete_multipart_upload",
        **_multipart(upload),
        MultipartUpload={"Parts": named},
    )


def etag_of_parts(parts: list[Part]) -> str:
    """
    Give the tag of the object that S3 makes of parts: the MD5 of their MD5s, and `-n`.
    """
    tags = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{md5(tags, usedforsecurity=False).hexdigest()}-{len(parts)}"


def etag_of(image_id: str, upload_id: str) -> tuple[int, str]:
    """Give the size of an object and its tag: its MD5, or what `etag_of_parts` gives.

    Raises:
        MissingError: There is none.
    """
    answer = _ask("head_object", Key=object_key(image_id, upload_id))
    return int(answer["ContentLength"]), answer["ETag"].strip('"')


def read_data(upload: Upload, start: int, size: int) -> Iterator[bytes]:
    """Read an object from a byte on, in pieces of some size.

    Raises:
        MissingError: There is none.
    """
    answer = _ask(
        "get_object",
        Key=object_key(upload.image_id, upload.id),
        Range=f"bytes={start}-",
    )
    try:
        yield from answer["Body"].iter_chunks(size)
    except BotoCoreError as exc:
        raise Unavailable(_NO_ANSWER) from exc


def read_piece(upload: Upload, start: int, length: int) -> bytes:
    """Read a piece of an object, which has it.

    Raises:
        MissingError: There is none.
    """
    answer = _ask(
        "get_object",
        Key=object_key(upload.image_id, upload.id),
        Range=f"bytes={start}-{start + length - 1}",
    )
    try:
        piece: bytes = answer["Body"].read()
    except BotoCoreError as exc:
        raise Unavailable(_NO_ANSWER) from exc
    return piece


def delete_upload(upload: Upload) -> None:
    """Remove what there is of an upload: its parts and its object."""
    if upload.multipart_id:
        abort_multipart(upload.image_id, upload.id, upload.multipart_id)
    delete_data(upload.image_id, upload.id)


def delete_data(image_id: str, upload_id: str) -> None:
    """Remove an object, if it is there."""
    _ask("delete_object", Key=object_key(image_id, upload_id))


def abort_multipart(image_id: str, upload_id: str, multipart_id: str) -> None:
    """Remove the parts of an object that was never completed, if there are any."""
    try:
        _ask(
            "abort_multipart_upload",
            Key=object_key(image_id, upload_id),
            UploadId=multipart_id,
        )
    except MissingError:
        return


def delete_image_data(image_id: str) -> None:
    """Remove all that there is of an image's data."""
    prefix = f"{image_id}/"
    for one in [*list_multiparts(prefix), *list_objects(prefix)]:
        if one.multipart_id:
            abort_multipart(one.image_id, one.upload_id, one.multipart_id)
        else:
            delete_data(one.image_id, one.upload_id)


def list_objects(prefix: str = "") -> Iterator[Kept]:
    """Give every object, or those of one image (`6b1f…/`)."""
    more: dict[str, Any] = {}
    while True:
        answer = _ask("list_objects_v2", Prefix=prefix, **more)
        for one in answer.get("Contents", []):
            image_id, _, upload_id = one["Key"].partition("/")
            yield Kept(image_id, upload_id, one["LastModified"])
        if not answer.get("IsTruncated"):
            return
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def list_multiparts(prefix: str = "") -> Iterator[Kept]:
    """Give every multipart upload that is not completed, or those of one image."""
    more: dict[str, Any] = {}
    while True:
        answer = _ask("list_multipart_uploads", Prefix=prefix, **more)
        for one in answer.get("Uploads", []):
            image_id, _, upload_id = one["Key"].partition("/")
            yield Kept(image_id, upload_id, one["Initiated"], one["UploadId"])
        if not answer.get("IsTruncated"):
            return
        more = {
            "KeyMarker": answer["NextKeyMarker"],
            "UploadIdMarker": answer["NextUploadIdMarker"],
        }


_NO_ANSWER: Final = "The store of images' data cannot answer just now."


def _ask(operation: str, **asked: Any) -> Any:  # noqa: ANN401 - botocore's own
    try:
        bucket = settings.current.bucket_name
        return getattr(_client(), operation)(Bucket=bucket, **asked)
    except ClientError as exc:
        if exc.response["Error"]["Code"] in _MISSING:
            raise MissingError(operation) from exc
        if exc.response["Error"]["Code"] == "PreconditionFailed":
            raise ThereError(operation) from exc
        raise Unavailable(_NO_ANSWER) from exc
    except BotoCoreError as exc:
        raise Unavailable(_NO_ANSWER) from exc


def _client() -> Any:  # noqa: ANN401 - botocore's own
    return client(
        "s3",
        read_timeout=20,
        s3={"addressing_style": "path"} if _endpoint() else None,
        # Each call that sends data says its MD5.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _multipart(upload: Upload) -> dict[str, Any]:
    key = object_key(upload.image_id, upload.id)
    return {"Key": key, "UploadId": upload.multipart_id}


def _content_md5(content: bytes) -> str:
    return b64encode(md5(content, usedforsecurity=False).digest()).decode()


def _signed_url(
    method: str,
    key: str,
    query: dict[str, str],
    seconds: int,
    headers: dict[str, str] | None = None,
) -> str:
    bucket = settings.current.bucket_name
    region = session.get_config_variable("region")
    place = _endpoint()
    root = (
        f"{place}/{bucket}" if place else f"https://{bucket}.s3.{region}.amazonaws.com"
    )
    request = AWSRequest(method, f"{root}/{quote(key)}", headers, params=query)
    credentials = session.get_credentials()
    S3SigV4QueryAuth(credentials, "s3", region, expires=seconds).add_auth(request)
    url: str = request.prepare().url
    return url


def _endpoint() -> str | None:
    """Give where S3 is instead of AWS, by botocore's own setting."""
    return os.environ.get("AWS_ENDPOINT_URL_S3")
