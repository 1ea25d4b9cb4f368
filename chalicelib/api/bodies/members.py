"""The bodies of the calls on members."""

from chalicelib.api.bodies.json_body import parse_body
from chalicelib.api.schemas import PROJECT_ID
from chalicelib.domain.members import MemberStatus
from chalicelib.domain.projects import is_project_id
from chalicelib.errors import BadRequest


def parse_new_member(raw: bytes) -> str:
    """Parse the body of an add-member call: the project to share with.

    Unknown keys are ignored, as clients send some.

    Raises:
        BadRequest: There is no `member`, or it cannot be a project's id.
    """
    member_id: str = parse_body("new-member", raw)["member"]
    if not is_project_id(member_id):  # No schema counts bytes.
        raise BadRequest(f"member must be {PROJECT_ID}.")
    return member_id


def parse_member_status(raw: bytes) -> MemberStatus:
    """Parse the body of an update-member call: the consumer's answer.

    Raises:
        BadRequest: There is no `status`, or it is not one of the three.
    """
    return MemberStatus(parse_body("member-update", raw)["status"])
