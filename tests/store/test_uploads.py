"""What the writes of uploads hold to: each is done whole, once, or not at all."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest

from chalicelib import clock
from chalicelib.domain.caller import Caller, Role
from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.uploads import GLANCE_DIRECT, Upload, UploadState
from chalicelib.errors import Conflict, StaleError
from chalicelib.store import dynamodb
from chalicelib.store import images as image_store
from chalicelib.store import uploads as upload_store
from chalicelib.store.keys import image_key, touched_sort
from tests.actors import Actor
from tests.aws_faults import losing_responses, on, recording, second_writer, stored
from tests.configuring import configure

CALLER = Caller("producer", "someone", Role.MEMBER, "req-1")
IMPORTING = ImageStatus.IMPORTING
NO_ID = "00000000-0000-4000-8000-000000000000"


def load(image_id: str) -> Image:
    """Return an image as it is."""
    image = image_store.load_image(image_id, "").image
    assert image
    return image


def changed_by(image_id: str) -> Caller:
    """Return who changed an image last; no role is kept."""
    raw = dynamodb.get_item(image_key(image_id))
    assert raw
    by = json.loads(raw["changed"]["S"])
    return Caller(by["project_id"], by["user_id"], Role.NONE, by["request_id"])


def waiting_for(upload: Upload, image: Image) -> Image:
    """Return an image that waits for an upload."""
    return image._replace(status=IMPORTING, upload_id=upload.id)


def failed(image: Image) -> Image:
    """Return an image as a failed upload leaves it."""
    return image._replace(
        status=ImageStatus.QUEUED, upload_id=None, failed_import="no data"
    )


def begin(image_id: str) -> Upload:
    """Begin an upload into an image, and return it."""
    image = load(image_id)
    state = UploadState.PENDING
    upload = upload_store.new_upload(image, GLANCE_DIRECT, state, CALLER)
    upload_store.begin_upload(image, waiting_for(upload, image), upload, CALLER)
    return upload


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the clock be a millisecond later."""
    ticks = count()
    start = datetime(2026, 11, 28, 10, tzinfo=UTC)
    monkeypatch.setattr(
        clock, "now", lambda: start + timedelta(milliseconds=next(ticks))
    )


@pytest.fixture(params=[-1, 10], ids=["no quota", "a quota"])
def limited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a quota of uploads at once, or none: they are then counted, or not."""
    configure(monkeypatch, image_count_uploading=request.param)


@pytest.fixture
def upload(image_id: str) -> Upload:
    """An upload that an image waits for."""
    return begin(image_id)


def rename(producer: Actor, image_id: str, name: str = "renamed") -> None:
    """Change an image beside its upload."""
    operation = {"op": "replace", "path": "/name", "value": name}
    assert producer.patch(f"/v2/images/{image_id}", [operation]).status == 200


def test_an_upload_begins_with_its_image(image_id: str) -> None:
    """Both are stored, by who began it; the image is newer by one version."""
    before = load(image_id)

    with losing_responses("TransactWriteItems"):
        upload = begin(image_id)

    expected = waiting_for(upload, before)._replace(version=before.version + 1)
    after = load(image_id)
    assert after == expected._replace(updated_at=after.updated_at)
    assert after.updated_at > before.updated_at
    assert upload_store.load_upload(image_id, upload.id) == upload
    assert upload_store.list_uploads(image_id) == [upload]
    named = (upload.image_id, upload.method, *upload[4:7])
    assert named == (image_id, GLANCE_DIRECT, "producer", "someone", "req-1")
    assert upload.created_at == upload.updated_at
    assert changed_by(image_id) == CALLER._replace(role=Role.NONE)


@pytest.mark.usefixtures("limited")
def test_no_upload_begins_into_an_image_that_was_changed(
    image_id: str, producer: Actor
) -> None:
    """Nor under an id that another has: nothing is written."""
    image = load(image_id)
    upload = upload_store.new_upload(image, GLANCE_DIRECT, UploadState.PENDING, CALLER)
    after = waiting_for(upload, image)
    rename(producer, image_id)
    before = stored()
    with pytest.raises(StaleError):
        upload_store.begin_upload(image, after, upload, CALLER)
    assert stored() == before

    first = begin(image_id)
    before = stored()
    taken = first._replace(message="another")
    with pytest.raises(StaleError):
        upload_store.begin_upload(load(image_id), load(image_id), taken, CALLER)
    assert stored() == before


@pytest.mark.parametrize(
    "wrong", ["", "x" * 3_000, NO_ID], ids=["empty", "too long", "absent"]
)
def test_what_is_no_upload_is_not_found(wrong: str, upload: Upload) -> None:
    """What is no id is not even looked for: DynamoDB refuses a key that is long."""
    with recording() as calls:
        found = [
            upload_store.load_upload(wrong, upload.id),
            upload_store.load_upload(upload.image_id, wrong),
        ]

    assert found == [None, None]
    assert len(calls) == (2 if wrong == NO_ID else 0)


def test_an_upload_is_saved_by_the_run_that_touched_it_last(upload: Upload) -> None:
    """What it has no more is removed; another run changes nothing."""
    first = upload._replace(uri="https://example.org/", message="on the way")
    with losing_responses("UpdateItem"):
        saved = upload_store.save_upload(upload, first)
    cleared = upload_store.save_upload(saved, saved._replace(uri=None, tries=2))
    before = stored()

    with pytest.raises(StaleError):
        upload_store.save_upload(saved, saved._replace(message="late"))

    assert saved == first._replace(updated_at=saved.updated_at)
    assert first.updated_at < saved.updated_at < cleared.updated_at
    assert (cleared.uri, cleared.tries, cleared.message) == (None, 2, "on the way")
    assert upload_store.load_upload(upload.image_id, upload.id) == cleared
    assert stored() == before
    gone = upload._replace(id=NO_ID)
    with pytest.raises(StaleError):
        upload_store.save_upload(gone, gone)
    assert stored() == before


@pytest.mark.usefixtures("limited")
def test_an_upload_ends_with_its_image(upload: Upload, producer: Actor) -> None:
    """The image is taken as it is now; what changed meanwhile stays."""
    done = upload._replace(state=UploadState.FAILURE, message="no data")
    with second_writer(
        "TransactWriteItems", partial(rename, producer, upload.image_id)
    ):
        ended = upload_store.end_upload(upload, done, failed)

    image = load(upload.image_id)
    assert ended == image
    assert (image.name, image.status, image.version) == ("renamed", "queued", 4)
    assert image.failed_import == "no data"
    over = upload_store.load_upload(upload.image_id, upload.id)
    assert over
    assert over == done._replace(updated_at=over.updated_at)
    assert upload.updated_at < over.updated_at < image.updated_at
    assert changed_by(upload.image_id) == CALLER._replace(role=Role.NONE)
    before = stored()
    assert upload_store.end_upload(upload, done, failed) is None
    assert stored() == before


def test_an_end_whose_response_was_lost_is_an_end(upload: Upload) -> None:
    """It is repeated, and finds what it wrote itself."""
    done = upload._replace(state=UploadState.FAILURE)

    with losing_responses("TransactWriteItems"):
        ended = upload_store.end_upload(upload, done, failed)

    assert ended == load(upload.image_id)


def test_an_upload_that_another_run_touched_is_not_ended(upload: Upload) -> None:
    """It is that run's to end."""
    upload_store.save_upload(upload, upload)
    before = stored()

    with pytest.raises(StaleError):
        upload_store.end_upload(upload, upload, failed)

    assert stored() == before


@pytest.mark.parametrize("change", ["data", "another upload", "no image", "never one"])
def test_an_image_that_waits_no_more_ends_no_upload(
    change: str, upload: Upload, producer: Actor
) -> None:
    """It has data, waits for another upload, or is gone: nothing is written."""
    image = load(upload.image_id)
    if change == "data":
        with_data = image._replace(status=ImageStatus.DEACTIVATED)
        image_store.update_image(image, with_data, CALLER)
    elif change == "another upload":
        other = image._replace(upload_id=NO_ID)
        image_store.update_image(image, other, CALLER)
    elif change == "no image":
        assert producer.delete(f"/v2/images/{upload.image_id}").status == 204
    else:
        upload = upload._replace(image_id=NO_ID)
    before = stored()

    assert upload_store.end_upload(upload, upload, failed) is None
    assert stored() == before


def test_an_image_that_changes_each_time_ends_no_upload(
    upload: Upload, producer: Actor
) -> None:
    """Conflict after the fifth time."""
    names = iter("abcdefgh")

    def rename_first(**_: object) -> None:
        rename(producer, upload.image_id, next(names))

    with (
        on("before-call.dynamodb.TransactWriteItems", rename_first),
        pytest.raises(Conflict),
    ):
        upload_store.end_upload(upload, upload, failed)

    assert next(names) == "f"
    assert upload_store.load_upload(upload.image_id, upload.id) == upload


def test_all_uploads_of_an_image_are_listed_the_newest_first_and_forgotten(
    image_id: str, producer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as a page holds are listed; to forget them takes as many pages."""
    monkeypatch.setattr(upload_store, "_LISTED_MAX", 2)
    other = producer.make_image()
    kept = begin(other)
    some = []
    for _ in range(3):
        some.append(begin(image_id))
        image = load(image_id)
        image_store.update_image(image, failed(image), CALLER)

    listed = upload_store.list_uploads(image_id)
    upload_store.forget_uploads(image_id)

    assert listed == some[:0:-1]
    assert upload_store.list_uploads(image_id) == []
    assert upload_store.list_uploads(other) == [kept]


def test_idle_uploads_are_found_by_when_they_were_last_touched(
    upload: Upload, producer: Actor
) -> None:
    """The oldest first, after a place; those that wait for their client apart."""
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    newer = begin(image_id)
    image_id = producer.make_image(disk_format="raw", container_format="bare")
    path = f"/ext/v1/images/{image_id}/uploads"
    opened = producer.post(path, {"size": 12}).document["id"]
    now = clock.now()
    idle = [
        (touched_sort(one.updated_at, one.id), (one.image_id, one.id))
        for one in (upload, newer)
    ]

    assert list(upload_store.query_unfinished(now, "")) == idle
    assert list(upload_store.query_unfinished(newer.updated_at, "")) == idle[:1]
    assert list(upload_store.query_unfinished(now, idle[0][0])) == idle[1:]
    ((place, ids),) = upload_store.query_open(now, "")
    assert ids == (image_id, opened)
    assert list(upload_store.query_open(now, place)) == []
    assert list(upload_store.query_open(newer.updated_at, "")) == []
