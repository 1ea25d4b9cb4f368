"""The bill of docs/costs.md is what its script makes of units and milliseconds."""

import pytest

from tests.cost import bill
from tests.readme import ROOT


def test_the_document_has_the_bill() -> None:
    """Each table of it; run `python -m tests.cost.bill` for those of today."""
    text = (ROOT / "docs/costs.md").read_text("utf-8")

    assert [one for one in bill.document().split("\n\n") if one not in text] == []


def test_the_shares_of_the_usual_mix_are_all_of_it() -> None:
    """No request is paid for twice, or not at all."""
    assert sum(share for _, share in bill.REQUESTS.values()) == pytest.approx(1)


def test_a_stage_at_rest_costs_two_dollars_at_most() -> None:
    """As many alarms as the stack has."""
    stack = (ROOT / "infra/watch.yaml").read_text("utf-8")
    alarms = stack.count("Type: AWS::CloudWatch::Alarm\n")

    assert alarms * 0.10 == pytest.approx(bill.AT_REST)
    assert bill.AT_REST <= 2
