"""The paths of an application credential's access rules."""

import pytest

from chalicelib.identity.access_rules import PATH_CHARACTERS_MAX, allows


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/v2/images", "/v2/images", True),
        ("/v2/images", "/v2/images/x", False),
        ("/v2/images/*", "/v2/images/x", True),
        ("/v2/images/*", "/v2/images/", False),
        ("/v2/images/*", "/v2/images/x/y", False),
        ("/v2/images/{id}/members", "/v2/images/x/members", True),
        ("/v2/images/{id}/members", "/v2/images/x/y/members", False),
        ("/v2/**/members", "/v2/images/x/members", True),
        ("/v2/**", "/v2/", True),
        ("/v2/im.ges", "/v2/images", False),
        ("/v2/(a|b)+$", "/v2/a", False),
        ("", "/v2/images", False),
        ("/v2/images/**/members", "/v2/images/members", False),
        ("abc*", "abc", False),
        ("**a" * 40, "a" * 8000 + "b", False),
        ("*a" * 60, "a" * 8000 + "b", False),
    ],
)
def test_a_path_of_a_rule(pattern: str, path: str, *, allowed: bool) -> None:
    """As keystonemiddleware reads it, but for what is a regular expression there."""
    assert allows(pattern, path) is allowed


def test_a_very_long_path_is_allowed_by_no_rule() -> None:
    """What a pattern takes to compare grows with it."""
    path = "/v2/images/"
    longest = path + "a" * (PATH_CHARACTERS_MAX - len(path))

    assert allows("/v2/images/**", longest)
    assert not allows("/v2/images/**", longest + "a")
