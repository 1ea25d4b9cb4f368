"""The claims of a project: how many of its uploads run at once, whatever happens."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from pynamodb.exceptions import UpdateError

from chalicelib import clock
from chalicelib.domain.uploads import DIRECT_UPLOAD, WEB_DOWNLOAD, Upload, UploadState
from chalicelib.store import claims
from chalicelib.store.dynamodb import get_item
from chalicelib.store.keys import claims_key
from tests.configuring import configure
from tests.interleaving import act_before

START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, project_imports_max=1)
    set_time(monkeypatch, 0)


def set_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the service's clock to so long after the start."""
    now = START + timedelta(seconds=seconds)
    monkeypatch.setattr(clock, "now", lambda: now)


def upload(name: str, method: str = WEB_DOWNLOAD, project: str = "consumer") -> Upload:
    """Return an upload of a project."""
    state = UploadState.PENDING
    return Upload(name, "image", method, state, project, "user", "req-1", START, START)


def item_ends() -> float:
    """Return when DynamoDB may delete the claims of the project's imports."""
    raw = get_item(claims_key("consumer", imports=True))
    assert raw is not None
    return int(raw["expires_at"]["N"]) - START.timestamp()


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_claims_at_once_one_has_the_last_slot(
    monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    """Whether the project had an item of claims before or not."""
    if not is_first:
        assert claims.claim_slot(upload("old"))
        claims.release_slot(upload("old"))
    meanwhile: list[bool] = []

    def claim_other() -> None:
        meanwhile.append(claims.claim_slot(upload("other")))

    act_before(monkeypatch, claims, "_save", claim_other)

    assert not claims.claim_slot(upload("mine"))
    assert meanwhile == [True]
    assert not claims.claim_slot(upload("mine"))
    assert claims.claim_slot(upload("other"))


def test_a_release_loses_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was made at the same time stays, and the released one is gone."""
    configure(monkeypatch, project_imports_max=2)
    assert claims.claim_slot(upload("mine"))
    act_before(monkeypatch, claims, "_save", lambda: claims.claim_slot(upload("other")))

    claims.release_slot(upload("mine"))

    configure(monkeypatch, project_imports_max=1)
    assert not claims.claim_slot(upload("mine"))
    assert claims.claim_slot(upload("other"))


def test_a_claim_that_is_never_saved_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others write each time, the upload waits for another run."""
    monkeypatch.setattr(claims, "_save", lambda *_: False)

    assert not claims.claim_slot(upload("mine"))


def test_a_claim_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 16 minutes, unless its upload claims again; so the item can be deleted."""
    assert claims.claim_slot(upload("mine"))
    assert item_ends() == 960
    set_time(monkeypatch, 100)
    assert claims.claim_slot(upload("mine"))
    assert item_ends() == 1060

    set_time(monkeypatch, 1059)
    assert not claims.claim_slot(upload("other"))
    set_time(monkeypatch, 1060)
    assert claims.claim_slot(upload("other"))


def test_the_item_lasts_as_long_as_its_last_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A release leaves those of other uploads; after the last one nothing is kept."""
    configure(monkeypatch, project_imports_max=2)
    assert claims.claim_slot(upload("mine"))
    set_time(monkeypatch, 50)
    assert claims.claim_slot(upload("other"))

    claims.release_slot(upload("mine"))
    assert item_ends() == 1010
    claims.release_slot(upload("other"))
    assert item_ends() == 50


def test_imports_and_direct_uploads_are_claimed_apart() -> None:
    """Each project has slots of its own, too."""
    assert claims.claim_slot(upload("a"))
    assert claims.claim_slot(upload("b", DIRECT_UPLOAD))
    assert claims.claim_slot(upload("c", project="producer"))

    assert not claims.claim_slot(upload("d"))
    assert not claims.claim_slot(upload("d", DIRECT_UPLOAD))
    assert not claims.claim_slot(upload("d", project="producer"))


def test_a_release_without_a_claim_writes_nothing() -> None:
    """No item appears for a project that has none."""
    claims.release_slot(upload("mine"))

    assert get_item(claims_key("consumer", imports=True)) is None


def test_an_error_of_dynamodb_is_no_lost_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the run, whose message comes again."""

    def fail(_: object) -> NoReturn:
        raise UpdateError("down")

    monkeypatch.setattr(claims, "with_retries", fail)

    with pytest.raises(UpdateError, match="down"):
        claims.claim_slot(upload("mine"))
