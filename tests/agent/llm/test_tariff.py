"""Prices with steps and service tiers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.tariff import Tariff
from promptclimb.agent.rates import Rates
from promptclimb.agent.token_usage import TokenUsage
from tests.agent.test_rates import usages


def flat(prompt: int, completion: int) -> Rates:
    """Rates without a cache."""
    return Rates(prompt=prompt, cached=prompt, written=prompt, kept=prompt, completion=completion)


STEPS = ((0, flat(10, 30)), (1000, flat(20, 45)))
FLEX = ((0, flat(5, 15)),)


def test_a_long_prompt_makes_all_tokens_dearer() -> None:
    """Those below the step and those of the answer too, but not at the step itself."""
    tariff = Tariff(standard=STEPS)
    assert tariff.charge(TokenUsage(1000, 1)) == 10_030
    assert tariff.charge(TokenUsage(1001, 1)) == 20_065


def test_an_answer_is_charged_as_it_was_served() -> None:
    """Asked for flex it may be served as standard; an endpoint that does not say so is believed the worst."""
    tariff = Tariff(standard=STEPS, services={"flex": FLEX, "priority": ((0, flat(90, 90)),)}, asked="flex")
    charged = {
        tier: tariff.charge(TokenUsage(10, 0, service_tier=tier))
        for tier in ("flex", "default", "priority", "unheard of", None)
    }
    assert charged == {"flex": 50, "default": 100, "priority": 900, "unheard of": 100, None: 100}


@given(usages(), st.sampled_from([None, "flex", "default"]), st.integers(0, 2000))
def test_no_call_costs_more_than_was_set_aside(usage: TokenUsage, tier: str | None, more: int) -> None:
    """Not with fewer tokens either, which may lie at a cheaper step."""
    tariff = Tariff(standard=STEPS, services={"flex": FLEX}, asked="flex")
    bound = TokenUsage(usage.prompt_tokens + more, usage.completion_tokens)
    served = TokenUsage(usage.prompt_tokens, usage.completion_tokens, service_tier=tier)
    assert tariff.charge(served) <= tariff.most(bound)
