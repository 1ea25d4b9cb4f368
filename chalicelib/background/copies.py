"""What memberships copy from their image, so that lists need not read the image."""

from chalicelib.store import members, queue


def update_copies(image_id: str, after: str) -> None:
    """Update the copies in an image's next memberships; enqueue the others.

    A message may arrive twice, or late: each row takes only a newer version.
    """
    last = members.update_copies(image_id, after)
    if last is not None:
        queue.send_copies(image_id, last)
