"""The caller: the project, user and role behind a request."""

from enum import IntEnum
from typing import NamedTuple


class Role(IntEnum):
    """Keystone's roles; each includes those below it."""

    NONE = 0
    READER = 1
    MEMBER = 2
    ADMIN = 3


class Caller(NamedTuple):
    """The caller of a request, as a validated token names it.

    The project is empty where the token is for none; the role is then `NONE`.
    """

    project_id: str
    user_id: str
    role: Role
    request_id: str

    @property
    def is_admin(self) -> bool:
        """Whether the caller may see and change every project's images."""
        return self.role is Role.ADMIN
