"""moto's S3 made to check what S3 does: digests, part numbers, and open uploads."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from hashlib import md5
from typing import Any
from unittest.mock import patch

from moto.s3.exceptions import NoSuchUpload, S3ClientError
from moto.s3.models import FakeKey, FakeMultipart, S3Backend
from moto.s3.responses import S3Response

_put_object = S3Response.put_object
_upload_part = S3Response.upload_part
_keep_part = S3Backend.upload_part
_complete_upload = S3Backend.complete_multipart_upload


def mended_storage() -> ExitStack:
    """
    Mend moto's S3, in this process or in its server, until the result is closed.
    """
    mended = ExitStack()
    for owner, name, mend in (
        (S3Response, "put_object", _check_digest(_put_object)),
        (S3Response, "upload_part", _check_digest(_upload_part)),
        (S3Backend, "upload_part", _if_open(_keep_part)),
        (S3Backend, "complete_multipart_upload", _if_open(_complete_upload)),
        (S3Backend, "is_truncated", _is_truncated),
        (FakeMultipart, "list_parts", _list_parts),
    ):
        mended.enter_context(patch.object(owner, name, mend))
    return mended


def md5_of(pieces: Iterable[bytes]) -> str:
    """Return the MD5 of data that comes in pieces, in hex."""
    digest = md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _check_digest(call: Callable[[S3Response], Any]) -> Callable[[S3Response], Any]:
    # moto does not look at it, and keeps what came.
    def check(self: S3Response) -> Any:  # noqa: ANN401 - moto's own
        header = self.headers.get("Content-MD5")
        if header is not None:
            _compare(header, [self.body] if isinstance(self.body, bytes) else self.body)
        return call(self)

    return check


def _compare(header: str, body: Iterable[bytes]) -> None:
    try:
        wanted = b64decode(header, validate=True).hex()
    except ValueError:
        wanted = ""
    if len(wanted) != len(md5_of([])):
        message = "The Content-MD5 you specified was invalid."
        raise S3ClientError("InvalidDigest", message)
    if md5_of(body) != wanted:
        message = "The Content-MD5 you specified did not match what we received."
        raise S3ClientError("BadDigest", message)


def _if_open(call: Callable[..., Any]) -> Callable[..., Any]:
    # moto breaks down where there is no such upload, or none any more.
    def check(self: S3Backend, bucket: str, upload_id: str, *header: Any) -> Any:  # noqa: ANN401 - moto's own
        if upload_id not in self.get_bucket(bucket).multiparts:
            raise NoSuchUpload(upload_id=upload_id)
        return call(self, bucket, upload_id, *header)

    return check


def _list_parts(self: FakeMultipart, after: int, most: int) -> Iterator[FakeKey]:
    # moto takes the marker, a part's number, for its place in the list.
    numbers = [number for number in self.partlist if number > after]
    return iter([self.parts[number] for number in numbers[:most]])


def _is_truncated(self: S3Backend, bucket: str, upload_id: str, last: int) -> bool:
    return bool(self.get_bucket(bucket).multiparts[upload_id].partlist[-1] > last)
