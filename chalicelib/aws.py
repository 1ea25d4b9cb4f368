"""The session of AWS, and its clients: each is made when first used, for all threads.

DynamoDB's client is made by PynamoDB, from this session.
"""

from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.session import get_session

session = get_session()
_made: dict[str, Any] = {}
_making = Lock()


def client(service: str, **options: Any) -> Any:  # noqa: ANN401 - botocore's own
    """Give the client of a service; options of botocore's count when it is made."""
    with _making:
        if service not in _made:
            retries = {"mode": "standard", "total_max_attempts": 3}
            timeouts = {"connect_timeout": 2, "read_timeout": 5}
            config = Config(**{"retries": retries, **timeouts, **options})
            _made[service] = session.create_client(service, config=config)
        return _made[service]
