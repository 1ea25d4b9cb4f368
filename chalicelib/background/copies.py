"""What memberships copy from their image, so that lists need not read the image."""

from chalicelib.store import members, queue


def update_copies(image_id: str, after: str) -> None:
    """Update the copies in the next memberships of an image; a job does the others.

    A job may run twice, or late: each row takes the newest version of the image alone.
    """
    last = members.update_copies(image_id, after)
    if last is not None:
        queue.send_copy_job(image_id, last)
