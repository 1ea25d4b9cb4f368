"""What the calls of the sharing extension share: parameters, pages and documents."""

import base64
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from chalice.app import Blueprint, Response

from chalicelib import settings
from chalicelib.api.bodies.sharing import SHOWN_MAX
from chalicelib.api.requests import ANY_TYPE, caller_of, query_params
from chalicelib.api.responses import json_response, present_time
from chalicelib.api.schemas import Json
from chalicelib.api.sharing_schemas import ANSWERS_MAX, IMAGES_MAX, PAIRS_MAX
from chalicelib.domain import policy
from chalicelib.domain.caller import Caller
from chalicelib.domain.images import Image, is_image_id, with_lower_case_ids
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.offer_rules import RULES_MAX
from chalicelib.domain.profiles import DISPLAY_NAME_MAX, Profile
from chalicelib.domain.projects import is_project_id
from chalicelib.domain.sharing import NOTE_MAX, Outcome, Sharing
from chalicelib.errors import BadRequest, NotFound

LIMIT_MAX: Final = 100
"""Maximum number of entries of a page."""

LIMIT_DEFAULT: Final = 25
"""Number of entries of a page where none is asked for."""

BULK_SECONDS: Final = 20.0
"""How long a call of many writes goes on, in seconds; Lambda's answer ends at 29."""

TRIES: Final = 5
"""How often one of many writes is tried, while others change what it needs."""

EXTENSION: Final = "/ext/v1"

extension = Blueprint(__name__)


@extension.route(EXTENSION, methods=["GET"], content_types=ANY_TYPE)
def show_limits() -> Response:
    """Show the caller's project, and what a call of the extension takes at most."""
    return json_response(
        {
            "project_id": caller_of(extension).project_id,
            "limits": {
                "page": LIMIT_MAX,
                "pairs": PAIRS_MAX,
                "images": IMAGES_MAX,
                "answers": ANSWERS_MAX,
                "note_characters": NOTE_MAX,
                "display_name_characters": DISPLAY_NAME_MAX,
                "rules": RULES_MAX,
            },
        }
    )


def is_off(path: str) -> bool:
    """Return whether a path is one of the extension's, and that is switched off.

    Direct uploads are none of its.
    """
    if settings.current.extension == "on" or path.startswith(f"{EXTENSION}/images/"):
        return False
    return path == EXTENSION or path.startswith(f"{EXTENSION}/")


def check_project_id(project_id: str) -> str:
    """Return the project's id of a path.

    Raises:
        NotFound: It cannot be one.
    """
    if not is_project_id(project_id):
        raise NotFound(f"No project can have the id {project_id[:SHOWN_MAX]}.")
    return project_id


def check_image_id(image_id: str) -> str:
    """Return an image's id as the table has it.

    Raises:
        NotFound: It cannot be one.
    """
    if not is_image_id(image_id):
        raise NotFound(f"No image found with ID {image_id[:SHOWN_MAX]}")
    return with_lower_case_ids(image_id)


def parse_query(blueprint: Blueprint, *allowed: str) -> dict[str, str]:
    """Parse the query string of the current request: each parameter once.

    Raises:
        BadRequest: One is not a parameter of the call, or stands twice.
    """
    found: dict[str, str] = {}
    for name, value in query_params(blueprint):
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise BadRequest(
                f"{name[:SHOWN_MAX]} is not a parameter of this call; its parameters:"
                f" {known}."
            )
        if name in found:
            raise BadRequest(f"The parameter {name} is repeated.")
        found[name] = value
    return found


def parse_limit(query: Mapping[str, str]) -> int:
    """Parse how many entries a page has at most.

    Raises:
        BadRequest: It is not a number that it may be.
    """
    text = query.get("limit", str(LIMIT_DEFAULT))
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX))
    if not (digits and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f"limit must be a number, 1 to {LIMIT_MAX}.")
    return int(text)


def parse_status(query: Mapping[str, str], default: str) -> MemberStatus | None:
    """Parse the status of a list's entries; None is all.

    Raises:
        BadRequest: It is none.
    """
    text = query.get("status", default)
    if text == "all":
        return None
    if text not in list(MemberStatus):
        raise BadRequest("status must be pending, accepted, rejected or all.")
    return MemberStatus(text)


def parse_flag(query: Mapping[str, str], name: str) -> bool:
    """Parse a parameter that is true or false, and false if it is not there.

    Raises:
        BadRequest: It is neither.
    """
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false.")
    return text == "true"


def parse_project(query: Mapping[str, str], name: str) -> str | None:
    """Parse a parameter that is a project's id.

    Raises:
        BadRequest: It cannot be one.
    """
    text = query.get(name)
    if text is not None and not is_project_id(text):
        raise BadRequest(f"{name} must be a project's id.")
    return text


def acting(
    blueprint: Blueprint, action: str, query: Mapping[str, str] | None = None
) -> Caller:
    """Return who acts: a project; of a read, that of the query if it names one.

    Raises:
        BadRequest: The query's `project_id` cannot be one.
        Forbidden: The role is not enough, or the project is another's.
    """
    project_id = parse_project(query or {}, "project_id")
    return policy.act_on_side(action, caller_of(blueprint), project_id)


def encode_marker(*parts: str | int) -> str:
    """Encode a place in a list as an opaque marker."""
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def next_page(
    path: str, query: Mapping[str, str], place: Iterable[str | int] | None
) -> str | None:
    """Return the path of the next page of a list, if there is one."""
    if place is None:
        return None
    return f"{path}?{urlencode({**query, 'marker': encode_marker(*place)})}"


def decode_marker(query: Mapping[str, str], *kinds: type) -> list[Any] | None:
    """Decode the marker of a page, if there is one.

    Raises:
        BadRequest: It is none that a list of this kind gave.
    """
    text = query.get("marker")
    if text is None:
        return None
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_"))
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise BadRequest("marker must be the marker of an earlier page's next.")
    return parts


def bulk_deadline() -> float:
    """Return when a call of many writes must stop, by the monotonic clock."""
    return time.monotonic() + BULK_SECONDS


def present_outcome(outcome: Outcome) -> Json:
    """Return the result of one of many."""
    document: Json = {"result": outcome.result}
    if outcome.reason is not None:
        document["reason"] = outcome.reason
    return document


def present_membership(sharing: Sharing) -> Json:
    """Return what both sides read of a membership."""
    membership = sharing.membership
    return {
        "image_id": membership.image_id,
        "status": membership.status,
        "offered_at": present_time(membership.created_at),
        "updated_at": present_time(membership.updated_at),
        "usable": sharing.usable,
    }


def present_image_summary(image: Image) -> Json:
    """Return what a list of memberships says about their image."""
    return {
        "name": image.name,
        "size": image.size,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "disk_format": image.disk_format,
        "status": image.status,
    }


def present_profile(profile: Profile) -> Json:
    """Return what others read of a published profile."""
    return {
        "display_name": profile.display_name,
        "contact": profile.contact,
        "verified": profile.verified,
    }
