"""An identity, asked whose a token is."""

import pytest

from chalicelib.domain.caller import Caller
from chalicelib.errors import ApiError, Unauthorized
from chalicelib.identity.credentials import Incoming
from chalicelib.identity.methods import Identify


def ask(identify: Identify, token: str) -> Caller:
    """Ask whose a token is."""
    return identify(Incoming("GET", "/v2/images", {"x-auth-token": token}, "req-1"))


def refusal(identify: Identify, token: str) -> ApiError:
    """Ask whose a token is where that gets no response."""
    with pytest.raises(ApiError) as refused:
        ask(identify, token)
    return refused.value


def refused(identify: Identify, token: str) -> bool:
    """Return whether a token is nobody's."""
    return isinstance(refusal(identify, token), Unauthorized)
