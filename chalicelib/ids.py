"""New ids of images, uploads and requests."""

import secrets
import uuid

from chalicelib import clock


def new_id() -> str:
    """Make an id that was never used."""
    return str(uuid.uuid4())


def new_ordered_id() -> str:
    """
    Make an id that was never used, and sorts after those made before (RFC 9562, 5.7).
    """
    milliseconds = int(clock.now().timestamp() * 1000)
    random = secrets.randbits(80) & ~(0xF << 76) & ~(0b11 << 62)
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | random))
