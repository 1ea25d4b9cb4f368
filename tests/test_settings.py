"""Settings, read from the environment: a wrong one is an error, none is guessed."""

import uuid

import pytest

from chalicelib import ids
from chalicelib.identity.development import identify_in_development
from chalicelib.identity.methods import choose_identity
from chalicelib.settings import SettingError, read_settings
from tests.scene import at

NEEDED = {
    "TABLE_NAME": "images",
    "BUCKET_NAME": "data",
    "QUEUE_URL": "https://queue.example/uploads",
    "AUTH": "development",
}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AUTH": "development"}, "The setting TABLE_NAME is missing."),
        ({"TABLE_NAME": "images"}, "The setting BUCKET_NAME is missing."),
        (NEEDED | {"AUTH": ""}, "The setting AUTH is missing."),
        (
            NEEDED | {"PAGE_SIZE": "0"},
            (
                "The setting PAGE_SIZE must be a whole number, 1 or more, of 9 digits"
                " at most, not '0'."
            ),
        ),
        (
            NEEDED | {"TAG_QUOTA": "-1"},
            (
                "The setting TAG_QUOTA must be a whole number, 0 or more, of 9 digits"
                " at most, not '-1'."
            ),
        ),
        (
            NEEDED | {"PAGE_SIZE": "1234567890"},
            (
                "The setting PAGE_SIZE must be a whole number, 1 or more, of 9 digits"
                " at most, not '1234567890'."
            ),
        ),
        (
            NEEDED | {"RECENT_CHANGES_MAX": "\N{SUPERSCRIPT TWO}"},
            (
                "The setting RECENT_CHANGES_MAX must be a whole number, 1 or more, of"
                " 9 digits at most, not '\xb2'."
            ),
        ),
        (
            NEEDED | {"PROPERTY_BYTES_MAX": "393217"},
            "The setting PROPERTY_BYTES_MAX must be 393216 at most, not 393217.",
        ),
        (
            NEEDED | {"LOG_PROJECTS": "none"},
            "The setting LOG_PROJECTS must be hashed or plain, not 'none'.",
        ),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], words: str) -> None:
    """With what it may be."""
    with pytest.raises(SettingError) as wrong:
        read_settings(environ)

    assert str(wrong.value) == words


def test_a_setting_is_taken_or_has_its_default() -> None:
    """0 may be a quota."""
    given = {"MEMBER_QUOTA": "0", "PAGE_SIZE": "7", "IMPORT_ALLOW": "mirror:8080"}
    settings = read_settings(NEEDED | given)

    assert (settings.member_quota, settings.page_size) == (0, 7)
    assert settings.import_allow == "mirror:8080"
    assert read_settings(NEEDED).import_allow == ""
    assert (settings.table_name, settings.tag_quota) == ("images", 128)


def test_a_quota_of_projects_may_be_off() -> None:
    """By -1, as in Keystone; 0 is a quota."""
    given = {"IMAGE_COUNT_TOTAL": "-1", "IMAGE_SIZE_TOTAL": "0"}
    settings = read_settings(NEEDED | given)

    assert (settings.image_count_total, settings.image_size_total) == (-1, 0)
    with pytest.raises(SettingError):
        read_settings(NEEDED | {"IMAGE_COUNT_TOTAL": "-2"})


def test_the_development_identity_never_starts_inside_lambda() -> None:
    """It believes whatever a token says."""
    assert choose_identity("development", {}) is identify_in_development
    with pytest.raises(SettingError, match="refused in Lambda"):
        choose_identity("development", {"AWS_LAMBDA_FUNCTION_NAME": "api"})


def test_an_unknown_way_of_identification_is_refused() -> None:
    """No way is taken in its place."""
    with pytest.raises(SettingError) as wrong:
        choose_identity("none", {})

    message = "The setting AUTH must be keystone, oidc or development, not 'none'."
    assert str(wrong.value) == message


def test_ordered_ids_sort_by_time_and_are_uuids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of version 7, as RFC 9562 has it."""
    made = []
    for second in range(3):
        at(monkeypatch, f"2026-11-24T08:00:0{second}Z")
        made += [ids.new_ordered_id() for _ in range(50)]

    firsts = [one[:13] for one in made]
    assert firsts == sorted(firsts)
    assert len(set(made)) == 150
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {
        (7, uuid.RFC_4122)
    }
