"""
moto's S3 server made to keep data in files: to put 1 GB together, it takes 4.5 GB.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, Any, Final, NamedTuple
from unittest.mock import patch

from moto.moto_server.werkzeug_app import BackendRequest
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeKey, FakeMultipart, S3Backend
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from infra.local.mended_storage import md5_of

PIECE: Final = 256 * 1024
"""How many bytes of data are in memory at a time."""

_BODY = "cloud-images.body"

_abort_upload = S3Backend.abort_multipart_upload
_dispose_key = FakeKey.dispose


class Span(NamedTuple):
    """Some bytes of a file."""

    file: IO[bytes]
    start: int
    size: int


class Data:
    """The data of a part or an object: bytes in files, which it never has in memory.

    moto takes their length and a range of them, and the server sends them in pieces.
    A file has no name, and is gone once no data has a span of it.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = tuple(spans)

    @classmethod
    def kept(cls, pieces: Iterable[bytes]) -> "Data":
        """Keep bytes in a file as they come."""
        file = TemporaryFile(buffering=0)  # noqa: SIM115 - it is closed with its spans
        size = 0
        for piece in pieces:
            file.write(piece)
            size += len(piece)
        return cls([Span(file, 0, size)])

    def __len__(self) -> int:
        return sum(span.size for span in self.spans)

    def __getitem__(self, wanted: slice) -> "Data":
        start, end, _ = wanted.indices(len(self))
        return Data(self._cut(start, end))

    def __iter__(self) -> Iterator[bytes]:
        for file, start, size in self.spans:
            for place in range(start, start + size, PIECE):
                length = min(PIECE, start + size - place)
                yield os.pread(file.fileno(), length, place)

    def _cut(self, start: int, end: int) -> Iterator[Span]:
        place = 0
        for file, first, size in self.spans:
            skipped, last = max(start - place, 0), min(end - place, size)
            if skipped < last:
                yield Span(file, first + skipped, last - skipped)
            place += size


def spooled_storage() -> ExitStack:
    """
    Have a server of moto's S3 keep all data in files, until what is given is closed.
    """
    spooled = ExitStack()
    for owner, name, mend in (
        (BackendRequest, "data", property(_read_body)),
        (FakeKey, "value", property(_value, _keep_value)),
        (FakeKey, "dispose", _dispose),
        (FakeMultipart, "complete", _complete),
        (S3Backend, "abort_multipart_upload", _abort),
    ):
        spooled.enter_context(patch.object(owner, name, mend))
    return spooled


def _read_body(self: BackendRequest) -> bytes | Data:
    if not _is_plain_part(self):
        return self.get_data(parse_form_data=True)
    if _BODY not in self.environ:
        pieces = iter(lambda: self.stream.read(PIECE), b"")
        self.environ[_BODY] = Data.kept(pieces)
    kept: Data = self.environ[_BODY]
    return kept


def _is_plain_part(request: BackendRequest) -> bool:
    """
    Tell whether a request's body is a part as it is: no envelope, no checksum of it.
    """
    headers = request.headers
    return (
        request.method == "PUT"
        and "partNumber" in request.args
        and "x-amz-copy-source" not in headers
        and "x-amz-sdk-checksum-algorithm" not in headers
        and not headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    )


def _value(self: Any) -> Data:  # noqa: ANN401 - moto's own
    data: Data = self.spooled
    return data


def _keep_value(self: Any, value: Any) -> None:  # noqa: ANN401 - moto's own
    data = value if isinstance(value, Data) else Data.kept([value])
    self.spooled = data
    self.contentsize = len(data)
    if self._etag is None:
        self._etag = md5_of(data)


def _dispose(self: Any, garbage: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 - moto's own
    _dispose_key(self, garbage)
    # moto holds each key for good. Who reads the data right now has it still.
    self.spooled = Data([])


def _complete(
    self: FakeMultipart, body: Iterable[tuple[int, str]]
) -> tuple[Data, str, None]:
    # The object has the parts' own files: nothing is copied, nor read.
    parts: list[Any] = []
    for number, etag in body:
        part = self.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        parts.append(part)
    if not parts:
        raise MalformedXML
    digest = md5_of(bytes.fromhex(part.etag.strip('"')) for part in parts)
    spans = [span for part in parts for span in part.value.spans]
    return Data(spans), f"{digest}-{len(parts)}", None


def _abort(self: S3Backend, bucket: str, upload_id: str) -> None:
    multipart = self.get_bucket(bucket).multiparts.get(upload_id)
    _abort_upload(self, bucket, upload_id)
    if multipart is not None:
        multipart.dispose()
