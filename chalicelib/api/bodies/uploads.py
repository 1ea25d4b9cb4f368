"""The bodies of the calls on direct uploads."""

from chalicelib.api.bodies.json_body import parse_body
from chalicelib.errors import BadRequest


def parse_new_upload(raw: bytes) -> tuple[int, str | None]:
    """
    Parse the body of a call that begins a direct upload: the size, and perhaps SHA-512.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    document = parse_body("new-upload", raw)
    return int(document["size"]), document.get("sha512")


def parse_part_numbers(raw: bytes, count: int) -> list[int]:
    """Parse the body of a call that asks for parts' URLs: their numbers, from 1 on.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    numbers = [
        int(number) for number in parse_body("part-numbers", raw)["part_numbers"]
    ]
    if max(numbers) > count:
        raise BadRequest(f"part_numbers must be from 1 to {count}.")
    return numbers


def parse_completion(raw: bytes) -> tuple[list[str] | None, str | None]:
    """Parse the body of a call to complete a direct upload: the parts' ETags, SHA-512.

    Raises:
        BadRequest: It is not so; the message says what is allowed.
    """
    document = parse_body("completion", raw) if raw.strip() else {}
    etags = document.get("etags")
    tags = None if etags is None else [etag.strip('"') for etag in etags]
    return tags, document.get("sha512")
