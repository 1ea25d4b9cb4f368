"""The bodies and headers of the calls on data."""

import re
from collections.abc import Mapping
from typing import Final

from chalicelib import settings
from chalicelib.api.bodies.json_body import QUOTED_MAX, parse_body
from chalicelib.domain.images import DATA_TYPE, STORE
from chalicelib.errors import (
    BadRequest,
    LimitExceeded,
    RangeNotSatisfiable,
    UnsupportedMediaType,
)

_RANGE: Final = r"(?i:bytes)=([0-9]*)-([0-9]*)"

_POSITION_DIGITS: Final = 20
"""Digits of a number that is beyond the end of any data."""


def parse_import(raw: bytes) -> tuple[str, str | None]:
    """Parse the body of an import call: the method, and the URL where it needs one.

    Raises:
        BadRequest: There is no method that is known, or a store that is not there.
    """
    method = parse_body("import", raw)["method"]
    uri = method.get("uri")
    return method["name"], uri if isinstance(uri, str) else None


def check_content(media_type: str, headers: Mapping[str, str], content: bytes) -> None:
    """Check that a body is the whole of an image's data, and small enough.

    `X-OpenStack-Image-Size` is a client's word for its size; a body arrives complete
    from API Gateway, whose own limit is 10 MB, and Lambda's is 6 MB of base64.

    Raises:
        UnsupportedMediaType: It is not said to be plain bytes.
        LimitExceeded: It is too large; the message names the ways for larger data.
        BadRequest: It has not the size that it is said to have.
    """
    if media_type != DATA_TYPE:
        raise UnsupportedMediaType(f"Content-Type must be {DATA_TYPE}.")
    most = settings.current.upload_bytes_max
    if len(content) > most:
        raise LimitExceeded(
            f"The data has more than the {most} bytes that one request may have. Import"
            " it from a URL (POST /v2/images/{image_id}/import, method web-download),"
            " or upload it in parts (tools/upload; POST"
            " /ext/v1/images/{image_id}/uploads)."
        )
    for name in ("content-length", "x-openstack-image-size"):
        announced = headers.get(name)
        if announced is not None and announced.strip() != str(len(content)):
            raise BadRequest(
                f"{name} is {announced[:QUOTED_MAX]}, but the body has"
                f" {len(content)} bytes."
            )


def check_store(headers: Mapping[str, str]) -> None:
    """Check that a request's data goes to the store that is there.

    Raises:
        BadRequest: `X-Image-Meta-Store` names another one.
    """
    if headers.get("x-image-meta-store", STORE) != STORE:
        raise BadRequest(f'X-Image-Meta-Store, if given, must be "{STORE}".')


def check_range(headers: Mapping[str, str], size: int) -> None:
    """Check that a `Range` asks for one range that lies, in part at least, in the data.

    S3 cuts it out, but answers in a form of its own where it cannot. `Content-Range`,
    which the reference takes for a `Range`, it would ignore.

    Raises:
        RangeNotSatisfiable: It does not, or the range is in `Content-Range`.
    """
    header = headers.get("range")
    if header is None:
        if "content-range" in headers:
            raise RangeNotSatisfiable("Use Range instead of Content-Range.")
        return
    match = re.fullmatch(_RANGE, header.strip())
    if match is None:
        raise RangeNotSatisfiable(
            "Range must be one range of bytes, such as bytes=0-1023."
        )
    first, last = map(_position, match.groups())
    if first is None:
        fits = bool(last) and size > 0
    else:
        fits = first < size and (last is None or first <= last)
    if not fits:
        raise RangeNotSatisfiable(
            f"The range is outside the data, which has {size} bytes."
        )


def _position(digits: str) -> int | None:
    """Return a position in a range, cut where it is beyond the end of any data."""
    return int(digits.lstrip("0")[:_POSITION_DIGITS] or "0") if digits else None
