"""The first attempt of a call, without what botocore prepares to repeat one.

Nearly every call succeeds at once. So its first attempt is made in the event
`before-call`, whose handler may return the response in botocore's place. What does not
succeed is handed to botocore as the result of its own first attempt: it judges,
retries and raises as ever.
"""

import zlib
from collections.abc import Callable
from typing import Any, Final

from botocore.awsrequest import AWSResponse

from chalicelib import aws_answers

_MADE: Final = "first_attempt"
_CHECKSUM: Final = "x-amz-crc32"

Send = Callable[..., AWSResponse | None]
"""Send a signed *request*; return no response where botocore's session has to."""


class Attempts:
    """A client's attempts, of which the first is made before botocore's."""

    def __init__(self, bound: Callable[..., None], send: Send) -> None:
        """Send requests, once the time of each is bound."""
        self._bound, self._send = bound, send

    def make_first(
        self,
        model: Any,  # noqa: ANN401 - botocore's own
        params: dict[str, Any],
        request_signer: Any,  # noqa: ANN401 - botocore's own
        context: dict[str, Any],
        **_: Any,  # noqa: ANN401 - botocore's own
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Make a call's first attempt; return what succeeded, else none."""
        if model.name not in aws_answers.OPERATIONS:
            return None
        request = _Request(params, context)
        request_signer.sign(model.name, request)
        request.headers["Content-Length"] = str(len(request.body))
        try:
            self._bound(request=request)
            response = self._send(request=request)
        except Exception as exc:  # noqa: BLE001 - botocore's to judge
            context[_MADE] = exc
            return None
        if response is None:
            return None
        if not _is_damaged(response):
            parsed = aws_answers.parse(
                response.status_code, response.headers, response.content
            )
            if parsed is not None:
                parsed["ResponseMetadata"]["RetryAttempts"] = 0
                return response, parsed
        context[_MADE] = response
        return None

    def send(self, request: Any, **_: Any) -> AWSResponse | None:  # noqa: ANN401 - botocore's own
        """Send a request of botocore's, unless it is the attempt that was made."""
        made = request.context.pop(_MADE, None)
        if isinstance(made, Exception):
            raise made
        return made or self._send(request=request)


class _Request:
    """A request, as a signer of botocore's and a connection take one."""

    def __init__(self, params: dict[str, Any], context: dict[str, Any]) -> None:
        self.method, self.url = params["method"], params["url"]
        self.headers = dict(params["headers"])
        self.body = self.data = params["body"]
        self.params: dict[str, str] = {}
        self.context = context


def _is_damaged(response: AWSResponse) -> bool:
    """Return whether a body is not the one that DynamoDB computed a checksum of."""
    checksum = response.headers.get(_CHECKSUM)
    return checksum is not None and checksum != str(zlib.crc32(response.content))
