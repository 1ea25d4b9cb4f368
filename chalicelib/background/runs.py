"""A run of the worker on an upload: its state, and when it has to end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from chalicelib import clock
from chalicelib.background.digests import Digests
from chalicelib.domain.uploads import Progress, Upload, UploadState
from chalicelib.errors import Unavailable
from chalicelib.store import objects
from chalicelib.store import uploads as upload_store

IsOutOfTime = Callable[[], bool]
"""Returns whether a run must end for another to continue."""


TRIES_MAX: Final = 5
"""Maximum number of consecutive runs that fail without progress."""


TIME_MAX: Final = timedelta(hours=24)
"""Time limit of an import, over all its runs, from the first byte on."""


SLICE_SECONDS: Final = 60
"""Time after which a run ends for others to have their turn, in seconds."""


PIECE_BYTES: Final = 1024**2
"""Size of what is read at a time, in bytes."""


class OutOfTimeError(Exception):
    """The run must end; its progress is saved."""


class FailedError(Exception):
    """The upload cannot succeed; the message is for the image's owner."""


class Run:
    """A run of the worker on an upload, with the upload's last saved state."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    def begin(self) -> None:
        """Count the run, and check that it may be made.

        Raises:
            FailedError: There were too many without progress, or for too long.
        """
        last = self.upload
        if last.tries >= TRIES_MAX:
            reason = last.message or "The worker crashed."
            raise FailedError(f"Failed {last.tries} times: {reason}")
        if last.begun_at and clock.now() - last.begun_at > TIME_MAX:
            raise FailedError("The import took longer than 24 hours.")
        self.save(state=UploadState.PROCESSING, tries=last.tries + 1)

    def save(self, **changes: Any) -> None:  # noqa: ANN401 - fields of an upload
        """Save changes of the upload, if no other run has touched it."""
        self.upload = upload_store.save_upload(
            self.upload, self.upload._replace(**changes)
        )

    def save_progress(self, digests: Digests, **changes: Any) -> None:  # noqa: ANN401 - fields of progress
        """Save how far the run has come; progress resets the count of tries."""
        last = self.upload
        progress = last.progress._replace(digests=digests.save(), **changes)
        has_progressed = digests.size > last.reached
        self.save(
            progress=progress,
            tries=0 if has_progressed else last.tries,
            reached=max(digests.size, last.reached),
            message="" if has_progressed else last.message,
        )

    def reset(self, reason: str) -> Unavailable:
        """Discard all progress; the next run starts with a new multipart upload."""
        last = self.upload
        self.save(progress=Progress(), multipart_id=None)
        if last.multipart_id:
            objects.abort_multipart(last.image_id, last.id, last.multipart_id)
        return Unavailable(reason)


def restore(text: str | None) -> Digests:
    """Return the digests that were saved, or new ones."""
    return Digests.restore(text) if text else Digests()
