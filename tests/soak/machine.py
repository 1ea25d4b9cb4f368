"""Long sequences of calls against the model of sharing, with seeds of their own."""

from typing import Final
from unittest.mock import patch

from hypothesis import Phase, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from chalicelib import settings
from chalicelib.store import dynamodb
from tests.properties.runs import RUN
from tests.properties.test_disturbances import Disturbed
from tests.properties.test_sharing import Sharing, bounded
from tests.soak.stand import Stand

SEQUENCES: Final = 4
"""How many sequences a try has."""


def drive(stand: Stand, number: int) -> int:
    """Drive the state machine, by its number: calm or disturbed; return how often.

    Raises:
        AssertionError: The service does not do what the model says.
    """
    kind = (Sharing, Sharing, Disturbed)[number % 3]
    bound = bounded()._replace(index_lag_seconds=0 if number % 3 == 0 else 60)

    @seed(number)
    class Here(kind):  # type: ignore[misc, valid-type] # one of the two
        def __init__(self) -> None:
            super().__init__(stand.send)

    with (
        patch.object(settings, "current", bound),
        patch.object(dynamodb.connection.connection, "_client", stand.embedded),
    ):
        run_state_machine_as_test(
            Here,
            settings=hypothesis_settings(
                RUN,
                max_examples=SEQUENCES,
                stateful_step_count=30,
                phases=[Phase.generate, Phase.shrink],
            ),
        )
    return SEQUENCES
