"""The upload: one attempt to bring data into an image."""

from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Final, NamedTuple


class UploadState(StrEnum):
    """
    How far an upload has come; the words are those of the API's tasks, but `open`.
    """

    OPEN = "open"
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


GLANCE_DIRECT: Final = "glance-direct"
WEB_DOWNLOAD: Final = "web-download"
DIRECT_UPLOAD: Final = "direct-upload"
"""The one way of upload that is not an import: parts that the client sends to S3."""

IMPORT_METHODS: Final = (GLANCE_DIRECT, WEB_DOWNLOAD)
PARTS_MAX: Final = 10_000
"""Maximum number of parts of an object of S3."""

UPLOAD_KEPT: Final = timedelta(hours=48)
"""How long an upload that is over can still be looked at, as the reference's tasks."""


class Progress(NamedTuple):
    """How much of an upload's data was moved and hashed, so that another run can go on.

    `parts` counts the parts that S3 has, `digests` and `etags` are saved (see
    `digests`): of all bytes so far, and of the parts' MD5s. `validator` tells whether
    the source still is the same, `whole` that all of the data is in S3.
    """

    parts: int = 0
    whole: bool = False
    digests: str | None = None
    etags: str | None = None
    validator: str | None = None


class Upload(NamedTuple):
    """One attempt to bring data into an image, by one method; and a task of the API.

    `begun_at` is when the source of an import sent its first byte.
    `size` and `part_size` are bytes, `sha512` is what the client says of the whole,
    `etag` the tag that S3 must give to what it puts together,
    `multipart_id` names the upload in S3, `tries` counts runs that got no further than
    to the byte that was `reached` before.
    """

    id: str
    image_id: str
    method: str
    state: UploadState
    project_id: str
    user_id: str
    request_id: str
    created_at: datetime
    updated_at: datetime
    begun_at: datetime | None = None
    uri: str | None = None
    size: int | None = None
    part_size: int | None = None
    sha512: str | None = None
    etag: str | None = None
    multipart_id: str | None = None
    progress: Progress = Progress()
    tries: int = 0
    reached: int = 0
    message: str = ""

    @property
    def part_count(self) -> int:
        """How many parts a direct upload has; of each the size is known beforehand."""
        return ceil((self.size or 0) / (self.part_size or 1))

    def part_bytes(self, number: int) -> int:
        """
        Return the size of one part of a direct upload: only the last may be smaller.
        """
        size, part_size = self.size or 0, self.part_size or 0
        return min(part_size, size - (number - 1) * part_size)

    @property
    def is_over(self) -> bool:
        """Whether it ended, well or not."""
        return self.state in (UploadState.SUCCESS, UploadState.FAILURE)
