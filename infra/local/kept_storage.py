"""
moto's S3 server made to find its objects again after a restart.

Each object has a record beside the files of its data. An upload of parts that nobody
completed is gone when the server ends.
"""

import json
from contextlib import ExitStack
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from moto.s3.models import FakeKey, S3Backend, s3_backends

from infra.local.spooled_storage import Data, File, Span, spooled_storage

ACCOUNT: Final = "123456789012"
"""The account that moto sees in any signature."""

_set_metadata = FakeKey.set_metadata
_delete_object = S3Backend.delete_object


def kept_storage(folder: Path) -> ExitStack:
    """Keep all objects of moto's S3 server in a folder, and load those it holds."""
    data, records = folder / "data", folder / "objects"
    for subfolder in (data, records):
        subfolder.mkdir(parents=True, exist_ok=True)

    def set_metadata(self: FakeKey, metadata: Any, replace: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 - moto's own
        # The last that moto does with a new object; a part has no bucket.
        _set_metadata(self, metadata, replace)
        if self.bucket_name:
            _write(_record_file(records, self.bucket_name, self.name), self)

    def delete_object(self: S3Backend, bucket: str, key: str, **options: Any) -> Any:  # noqa: ANN401 - moto's own
        _record_file(records, bucket, key).unlink(missing_ok=True)
        return _delete_object(self, bucket, key, **options)

    kept = spooled_storage(data)
    _load(records, data)
    kept.enter_context(patch.object(FakeKey, "set_metadata", set_metadata))
    kept.enter_context(patch.object(S3Backend, "delete_object", delete_object))
    return kept


def _record_file(records: Path, bucket: str, key: str) -> Path:
    return records / f"{sha256(f'{bucket}/{key}'.encode()).hexdigest()}.json"


def _write(file: Path, key: Any) -> None:  # noqa: ANN401 - moto's own
    record = {
        "bucket": key.bucket_name,
        "key": key.name,
        "etag": key._etag,  # noqa: SLF001 - without the quotes of its public form
        "last_modified": key.last_modified.isoformat(),
        "metadata": dict(key.metadata),
        "spans": [
            [span.file.path.name, span.start, span.size] for span in key.value.spans
        ],
    }
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(record), "utf-8")
    whole.replace(file)


def _load(records: Path, data: Path) -> None:
    files: dict[str, File] = {}
    backend = s3_backends[ACCOUNT]["aws"]
    for file in records.glob("*.json"):
        record = json.loads(file.read_text("utf-8"))
        for name, *_ in record["spans"]:
            if name not in files:  # A second `File` would end with its file.
                files[name] = File(data / name)
        spans = [
            Span(files[name], start, size) for name, start, size in record["spans"]
        ]
        if record["bucket"] not in backend.buckets:
            backend.create_bucket(record["bucket"], "us-east-1")
        key: Any = backend.put_object(
            record["bucket"],
            record["key"],
            Data(spans),  # type: ignore[arg-type] # what `_keep_value` takes
            etag=record["etag"],
        )
        key.last_modified = datetime.fromisoformat(record["last_modified"])
        _set_metadata(key, record["metadata"])
    for left in data.iterdir():
        if left.name not in files:
            left.unlink()
