"""What the vendor says that it billed for a reply."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.replies import billed
from promptclimb.agent.prices import TokenUsage

SUMS = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (SUMS, TokenUsage(100, 20)),
        (
            SUMS
            | {
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 7},
                "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 0},
            },
            TokenUsage(100, 20, cached_tokens=60, cache_written_tokens=30, reasoning_tokens=15),
        ),
        (
            SUMS | {"total_tokens": 150, "completion_tokens_details": {"reasoning_tokens": 30}},
            TokenUsage(100, 50, reasoning_tokens=30),
        ),
        ({**SUMS, "total_tokens": 150}, TokenUsage(100, 50)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            TokenUsage(9, 35, reasoning_tokens=30),
        ),
        (
            SUMS | {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
            TokenUsage(100, 20, cached_tokens=64),
        ),
        (SUMS | {"cached_tokens": 50}, TokenUsage(100, 20, cached_tokens=50)),
        (
            {
                "input_tokens": 4,
                "output_tokens": 20,
                "cache_read_input_tokens": 70,
                "cache_creation_input_tokens": 26,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 6},
            },
            TokenUsage(100, 20, cached_tokens=70, cache_written_tokens=26, cache_1h_tokens=6),
        ),
        (
            SUMS | {"cache_read_input_tokens": 70, "cache_creation_input_tokens": 26},
            TokenUsage(100, 20, cached_tokens=70, cache_written_tokens=26),
        ),
        (
            {"prompt_tokens": 4, "completion_tokens": 20, "total_tokens": 24, "cache_read_input_tokens": 96},
            TokenUsage(100, 20, cached_tokens=96),
        ),
        (
            {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 90, "cache_read_input_tokens": 30},
            TokenUsage(70, 20, cached_tokens=30),
        ),
        (
            {"prompt_tokens": 40, "completion_tokens": 20, "cache_read_input_tokens": 30},
            TokenUsage(70, 20, cached_tokens=30),
        ),
        (SUMS | {"cost": 0.00014}, TokenUsage(100, 20, vendor_picodollars=140_000_000)),
        (SUMS | {"cost": 0}, TokenUsage(100, 20, vendor_picodollars=0)),
        (
            SUMS | {"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}},
            TokenUsage(100, 20, vendor_picodollars=19_950_000_000_000),
        ),
        (
            SUMS | {"cost": 0.02, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.02}},
            TokenUsage(100, 20, vendor_picodollars=20_000_000_000),
        ),
        (SUMS | {"cost_in_usd_ticks": 37_756_000}, TokenUsage(100, 20, vendor_picodollars=3_775_600_000)),
        (
            SUMS | {"cost": 0.5, "cost_in_usd_ticks": 0},
            TokenUsage(100, 20, vendor_picodollars=500_000_000_000),
        ),
        (SUMS | {"cost": 0.01, "is_byok": True}, TokenUsage(100, 20, vendor_picodollars=10**10, is_fee=True)),
        (
            SUMS | {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
            TokenUsage(100, 20, vendor_picodollars=0, is_fee=True),
        ),
        (
            SUMS
            | {
                "cost": 0.01,
                "is_byok": True,
                "cost_details": {
                    "upstream_inference_cost": None,
                    "upstream_inference_prompt_cost": 0.01,
                    "upstream_inference_completions_cost": 0.02,
                },
            },
            TokenUsage(100, 20, vendor_picodollars=4 * 10**10),
        ),
        (
            {"prompt_tokens": "100", "completion_tokens": 20, "cost": "0.002"},
            TokenUsage(100, 20, vendor_picodollars=2 * 10**9),
        ),
        ({"prompt_tokens": 0, "input_tokens": 100, "output_tokens": 20}, TokenUsage(100, 20)),
        (SUMS | {"cost": -1, "cost_in_usd_ticks": float("nan")}, TokenUsage(100, 20)),
        ({"cost": 1.0}, TokenUsage(vendor_picodollars=10**12, is_part=True)),
        *(
            (
                SUMS | {"cost": 0.01, "is_byok": flag, "cost_details": {"upstream_inference_cost": upstream}},
                TokenUsage(100, 20, vendor_picodollars=picodollars),
            )
            for flag, upstream, picodollars in (
                ("true", 0.005, 15 * 10**9),
                (1, 0.005, 15 * 10**9),
                (False, 0.03, 3 * 10**10),
                ("0", 0.03, 3 * 10**10),
                ("?", 0.03, 4 * 10**10),
            )
        ),
        (
            SUMS | {"cost": {"request_cost": 0.012, "output_tokens_cost": 0.001, "total_cost": 0.013}},
            TokenUsage(100, 20, vendor_picodollars=13 * 10**9),
        ),
        (
            SUMS | {"cost": {"request_cost": 0.012, "output_tokens_cost": "0.001", "context": "low"}},
            TokenUsage(100, 20, vendor_picodollars=13 * 10**9),
        ),
        (SUMS | {"cost": {"context": "low"}}, TokenUsage(100, 20)),
    ],
    ids=[
        *("OpenAI", "OpenAI, all kinds", "xAI", "Gemini", "no total", "DeepSeek", "Moonshot", "Anthropic"),
        *("LiteLLM", "beside: too many", "beside: the total", "beside: nobody says", "OpenRouter"),
        *("OpenRouter, free", "OpenRouter, own key", "OpenRouter, not own key", "xAI, ticks"),
        *("two reports", "a fee alone", "no cost of the own key's", "its cost in parts", "texts"),
        *("two names", "impossible costs", "a cost alone", "own key, a text", "own key, a number"),
        *("dearer, though not own key", "not own key, a text", "own key, a riddle"),
        *("Perplexity", "parts without a total", "no sum"),
    ],
)
def test_each_vendor_is_understood(usage: dict[str, Any], expected: TokenUsage) -> None:
    """Cached and thought tokens are parts of the sums, wherever the vendor counts them; costs are exact."""
    assert billed({"usage": usage}) == expected


@pytest.mark.parametrize(
    "usage", [None, [], "12", {}, {"prompt_tokens": 0}, {"cost": 0}, {"prompt_tokens": True}]
)
def test_what_says_nothing_is_no_bill(usage: object) -> None:
    """The reservation is billed instead: no answer is made of no tokens."""
    assert billed({"usage": usage}) is None


def test_the_service_tier_is_read_from_either_place() -> None:
    """OpenAI says it of the reply, Anthropic of the usage."""
    replies = [{"usage": SUMS, "service_tier": "flex"}, {"usage": SUMS | {"service_tier": "priority"}}]
    usages = [billed(reply) for reply in replies]
    assert [usage and usage.service_tier for usage in usages] == ["flex", "priority"]


NAMES = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "prompt_cache_hit_tokens", "cost"),
    *("reasoning_tokens", "prompt_tokens_details", "completion_tokens_details", "cost_in_usd_ticks"),
    *("cost_details", "upstream_inference_cost", "cache_write_tokens", "is_byok"),
)
ODD = st.sampled_from([10**400, True, None, "7", []])
USAGE = st.recursive(
    st.integers(-5, 10**6) | st.floats() | ODD,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=8),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES), USAGE))
def test_whatever_comes_is_read_and_its_parts_are_parts(usage: dict[str, Any]) -> None:
    """Nothing raises; kinds are never more than what they are kinds of, and no sum is below a vendor's."""
    bill = billed({"usage": usage})
    if bill is None:
        return
    assert bill.possible
    total = usage.get("total_tokens")
    if isinstance(total, int) and not isinstance(total, bool):
        assert bill.total >= min(total, 10**15)
