"""The access patterns of a project's offer rules."""

import json
from datetime import datetime, timedelta
from typing import Final

from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action

from chalicelib import clock
from chalicelib.domain.caller import Caller
from chalicelib.domain.offer_rules import ANYONE, RULES_MAX, Effect, OfferRules
from chalicelib.errors import LimitExceeded
from chalicelib.store.dynamodb import (
    change_by,
    condition_failed,
    get_items,
    query_page,
    with_retries,
)
from chalicelib.store.items import OfferRuleItem
from chalicelib.store.keys import (
    OFFER_RULE,
    moment,
    offer_rule_key,
    project_partition,
)
from chalicelib.store.mapping import Raw

_EFFECT: Final = "effect"
_REMOVED: Final = "expires_at"
"""Attribute that only a removed rule has."""

_REMOVED_KEPT: Final = timedelta(days=1)
"""How long a removed rule is kept: an offer waits in the stream no longer."""


def query_rules(project_id: str, *, strongly: bool = False) -> OfferRules:
    """AP-32: all rules of a project; strongly consistent for who changes them."""
    items = _query_items(project_id, strongly=strongly)
    return {
        producer_id: Effect(raw[_EFFECT]["S"])
        for producer_id, raw in items.items()
        if _REMOVED not in raw
    }


def accepts_offer(project_id: str, producer_id: str, offered_at: datetime) -> bool:
    """AP-33: whether a project's rule accepts what a producer offered at that time.

    Only a rule that was set before, and for every producer only if none of this one
    was in force then: an offer may wait in the stream meanwhile, and is the consumer's
    own to answer. Strongly consistent: a rule that was just set decides on the next
    offer.
    """
    keys = [offer_rule_key(project_id, name) for name in (producer_id, ANYONE)]
    items = get_items(list(dict.fromkeys(keys)))
    for raw in filter(None, map(items.get, keys)):
        changed_at: str = json.loads(raw["changed"]["S"])["at"]
        is_since_before = changed_at <= moment(offered_at)
        if not (is_since_before and _REMOVED in raw):
            return is_since_before and raw[_EFFECT]["S"] == Effect.ACCEPT
    return False


def set_rule(project_id: str, producer_id: str, effect: Effect, caller: Caller) -> bool:
    """AP-34: set a project's rule for a producer; return whether that changed it.

    Requests at the same time may go beyond `RULES_MAX` by as many as they are: the
    number bounds what a list reads, which removed rules are a part of.

    Raises:
        LimitExceeded: The project has as many rules as it may.
    """
    key = offer_rule_key(project_id, producer_id)
    items = _query_items(project_id, strongly=True)
    raw = items.get(producer_id)
    if raw and _REMOVED not in raw and raw[_EFFECT]["S"] == effect:
        return False
    if raw is None and len(items) >= RULES_MAX:
        raise LimitExceeded(
            f"A project may have {RULES_MAX} rules at most; one that was removed counts"
            " for a day."
        )
    item = OfferRuleItem(
        *key, producer_id=producer_id, effect=effect, changed=change_by(caller)
    )
    with_retries(item.save)
    return True


def delete_rule(project_id: str, producer_id: str, caller: Caller) -> None:
    """AP-35: remove a project's rule for a producer, if there is one.

    It is kept for a while, with the time of its removal: an offer from before that may
    wait in the stream, and no other rule may accept it.
    """
    item = OfferRuleItem(*offer_rule_key(project_id, producer_id))
    expires_at = int((clock.now() + _REMOVED_KEPT).timestamp())
    actions: list[Action] = [
        OfferRuleItem.effect.set(Effect.ASK),
        OfferRuleItem.changed.set(change_by(caller)),
        OfferRuleItem.expires_at.set(expires_at),
    ]
    is_there = OfferRuleItem.effect.exists() & OfferRuleItem.expires_at.does_not_exist()
    try:
        with_retries(lambda: item.update(actions=actions, condition=is_there))
    except PynamoDBException as exc:
        if not condition_failed(exc):
            raise


def _query_items(project_id: str, *, strongly: bool) -> dict[str, Raw]:
    """Return the items of a project's rules, removed ones too, by the producer's id."""
    items: dict[str, Raw] = {}
    start: Raw | None = None
    while True:
        page = query_page(
            project_partition(project_id),
            range_key_condition=OfferRuleItem.sk.startswith(OFFER_RULE),
            consistent_read=strongly,
            exclusive_start_key=start,
        )
        for raw in page["Items"]:
            items[raw["sk"]["S"].removeprefix(OFFER_RULE)] = raw
        start = page.get("LastEvaluatedKey")  # Long ids may take more than a page.
        if not start:
            return items
