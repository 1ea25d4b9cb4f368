"""The settings of the service, read once from environment variables."""

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class SettingError(ValueError):
    """A setting is missing or wrong; the message names it and what is allowed."""


class Settings(NamedTuple):
    """The service's settings, one environment variable each, in capitals.

    `docs/settings.md` tells what each is for.
    """

    table_name: str
    bucket_name: str
    queue_url: str
    auth: str
    member_quota: int = 128
    tag_quota: int = 128
    property_quota: int = 128
    property_bytes_max: int = 32 * 1024
    image_count_total: int = -1
    image_size_total: int = -1
    image_stage_total: int = -1
    image_count_uploading: int = -1
    offer_count_total: int = -1
    offer_count_per_consumer: int = -1
    page_size: int = 25
    page_size_max: int = 1000
    index_lag_seconds: int = 60
    recent_changes_max: int = 5_000
    page_rows_max: int = 50_000
    page_reads_max: int = 5_000
    sort_images_max: int = 25_000
    upload_bytes_max: int = 4_500_000
    import_allow: str = ""
    import_rate_min: int = 81_920
    project_imports_max: int = 4
    image_formats: str = "inspect"
    extension: str = "on"
    cors_origins: str = ""
    public_endpoint: str = ""
    event_bus: str = ""
    import_queue_url: str = ""
    log_projects: str = "hashed"
    log_key: str = ""
    token_cache_seconds: int = 60
    oidc_refetch_seconds: int = 60


_CHOICES: Final = {
    "image_formats": ("inspect", "off"),
    "extension": ("on", "off"),
    "log_projects": ("hashed", "plain"),
}
_MOST: Final = {"property_bytes_max": 384 * 1024}
"""The largest value of a setting; an item of DynamoDB has at most 400 KB."""

_DIGITS_MAX = 9
_SHOWN = 40
_MAY_BE_ZERO: Final = frozenset(
    {
        *("member_quota", "tag_quota", "property_quota", "index_lag_seconds"),
        *("token_cache_seconds", "import_rate_min"),
    }
)

_MAY_BE_UNLIMITED: Final = frozenset(
    {
        *("image_count_total", "image_size_total", "image_stage_total"),
        *("image_count_uploading", "offer_count_total", "offer_count_per_consumer"),
    }
)
"""The quotas that are off where they are -1, as in Keystone's unified limits."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        SettingError: One is missing, or is not what it may be.
    """
    for name in ("TABLE_NAME", "BUCKET_NAME", "QUEUE_URL", "AUTH"):
        if not environ.get(name):
            raise SettingError(f"The setting {name} is missing.")
    values: dict[str, Any] = {}
    for field, kind in Settings.__annotations__.items():
        text = environ.get(field.upper())
        if text is None:
            continue
        if kind is str:
            allowed = _CHOICES.get(field, (text,))
            if text not in allowed:
                raise SettingError(
                    f"The setting {field.upper()} must be {' or '.join(allowed)},"
                    f" not {text!r}."
                )
            values[field] = text
            continue
        if text == "-1" and field in _MAY_BE_UNLIMITED:
            continue
        least = 0 if field in _MAY_BE_ZERO | _MAY_BE_UNLIMITED else 1
        digits = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
        if not (digits and int(text) >= least):
            raise SettingError(
                f"The setting {field.upper()} must be a whole number, {least} or more,"
                f" of {_DIGITS_MAX} digits at most, not {text[:_SHOWN]!r}."
            )
        values[field] = int(text)
        if field in _MOST and values[field] > _MOST[field]:
            raise SettingError(
                f"The setting {field.upper()} must be {_MOST[field]} at most, not"
                f" {text}."
            )
    return Settings(**values)


current = read_settings(os.environ)
