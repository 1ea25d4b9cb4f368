"""Identification for development: the token itself names the caller."""

from urllib.parse import unquote

from chalicelib.domain.caller import Caller
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import Unauthorized
from chalicelib.identity.credentials import Incoming, highest_role, unauthorized

_PARTS = 3
_CHALLENGE = 'Development realm="cloud-images"'


def identify_in_development(incoming: Incoming) -> Caller:
    """Return the caller of a token of the form `user:project:role,role`.

    The id of a user has the limits of a project's: both are stored. The token may be
    percent-encoded, as python-glanceclient sends it.

    Raises:
        Unauthorized: The token is missing or has another form.
    """
    token = unquote(incoming.headers.get("x-auth-token", ""))
    if not token:
        raise unauthorized(_CHALLENGE)
    parts = token.split(":")
    if len(parts) != _PARTS or not all(map(is_project_id, parts[:2])) or not parts[2]:
        raise Unauthorized(
            "A development token has the form user:project:role,role, such as"
            " alice:demo:member.",
            {"WWW-Authenticate": _CHALLENGE},
        )
    user_id, project_id, roles = parts
    role = highest_role(roles.split(","))
    return Caller(project_id, user_id, role, incoming.request_id)
