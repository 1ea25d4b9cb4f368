"""
The stream of a table, as a local run reads it: moto's, or that of DynamoDB Local.
"""

import json
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.exceptions import ClientError

from infra.local.mended_moto import take_records

Records = list[dict[str, Any]]


class Stream(Protocol):
    """What a pump reads: each record once in a run, in the order of changes."""

    def take(self) -> Records:
        """Return the next records; none if there are none by now."""

    def keep(self) -> None:
        """Note that all that was taken is done with, also for later runs."""


class MotoStream:
    """The stream of a table of moto, which ends with the process."""

    def __init__(self, table_name: str) -> None:
        self._table_name = table_name

    def take(self) -> Records:
        """Take the records off the stream that it has by now."""
        return take_records(self._table_name)

    def keep(self) -> None:
        """Do nothing: there is no later run."""


class LocalStream:
    """
    The stream of a table of DynamoDB Local, read on where the last run had done all.

    A file holds the sequence number that was reached in each shard.
    """

    def __init__(self, table_name: str, file: Path) -> None:
        table = boto3.client("dynamodb").describe_table(TableName=table_name)
        self._client = boto3.client("dynamodbstreams")
        self._stream = {"StreamArn": table["Table"]["LatestStreamArn"]}
        self._file = file
        self._kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self._reached: dict[str, str] = dict(self._kept)
        self._iterators: dict[str, str | None] = {}

    def take(self) -> Records:
        """Read the next page of the oldest shard that has one."""
        described = self._client.describe_stream(**self._stream)["StreamDescription"]
        for shard in described["Shards"]:
            records = self._read(shard["ShardId"])
            if records:
                return records
        return []

    def keep(self) -> None:
        """Write down what was reached."""
        if self._kept != self._reached:
            whole = self._file.with_suffix(".new")
            whole.write_text(json.dumps(self._reached), "utf-8")
            whole.replace(self._file)
            self._kept = dict(self._reached)

    def _read(self, shard: str) -> Records:
        if shard not in self._iterators:
            self._iterators[shard] = self._iterator(shard)
        iterator = self._iterators[shard]
        if iterator is None:
            return []  # The shard is closed, and was read to its end.
        try:
            page = self._client.get_records(ShardIterator=iterator)
        except ClientError:  # An iterator expires, as where the machine was asleep.
            del self._iterators[shard]
            raise
        self._iterators[shard] = page.get("NextShardIterator")
        records: Records = page["Records"]
        if records:
            self._reached[shard] = records[-1]["dynamodb"]["SequenceNumber"]
        return records

    def _iterator(self, shard: str) -> str:
        reached = self._reached.get(shard)
        after = {"ShardIteratorType": "TRIM_HORIZON"}
        if reached:
            after = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "SequenceNumber": reached,
            }
        response = self._client.get_shard_iterator(
            **self._stream, ShardId=shard, **after
        )
        return str(response["ShardIterator"])
