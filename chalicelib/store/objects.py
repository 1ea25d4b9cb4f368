"""The bucket: images' data, one object for each upload, written once.

Nothing is overwritten: an image's record alone decides which object is its data. URLs
are signed without S3's client, which takes 90 ms to make and is made on first use.
"""

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from hashlib import md5
from typing import Any, Final, NamedTuple
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
"""Lifetime of the URL of a download, in seconds."""

PART_SECONDS: Final = 900
"""Lifetime of the URL for sending a part, in seconds."""

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload"})


class MissingError(LookupError):
    """The bucket has no such object or multipart upload."""


class ObjectExistsError(Exception):
    """The bucket already has an object of this key."""


class Part(NamedTuple):
    """A part of a multipart upload in the bucket; the ETag is its MD5 in hex."""

    number: int
    size: int
    etag: str


class StoredData(NamedTuple):
    """An object in the bucket, or a multipart upload, which has an id."""

    image_id: str
    upload_id: str
    created_at: datetime
    multipart_id: str | None = None


def object_key(image_id: str, upload_id: str) -> str:
    """Return the key of an upload's object: `6b1f…/9c27…`."""
    return f"{image_id}/{upload_id}"


def download_url(image: Image) -> str:
    """Return a signed URL of an image's data, without a request to S3."""
    return _signed_url(
        "GET",
        object_key(image.id, image.upload_id or ""),
        {"response-content-type": DATA_TYPE},
        DOWNLOAD_SECONDS,
    )


def part_url(upload: Upload, number: int) -> str:
    """Return a signed URL for sending a part of an upload, of exactly its size."""
    return _signed_url(
        "PUT",
        object_key(upload.image_id, upload.id),
        {"partNumber": str(number), "uploadId": upload.multipart_id or ""},
        PART_SECONDS,
        {"Content-Length": str(upload.part_bytes(number))},
    )


def put_data(image_id: str, upload_id: str, content: bytes) -> None:
    """Store an object, unless it exists already; S3 checks its MD5."""
    with suppress(ObjectExistsError):
        _call(
            "put_object",
            Key=object_key(image_id, upload_id),
            Body=content,
            ContentMD5=_content_md5(content),
            ContentType=DATA_TYPE,
            IfNoneMatch="*",
        )


def begin_multipart(image_id: str, upload_id: str) -> str:
    """Start a multipart upload, and return its id."""
    response = _call(
        "create_multipart_upload",
        Key=object_key(image_id, upload_id),
        ContentType=DATA_TYPE,
    )
    multipart_id: str = response["UploadId"]
    return multipart_id


def put_part(upload: Upload, number: int, content: bytes) -> None:
    """Store a part; S3 checks its MD5.

    Raises:
        MissingError: The multipart upload was completed or aborted.
    """
    _call(
        "upload_part",
        **_multipart(upload),
        PartNumber=number,
        Body=content,
        ContentMD5=_content_md5(content),
    )


def list_parts(upload: Upload) -> list[Part]:
    """Return the parts in S3, in the order of their numbers.

    Raises:
        MissingError: The multipart upload was completed or aborted.
    """
    parts: list[Part] = []
    more: dict[str, Any] = {}
    while True:
        response = _call("list_parts", **_multipart(upload), **more)
        parts += [
            Part(one["PartNumber"], one["Size"], one["ETag"].strip('"'))
            for one in response.get("Parts", [])
        ]
        if not response.get("IsTruncated"):
            return parts
        more = {"PartNumberMarker": response["NextPartNumberMarker"]}


def complete_multipart(upload: Upload, parts: list[Part]) -> None:
    """Complete a multipart upload; S3 checks the ETag of each part.

    Raises:
        MissingError: The multipart upload was completed or aborted before.
    """
    named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    _call(
        "complete_multipart_upload",
        **_multipart(upload),
        MultipartUpload={"Parts": named},
    )


def etag_of_parts(parts: list[Part]) -> str:
    """Return the ETag of the object of *parts*: the MD5 of their MD5s, and `-n`."""
    tags = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{md5(tags, usedforsecurity=False).hexdigest()}-{len(parts)}"


def etag_of(image_id: str, upload_id: str) -> tuple[int, str]:
    """Return the size of an object and its ETag: its MD5, or that of `etag_of_parts`.

    Raises:
        MissingError: It does not exist.
    """
    response = _call("head_object", Key=object_key(image_id, upload_id))
    return int(response["ContentLength"]), response["ETag"].strip('"')


def read_data(upload: Upload, start: int, size: int) -> Iterator[bytes]:
    """Yield an object from the byte *start* on, in pieces of *size* bytes.

    Raises:
        MissingError: It does not exist.
    """
    response = _call(
        "get_object",
        Key=object_key(upload.image_id, upload.id),
        Range=f"bytes={start}-",
    )
    try:
        yield from response["Body"].iter_chunks(size)
    except BotoCoreError as exc:
        raise Unavailable(_UNAVAILABLE) from exc


def read_piece(upload: Upload, start: int, length: int) -> bytes:
    """Read a piece of an object, which has it.

    Raises:
        MissingError: It does not exist.
    """
    response = _call(
        "get_object",
        Key=object_key(upload.image_id, upload.id),
        Range=f"bytes={start}-{start + length - 1}",
    )
    try:
        piece: bytes = response["Body"].read()
    except BotoCoreError as exc:
        raise Unavailable(_UNAVAILABLE) from exc
    return piece


def delete_upload(upload: Upload) -> None:
    """Delete the parts and the object of an upload."""
    if upload.multipart_id:
        abort_multipart(upload.image_id, upload.id, upload.multipart_id)
    delete_data(upload.image_id, upload.id)


def delete_data(image_id: str, upload_id: str) -> None:
    """Delete an object, if it exists."""
    _call("delete_object", Key=object_key(image_id, upload_id))


def abort_multipart(image_id: str, upload_id: str, multipart_id: str) -> None:
    """Abort a multipart upload, if it exists."""
    try:
        _call(
            "abort_multipart_upload",
            Key=object_key(image_id, upload_id),
            UploadId=multipart_id,
        )
    except MissingError:
        return


def delete_image_data(image_id: str) -> None:
    """Delete all objects and multipart uploads of an image."""
    prefix = f"{image_id}/"
    for one in [*list_multiparts(prefix), *list_objects(prefix)]:
        if one.multipart_id:
            abort_multipart(one.image_id, one.upload_id, one.multipart_id)
        else:
            delete_data(one.image_id, one.upload_id)


def list_objects(prefix: str = "", after: str = "") -> Iterator[StoredData]:
    """Yield every object, or those of one image (`6b1f…/`), after a key."""
    more: dict[str, Any] = {"StartAfter": after} if after else {}
    while True:
        response = _call("list_objects_v2", Prefix=prefix, **more)
        for one in response.get("Contents", []):
            image_id, _, upload_id = one["Key"].partition("/")
            yield StoredData(image_id, upload_id, one["LastModified"])
        if not response.get("IsTruncated"):
            return
        more = {"ContinuationToken": response["NextContinuationToken"]}


def list_multiparts(prefix: str = "", after: str = "") -> Iterator[StoredData]:
    """Yield every open multipart upload, or those of one image, after a key."""
    more: dict[str, Any] = {"KeyMarker": after} if after else {}
    while True:
        response = _call("list_multipart_uploads", Prefix=prefix, **more)
        for one in response.get("Uploads", []):
            image_id, _, upload_id = one["Key"].partition("/")
            yield StoredData(image_id, upload_id, one["Initiated"], one["UploadId"])
        if not response.get("IsTruncated"):
            return
        more = {
            "KeyMarker": response["NextKeyMarker"],
            "UploadIdMarker": response["NextUploadIdMarker"],
        }


_UNAVAILABLE: Final = "The store of images' data is unavailable; retry."


def _call(operation: str, **asked: Any) -> Any:  # noqa: ANN401 - botocore's own
    try:
        bucket = settings.current.bucket_name
        return getattr(_client(), operation)(Bucket=bucket, **asked)
    except ClientError as exc:
        if exc.response["Error"]["Code"] in _MISSING:
            raise MissingError(operation) from exc
        if exc.response["Error"]["Code"] == "PreconditionFailed":
            raise ObjectExistsError(operation) from exc
        raise Unavailable(_UNAVAILABLE) from exc
    except BotoCoreError as exc:
        raise Unavailable(_UNAVAILABLE) from exc


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
    region = session().get_config_variable("region")
    endpoint = _endpoint()
    root = (
        f"{endpoint}/{bucket}"
        if endpoint
        else f"https://{bucket}.s3.{region}.amazonaws.com"
    )
    request = AWSRequest(method, f"{root}/{quote(key)}", headers, params=query)
    credentials = session().get_credentials()
    S3SigV4QueryAuth(credentials, "s3", region, expires=seconds).add_auth(request)
    url: str = request.prepare().url
    return url


def _endpoint() -> str | None:
    """Return the endpoint of S3 if it is not AWS's, by botocore's own setting."""
    return os.environ.get("AWS_ENDPOINT_URL_S3")
