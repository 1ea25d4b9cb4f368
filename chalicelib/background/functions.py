"""
The functions beside the API's: on the queue, on the table's stream, and by the clock.
"""

from typing import Any, Final

from chalice.app import Blueprint, CloudWatchEvent, DynamoDBEvent, Rate, SQSEvent

from chalicelib import settings
from chalicelib.background.stream import Record, consume
from chalicelib.background.sweep import sweep
from chalicelib.background.transfers import transfer
from chalicelib.domain.import_uris import parse_allowed
from chalicelib.store.queue import read_job

RESERVE_SECONDS: Final = 60
"""How long before its end a run of the worker stops, and lets another go on."""

functions = Blueprint(__name__)
parse_allowed(settings.current.import_allow)  # A wrong setting ends the start.


@functions.on_sqs_message(queue_arn="UploadQueue.Arn", name="worker")
def work(event: SQSEvent) -> None:
    """Bring the data of an upload into the bucket."""

    def out_of_time() -> bool:
        context: Any = event.context
        left: int = context.get_remaining_time_in_millis()
        return left < RESERVE_SECONDS * 1000

    for message in event:
        transfer(*read_job(message.body), out_of_time)


@functions.on_dynamodb_record(stream_arn="ImagesTable.StreamArn", name="stream")
def follow(event: DynamoDBEvent) -> dict[str, Any]:
    """Do what follows from each change of the table."""
    return consume(
        Record(record.old_image, record.new_image, record.sequence_number)
        for record in event
    )


@functions.schedule(Rate(1, unit=Rate.HOURS), name="sweep")
def clean(_event: CloudWatchEvent) -> None:
    """Find what crashes left, and remove it or go on with it."""
    sweep()
