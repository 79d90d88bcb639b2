"""One table of limits: settings, keys and units."""

from __future__ import annotations

import dataclasses

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.config.sources import flags_of_more
from promptclimb.agent.limits import COST, LIMIT_BY_KEY, LIMITS, SCORER_CALLS, amount_text
from promptclimb.agent.llm.budget import Limits


def test_the_table_names_settings_and_what_a_budget_counts() -> None:
    """No limit is without a setting, and none that a budget counts is missing."""
    assert {limit.setting for limit in LIMIT_BY_KEY.values()} <= SearchConfig.model_fields.keys()
    assert [limit.key for limit in LIMITS] == [field.name for field in dataclasses.fields(Limits)]


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1, "1"), (1200, "1,200"), (100.0, "100"), (0.1 + 0.2, "0.3"), (1.65e-05, "0.0000165"), (0, "0")],
)
def test_an_amount_is_written_in_full(amount: float, text: str) -> None:
    """Without an exponent, and with no decimals that say nothing."""
    assert amount_text(amount) == text
    assert COST.text(amount) == f"{text} US dollar{'' if text == '1' else 's'}"


def test_a_reached_limit_is_raised_by_its_option() -> None:
    """A result from elsewhere may name what is no limit: that never becomes part of a command."""
    assert flags_of_more(("cost_usd", SCORER_CALLS.key)) == " --max-cost N --max-scorer-calls N"
    assert flags_of_more(("x; rm -r ~", "cost")) == ""
