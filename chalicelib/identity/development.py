"""Identity on a laptop: a token that is believed as it reads."""

from urllib.parse import unquote

from chalicelib.domain.caller import Caller
from chalicelib.domain.projects import is_project_id
from chalicelib.identity.credentials import Incoming, highest_role, unauthorized

_PARTS = 3


def identify_in_development(incoming: Incoming) -> Caller:
    """Believe a token that reads `user:project:role,role`, three parts, none empty.

    A user's id is bound as a project's is: both are stored. The token may come
    percent-encoded, as python-glanceclient sends it.

    Raises:
        Unauthorized: The token is missing or does not read so.
    """
    parts = unquote(incoming.headers.get("x-auth-token", "")).split(":")
    if len(parts) != _PARTS or not all(map(is_project_id, parts[:2])) or not parts[2]:
        raise unauthorized('Development realm="cloud-images"')
    user_id, project_id, roles = parts
    role = highest_role(roles.split(","))
    return Caller(project_id, user_id, role, incoming.request_id)
