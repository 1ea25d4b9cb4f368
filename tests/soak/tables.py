"""What a table must hold whatever was asked of it, and when two tables are equal."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from chalicelib.domain.images import Image, ImageStatus
from chalicelib.domain.members import Member
from chalicelib.store import objects
from chalicelib.store.items import (
    Item,
    image_item,
    image_of,
    member_item,
    member_of,
    upload_item,
    upload_of,
)

Raw = dict[str, Any]

PLACES: Final = (
    *("project_pk", "project_sk", "group_pk", "group_sk", "name_pk", "name_sk"),
)
"""The attributes by which an item stands in the indexes."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)?")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNIQUE: Final = frozenset(
    {
        *("changed", "created_at", "updated_at", "begun_at", "version", "drift"),
        *("image_version", "offered_at", "expires_at", "request_id", "multipart_id"),
    }
)
"""The attributes that differ from run to run, or count what a refused try adds to."""

_WAITING: Final = (ImageStatus.SAVING, ImageStatus.IMPORTING)


def kind_of(raw: Raw) -> str:
    """Return what an item is: the first word of its partition and sort key."""
    partition, sort = (raw[name]["S"].partition("#")[0] for name in ("pk", "sk"))
    return "UPLOAD" if partition == "UPLOAD" else str(sort)


def without_ids(text: str, names: Mapping[str, str]) -> str:
    """Return a text with its ids by their roles or their order, and without times."""
    for name, role in names.items():
        text = text.replace(name, role)
    order: dict[str, str] = {}
    text = _ID.sub(lambda found: order.setdefault(found[0], f"#{len(order)}"), text)
    return _TIME.sub("T", text)


def state_of(items: Iterable[Raw], names: Mapping[str, str]) -> str:
    """Return what a table says, so that two that say the same are equal.

    Recent changes are never truth. A note on an earlier membership, or of an earlier
    owner, counts for nothing.
    """
    held = {(one["pk"]["S"], one["sk"]["S"]): one for one in items}
    rows = []
    for (pk, sk), raw in sorted(held.items()):
        kind = kind_of(raw)
        if kind in ("RECENT", "COUNTED"):
            continue
        row = {name: raw[name] for name in sorted(raw.keys() - _UNIQUE)}
        if kind == "MEMBER":
            row["answered"] = raw["updated_at"] != raw["created_at"]
        if kind == "NOTE":
            image_pk, member_sk = _noted(pk, sk)
            member = held.get((image_pk, member_sk), {})
            owner = held.get((image_pk, "IMAGE"), {}).get("owner")
            if member.get("created_at") != raw["offered_at"] or owner != raw["owner"]:
                continue
        rows.append(row)
    return without_ids(json.dumps(rows, indent=1), names)


def _noted(pk: str, sk: str) -> tuple[str, str]:
    """Return the key of the membership that a note is on."""
    return pk.replace("NOTES#", "IMAGE#"), sk.replace("NOTE#", "MEMBER#")


def check_sound(items: Iterable[Raw]) -> None:
    """Check that each item stands where its own values say, and counts are right.

    Raises:
        AssertionError: One does not.
    """
    items = list(items)
    images = {raw["pk"]["S"]: image_of(raw) for raw in items if kind_of(raw) == "IMAGE"}
    counts = Counter[str]()
    for raw in items:
        kind, pk = kind_of(raw), raw["pk"]["S"]
        if kind == "IMAGE":
            image = images[pk]
            if image:
                _check_place(raw, image_item(image))
        elif kind == "MEMBER":
            counts[pk] += 1
            _check_member(raw, images[pk])
        elif kind == "UPLOAD":
            _check_place(raw, upload_item(upload_of(raw)))
        elif kind == "USAGE":
            used = int(raw.get("image_count_uploading", {"N": "0"})["N"])
            assert used >= 0, raw
    for pk, image in images.items():
        if image:
            assert image.member_count == counts[pk], (image, counts[pk])


def _check_member(raw: Raw, image: Image | None) -> None:
    member = member_of(raw)
    assert raw["sk"]["S"] == f"MEMBER#{member.member_id}", raw
    assert member.updated_at >= member.created_at, raw
    if image is None:  # A tombstone's, until the stream's function has come.
        return
    # Its copies may lag, so that it stands under the owner that it has copied.
    copied = _copied(raw, image)
    _check_place(raw, member_item(member, copied))
    assert int(raw["image_version"]["N"]) <= image.version, raw


def _copied(raw: Raw, image: Image) -> Image:
    return Image(
        id=image.id,
        owner=raw["owner"]["S"],
        created_at=image.created_at,
        updated_at=image.updated_at,
        properties={},
    )


def _check_place(raw: Raw, wanted: Item) -> None:
    for name in PLACES:
        value = getattr(wanted, name)
        assert raw.get(name, {}).get("S") == value, (name, value, raw)


def check_settled(items: Iterable[Raw]) -> None:
    """Check that nothing is left to do: no orphan, no old copy, no wrong usage.

    Raises:
        AssertionError: Something is.
    """
    items = list(items)
    check_sound(items)
    images = {raw["pk"]["S"]: image_of(raw) for raw in items if kind_of(raw) == "IMAGE"}
    uploads = {
        (raw["pk"]["S"].removeprefix("UPLOAD#"), raw["sk"]["S"]): upload_of(raw)
        for raw in items
        if kind_of(raw) == "UPLOAD"
    }
    members: dict[tuple[str, str], Member] = {}
    notes: list[Raw] = []
    for raw in items:
        kind, pk = kind_of(raw), raw["pk"]["S"]
        image = images.get(pk)
        if kind == "IMAGE" and image is None:
            assert not raw.keys() & set(PLACES), raw
        if kind == "MEMBER":
            members[pk, raw["sk"]["S"]] = member_of(raw)
            assert image, raw
            copies = [raw["owner"]["S"], raw["os_hidden"]["BOOL"], raw.get("name")]
            name = None if image.name is None else {"S": image.name}
            assert copies == [image.owner, image.os_hidden, name], raw
        if kind == "NOTE":
            notes.append(raw)
    for raw in notes:
        assert _noted(raw["pk"]["S"], raw["sk"]["S"]) in members, raw
    for (image_id, upload_id), upload in uploads.items():
        image = images[f"IMAGE#{image_id}"]
        assert image, upload
        waits = image.status in _WAITING and image.upload_id == upload_id
        assert upload.is_over is not waits, (upload, image)
    for image in filter(None, images.values()):
        if image.status in _WAITING:
            assert (image.id, image.upload_id) in uploads, image
    held, used = _usage_held(items), _usage_of(filter(None, images.values()), members)
    assert held == used, (held, used)


Usage = dict[tuple[str, str], int]
"""How much a project uses of a quota; of offers to one consumer, by its id."""


def _usage_held(items: Iterable[Raw]) -> Usage:
    held: Usage = {}
    for raw in items:
        project = raw["pk"]["S"].removeprefix("PROJECT#")
        _, _, member = raw["sk"]["S"].partition("#")
        if kind_of(raw) in ("USAGE", "OFFERS"):
            names = raw.keys() - {"pk", "sk", *PLACES}
            for name in names:
                held[project, member or name] = int(raw[name]["N"])
    return {key: count for key, count in held.items() if count}


def _usage_of(
    images: Iterable[Image], members: Mapping[tuple[str, str], Member]
) -> Usage:
    used = Counter[tuple[str, str]]()
    owners: dict[str, str] = {}
    for image in images:
        owner = owners[f"IMAGE#{image.id}"] = image.owner
        size, status = image.size or 0, image.status
        used[owner, "image_count_total"] += 1
        used[owner, "image_size_total"] += size * image.has_data
        staged = status in (ImageStatus.UPLOADING, ImageStatus.IMPORTING)
        used[owner, "image_stage_total"] += size * staged
        used[owner, "image_count_uploading"] += status in (
            *_WAITING,
            ImageStatus.UPLOADING,
        )
    for (pk, _), member in members.items():
        if member.status == "pending":
            used[owners[pk], "offer_count_total"] += 1
            used[owners[pk], member.member_id] += 1
    return {key: count for key, count in used.items() if count}


def check_bucket(items: Iterable[Raw], *image_ids: str) -> None:
    """Check that the bucket holds of images what they have or wait for, and no more.

    Raises:
        AssertionError: It holds more, or less.
    """
    items = list(items)
    wanted, open_ones = set(), set()
    for raw in items:
        image = image_of(raw) if kind_of(raw) == "IMAGE" else None
        if image and (image.has_data or image.staged):
            wanted.add((image.id, image.upload_id))
        if kind_of(raw) == "UPLOAD" and not upload_of(raw).is_over:
            open_ones.add(upload_of(raw).multipart_id)
    for image_id in image_ids:
        held = {(one.image_id, one.upload_id) for one in objects.list_objects(image_id)}
        assert held == {one for one in wanted if one[0] == image_id}
        kept = {one.multipart_id for one in objects.list_multiparts(image_id)}
        assert kept <= open_ones, kept
