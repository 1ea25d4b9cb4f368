"""The offer rules of a project: what happens to the offers of a producer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Effect(StrEnum):
    """What a rule does with an offer: leave the answer open, accept it, or hide it."""

    ASK = "ask"
    ACCEPT = "accept"
    MUTE = "mute"


OfferRules = Mapping[str, Effect]
"""A project's rules: the effect by the producer's id, or by `ANYONE`."""

ANYONE: Final = "*"
"""Stands for every producer that has no rule of its own."""

RULES_MAX: Final = 500
"""Maximum number of rules that a project has."""


def effect_on(rules: OfferRules, producer_id: str) -> Effect:
    """Return what a project's rules do with the offers of a producer."""
    return rules.get(producer_id) or rules.get(ANYONE) or Effect.ASK
