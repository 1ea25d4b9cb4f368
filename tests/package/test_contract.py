"""The recorded conversations, held with the packaged artifact behind a stage."""

import pytest

from tests.contract.player import Conversation, read
from tests.contract.test_replay import NAMES, SETTINGS
from tests.package.packaged import Lambda, Package, running, through_gateway

MATRICES = {"list-sharing", "members-matrix", "visibility-matrix"}
"""
Those that ask again as each caller what another recording asks: what they decide is
code, not package, and `tests.contract` replays them.
"""


@pytest.mark.parametrize("name", sorted(set(NAMES) - MATRICES))
def test_the_package_answers_as_recorded(
    name: str, dev: Package, function: Lambda, aws: str
) -> None:
    """By API Gateway's events, under `/api`, in a Python that has nothing else."""
    if name in SETTINGS:
        environ = {key.upper(): str(text) for key, text in SETTINGS[name].items()}
        with running(dev.unzipped, aws, **environ) as other:
            talk = Conversation(through_gateway(dev, other))
            differences = [wrong for step in read(name) for wrong in talk.play(step)]
    else:
        talk = Conversation(through_gateway(dev, function))
        differences = [wrong for step in read(name) for wrong in talk.play(step)]

    assert differences == []
