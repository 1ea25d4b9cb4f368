"""The botocore session and its clients, each made on first use and shared by threads.

PynamoDB makes DynamoDB's client, from this session.
"""

from functools import cache
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

_made: dict[tuple[str, str | None], Any] = {}
_making = Lock()


@cache
def session() -> Session:
    """Return the session of the process.

    Made on first use: the embedded AWS of a local run has to be imported before it.
    """
    return get_session()


def client(service: str, region: str | None = None, **options: Any) -> Any:  # noqa: ANN401 - botocore's own
    """Return the client of a service; botocore's *options* apply when it is made."""
    with _making:
        if (service, region) not in _made:
            retries = {"mode": "standard", "total_max_attempts": 3}
            timeouts = {"connect_timeout": 2, "read_timeout": 5}
            config = Config(**{"retries": retries, **timeouts, **options})
            _made[service, region] = session().create_client(
                service, region_name=region, config=config
            )
        return _made[service, region]
