"""The Lambda functions beside the API's: `importer`, `worker`, `stream`, `sweep`.

Each imports what it runs when it is first called: the API's function imports this
module as it registers them, and must not pay for what it never runs.
"""

from typing import Any, Final

from chalice.app import Blueprint, CloudWatchEvent, DynamoDBEvent, Rate, SQSEvent

from chalicelib import settings
from chalicelib.domain.import_uris import parse_allowed
from chalicelib.store.queue import CopyMessage, parse_message

RESERVE_SECONDS: Final = 60
"""Time before a function's timeout at which its work on an upload stops, in seconds."""

functions = Blueprint(__name__)
parse_allowed(settings.current.import_allow)  # A wrong value fails the start.


@functions.on_sqs_message(queue_arn="ImportQueue.Arn", name="importer")
def importer(event: SQSEvent) -> None:
    """Process each message: an import from a URL."""
    _process_messages(event)


@functions.on_sqs_message(queue_arn="UploadQueue.Arn", name="worker")
def worker(event: SQSEvent) -> None:
    """Process each message: a direct upload, or copies of an image in memberships."""
    _process_messages(event)


@functions.on_dynamodb_record(stream_arn="ImagesTable.StreamArn", name="stream")
def stream(event: DynamoDBEvent) -> dict[str, Any]:
    """Process a batch of changes of the table."""
    from chalicelib.background.stream import (  # noqa: PLC0415 - see above
        Record,
        process_records,
    )

    return process_records(
        Record(record.old_image, record.new_image, record.sequence_number)
        for record in event
    )


@functions.schedule(Rate(1, unit=Rate.HOURS), name="sweep")
def sweep(event: CloudWatchEvent) -> None:
    """Resume or remove what crashes left, in the table and in the bucket."""
    from chalicelib.background.sweep import (  # noqa: PLC0415 - see above
        sweep as run_sweep,
    )

    context: Any = event.context
    left = context.get_remaining_time_in_millis() / 1000
    run_sweep(left - RESERVE_SECONDS)


def _process_messages(event: SQSEvent) -> None:
    from chalicelib.background.copies import update_copies  # noqa: PLC0415 - see above
    from chalicelib.background.transfers import transfer  # noqa: PLC0415 - see above

    def is_out_of_time() -> bool:
        context: Any = event.context
        left: int = context.get_remaining_time_in_millis()
        return left < RESERVE_SECONDS * 1000

    for record in event:
        message = parse_message(record.body)
        if isinstance(message, CopyMessage):
            update_copies(message)
        else:
            transfer(message.image_id, message.upload_id, is_out_of_time, message.waits)
