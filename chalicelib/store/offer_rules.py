"""The access patterns of a project's offer rules."""

import json
from datetime import datetime
from typing import Final

from chalicelib.domain.caller import Caller
from chalicelib.domain.offer_rules import ANYONE, RULES_MAX, Effect, OfferRules
from chalicelib.errors import LimitExceeded
from chalicelib.store.dynamodb import (
    change_by,
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


def query_rules(project_id: str, *, strongly: bool = False) -> OfferRules:
    """AP-32: all rules of a project; strongly consistent for who changes them."""
    rules: dict[str, Effect] = {}
    start: Raw | None = None
    while True:
        page = query_page(
            project_partition(project_id),
            range_key_condition=OfferRuleItem.sk.startswith(OFFER_RULE),
            consistent_read=strongly,
            exclusive_start_key=start,
        )
        for raw in page["Items"]:
            rules[raw["sk"]["S"].removeprefix(OFFER_RULE)] = Effect(raw[_EFFECT]["S"])
        start = page.get("LastEvaluatedKey")  # Long ids may take more than a page.
        if not start:
            return rules


def accepts_offer(project_id: str, producer_id: str, offered_at: datetime) -> bool:
    """AP-33: whether a project's rule accepts what a producer offered at that time.

    Only a rule that was set before: an offer may wait in the stream meanwhile, and is
    the consumer's own to answer. Strongly consistent: a rule that was just set decides
    on the next offer.
    """
    keys = {name: offer_rule_key(project_id, name) for name in (producer_id, ANYONE)}
    items = get_items(list(dict.fromkeys(keys.values())))
    raw = items.get(keys[producer_id]) or items.get(keys[ANYONE])
    if raw is None or raw[_EFFECT]["S"] != Effect.ACCEPT:
        return False
    set_at: str = json.loads(raw["changed"]["S"])["at"]
    return set_at <= moment(offered_at)


def set_rule(project_id: str, producer_id: str, effect: Effect, caller: Caller) -> bool:
    """AP-34: set a project's rule for a producer; return whether that changed it.

    Requests at the same time may go beyond `RULES_MAX` by as many as they are: the
    number bounds what a list reads.

    Raises:
        LimitExceeded: The project has as many rules as it may.
    """
    key = offer_rule_key(project_id, producer_id)
    rules = query_rules(project_id, strongly=True)
    if rules.get(producer_id) is effect:
        return False
    if producer_id not in rules and len(rules) >= RULES_MAX:
        raise LimitExceeded(f"A project may have {RULES_MAX} rules at most.")
    item = OfferRuleItem(
        *key, producer_id=producer_id, effect=effect, changed=change_by(caller)
    )
    with_retries(item.save)
    return True


def delete_rule(project_id: str, producer_id: str) -> None:
    """AP-35: remove a project's rule for a producer, if there is one."""
    item = OfferRuleItem(*offer_rule_key(project_id, producer_id))
    with_retries(item.delete)
