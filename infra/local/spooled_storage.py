"""moto's S3 server, with the data of parts and objects in files instead of memory.

Without it the server takes 4.5 times the size of an upload: 1,479 MiB for 320 MiB,
where it takes 76 MiB here. `tests/local/test_storage.py` bounds that; `kept_storage`
keeps the same files from run to run.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple
from unittest.mock import patch
from uuid import uuid4
from weakref import finalize

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


class File:
    """A file that is removed once no data has a span of it, but not as Python ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        finalize(self, path.unlink, missing_ok=True).atexit = False


class Span(NamedTuple):
    """Consecutive bytes of a file."""

    file: File
    start: int
    size: int


class Data:
    """
    The data of a part or an object: bytes in files, never in memory as a whole.

    moto takes their length and a range of them, and the server sends them in pieces.
    """

    folder: ClassVar[Path]

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = tuple(spans)

    @classmethod
    def kept(cls, pieces: Iterable[bytes]) -> "Data":
        """Write bytes to a new file as they come."""
        file = File(cls.folder / str(uuid4()))
        with file.path.open("wb", buffering=0) as opened:
            size = sum(map(opened.write, pieces))
        return cls([Span(file, 0, size)])

    def __len__(self) -> int:
        return sum(span.size for span in self.spans)

    def __getitem__(self, wanted: slice) -> "Data":
        start, end, _ = wanted.indices(len(self))
        return Data(self._cut(start, end))

    def __iter__(self) -> Iterator[bytes]:
        for file, start, size in self.spans:
            with file.path.open("rb", buffering=0) as opened:
                opened.seek(start)
                left = size
                while left and (piece := opened.read(min(PIECE, left))):
                    left -= len(piece)
                    yield piece

    def _cut(self, start: int, end: int) -> Iterator[Span]:
        place = 0
        for file, first, size in self.spans:
            skipped, last = max(start - place, 0), min(end - place, size)
            if skipped < last:
                yield Span(file, first + skipped, last - skipped)
            place += size


def spooled_storage(folder: Path) -> ExitStack:
    """Have a server of moto's S3 keep all data in files of a folder, until closed."""
    spooled = ExitStack()
    spooled.enter_context(patch.object(Data, "folder", folder, create=True))
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
    Return whether a request's body is a part as it is: no envelope, no checksum of it.
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
