"""What a search, or a suite of them, would do at most, before it does anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..config.fields import DEFAULT_BASE_URL, EndpointConfig
from ..config.schema import SearchConfig
from ..llm.cost import Tariff, find_price
from ..llm.pool import MORE_TOKENS
from ..methods.registry import METHODS
from ..rates import PICODOLLARS, TokenUsage
from ..search.inputs import read_pool
from .longest import longest_requests
from .output import print_json, print_text

T = TypeVar("T", int, float)


def shape(config: SearchConfig) -> str:
    """Return what a search consists of, for people."""
    return f"{config.restarts} restarts x {config.conversations} conversations x {config.rounds} rounds"


def print_bounds(heading: str, found: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the most that will be done, under a heading where it is for people."""
    if as_json:
        print_json(found)
        return 0
    idle = () if found["calls"] else ("calls", "tokens", "cost_usd")
    shown = {name: value for name, value in found.items() if value is not None and name not in idle}
    lines = [heading, *(f"at most {_said(name, value)}" for name, value in shown.items())]
    if found["calls"]:
        lines += [
            f"answers count {MORE_TOKENS} times --answer-tokens, as is asked for where thinking takes all",
            "failed attempts that the endpoint bills come on top, within --max-calls and its kin",
        ]
    print_text("\n".join(lines) + "\n")
    return 0


def plan(config: SearchConfig) -> dict[str, Any]:
    """Return the most that a search does: ``calls``, ``tokens``, ``cost_usd``, ``evaluations``, ``minutes``.

    Tokens are bounded by long templates, the longest answers and a request in every round (see
    ``longest_requests``); a limit that was set bounds them too. Minutes are those that the rate limits alone
    enforce; None where there are none.

    Raises:
        ConfigError: The initial templates or the wordings cannot be used.
    """
    pool = read_pool(config)
    initial = config.restarts * min(config.most_initial, len(pool))
    asks = config.needs_llm
    calls = _least(config.all_rounds * METHODS[config.method].requests, config.max_calls)
    requests = longest_requests(config) if asks else [0]
    answer = MORE_TOKENS * config.answer_tokens
    tokens = _least(_prompt_tokens(config, requests, calls) + calls * answer, config.max_tokens)
    return {
        "calls": calls,
        "tokens": tokens,
        "cost_usd": _cost(config, calls, tokens, max(requests)) if asks else 0.0,
        "evaluations": initial
        + config.proposals * (calls if _only_asks(config) else config.all_rounds)
        + _most_free(config),
        "minutes": pace_minutes(config, calls, tokens),
    }


def plan_of_suite(
    configs: Sequence[SearchConfig], plan_of: Callable[[SearchConfig], dict[str, Any]] = plan
) -> dict[str, Any]:
    """Return the most that several searches do, one after another, within limits over all of them.

    Args:
        configs: Of every search; the limits are the same in each.
        plan_of: Makes the plan of one; for who has many that are alike.

    Returns:
        As ``plan``, with the number of ``searches``; from their beginning, whatever is done already.
    """
    plans = [plan_of(config) for config in configs]
    limits = configs[0]
    calls = sum(one["calls"] for one in plans)
    most = _least(calls, limits.max_calls)
    # Each of these plans scores what its own calls propose, and some of those will not be made.
    bound = sum(one["calls"] for one, config in zip(plans, configs, strict=True) if _only_asks(config))
    evaluations = sum(one["evaluations"] for one in plans)
    evaluations -= min(one.proposals for one in configs) * max(bound - most, 0)
    costs = [one["cost_usd"] for one in plans]
    minutes = [one["minutes"] for one in plans if one["minutes"] is not None]
    return {
        "searches": len(plans),
        "calls": most,
        "tokens": _least(sum(one["tokens"] for one in plans), limits.max_tokens),
        "cost_usd": None if None in costs else round(_least(sum(costs), limits.max_cost), 6),
        "evaluations": evaluations,
        "minutes": round(_least(sum(minutes), limits.max_minutes), 2) if minutes else None,
    }


def _most_free(config: SearchConfig) -> int:
    """Return how many candidates a search may score beside those that its rounds propose."""
    method = METHODS[config.method]
    if not config.description:
        return 0
    return config.restarts * method.free_per_restart + config.all_rounds * method.free_per_round


def _only_asks(config: SearchConfig) -> bool:
    """Whether an round takes a call, so that a limit on calls bounds the rounds too."""
    return config.needs_llm and not METHODS[config.method].mixed


def _prompt_tokens(config: SearchConfig, requests: Sequence[int], calls: int) -> int:
    """Return the most tokens that the messages of all calls have; later ones are the longest."""
    return min(iterated(config, requests), calls * max(requests))


def iterated(config: SearchConfig, requests: Sequence[int]) -> int:
    """Return the sum over all rounds, where the later ones of a conversation are as the longest."""
    later = config.rounds * METHODS[config.method].requests - len(requests)
    a_conversation = sum(requests) + max(later, 0) * max(requests)
    return config.restarts * config.conversations * a_conversation


def prices_of(config: SearchConfig) -> list[Tariff] | None:
    """Return the price of every endpoint; None where one is not known."""
    asked = config.endpoints or (EndpointConfig(base_url=config.base_url or DEFAULT_BASE_URL),)
    prices = [
        find_price(
            one.price or config.price,
            one.base_url,
            one.model or config.llm or "",
            one.service_tier or config.service_tier,
        )
        for one in asked
    ]
    known = [price for price in prices if price is not None]
    return known if len(known) == len(prices) else None


def _cost(config: SearchConfig, calls: int, tokens: int, longest: int) -> float | None:
    if (known := prices_of(config)) is None:
        return None
    answers = min(tokens, calls * MORE_TOKENS * config.answer_tokens)
    worst = max(_most(price, calls, tokens - answers, answers, longest=max(longest, 1)) for price in known)
    return round(_least(worst / PICODOLLARS, config.max_cost), 6)


def _most(price: Tariff, calls: int, prompt: int, answers: int, *, longest: int) -> float:
    """Return what calls cost at most in picodollars, at what is asked of the longest of them."""
    call = price.most(TokenUsage())
    with_prompt = price.most(TokenUsage(longest))
    a_prompt_token = (with_prompt - call) / longest
    an_answer_token = price.most(TokenUsage(longest, 1)) - with_prompt
    return calls * call + prompt * a_prompt_token + answers * an_answer_token


def pace_minutes(config: SearchConfig, calls: int, tokens: int) -> float | None:
    """Return what the rate limits alone take; None where there are none."""
    limits = [(calls, config.rpm), (tokens, config.tpm)]
    found = [amount / limit for amount, limit in limits if limit]
    if not found:
        return config.max_minutes
    return round(_least(max(found), config.max_minutes), 2)


def _least(value: T, limit: T | None) -> T:
    return value if limit is None else min(value, limit)


def _said(name: str, value: float) -> str:
    said: Mapping[str, str] = {
        "cost_usd": f"${value:.4f}",
        "calls": f"{value:,} calls",
        "evaluations": f"{value:,} templates scored",
        "minutes": f"{value:,.1f} minutes at the limits given",
    }
    return said.get(name, f"{value:,} {name}")
