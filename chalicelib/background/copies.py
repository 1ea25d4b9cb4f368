"""What memberships copy from their image, so that lists need not read the image."""

from chalicelib.store import copies, queue
from chalicelib.store.queue import CopyMessage


def update_copies(job: CopyMessage) -> None:
    """Update the copies in an image's next memberships; enqueue the others.

    A message may arrive twice, or late: each row takes only a newer version.
    """
    last = copies.update_copies(job.image_id, job.after)
    if last is not None:
        queue.send_copies(job._replace(after=last))
