"""``--dry-run``: what a search, or a suite of them, would do at most, before it does anything."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ...evaluator.scoring import Score
from ...prompts.requests import Outcome
from ...prompts.template import MAX_CHARACTERS, SLOT, Template
from ..climb.climb import MAX_FROM_FILE
from ..climb.conversation import MAX_ANSWER_CHARACTERS
from ..climb.memory import Memory
from ..climb.methods import Heard, Propose, View, method_named
from ..climb.scored import Scored
from ..config.fields import DEFAULT_BASE_URL, EndpointConfig
from ..config.known_methods import KNOWN_METHODS
from ..config.schema import SearchConfig
from ..errors import TokenUsage
from ..llm.price_table import priced
from ..llm.types import ChatRequest
from ..llm.usage import Price
from ..position import Position
from ..rates import PICODOLLARS
from ..search.inputs import read_pool
from .output import print_json, print_text

T = TypeVar("T", int, float)

LONGEST_WORD = 12
LONGEST_LINE = 100
CHARACTERS_A_TOKEN = 4


def print_plan(config: SearchConfig, *, as_json: bool) -> int:
    """Print the plan.

    Raises:
        ConfigError: The initial templates cannot be used.
    """
    return print_bounds(shape(config), plan(config), as_json=as_json)


def shape(config: SearchConfig) -> str:
    """Return what a search consists of, for people."""
    return f"{config.restarts} restarts x {config.resets} resets x {config.iterations} iterations"


def print_bounds(heading: str, found: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the most that will be done, under a heading where it is for people."""
    if as_json:
        print_json(found)
        return 0
    idle = () if found["calls"] else ("calls", "tokens", "cost_usd")
    shown = {name: value for name, value in found.items() if value is not None and name not in idle}
    lines = [heading, *(f"at most {_said(name, value)}" for name, value in shown.items())]
    if found["calls"]:
        lines.append("failed attempts that the endpoint bills come on top, within --max-calls and its kin")
    print_text("\n".join(lines) + "\n")
    return 0


def plan(config: SearchConfig) -> dict[str, Any]:
    """Return the most that a search does: ``calls``, ``tokens``, ``cost_usd``, ``evaluations``, ``minutes``.

    Tokens are bounded by the longest templates allowed, the longest answers and full conversations; a limit
    that was set bounds them too. Minutes are those that the rate limits alone enforce; None where there are
    none.
    """
    pool = read_pool(config)
    wanted = config.initial if isinstance(config.initial, int) else MAX_FROM_FILE
    initial = config.restarts * min(wanted, len(pool))
    asks = config.needs_llm
    calls = _least(config.all_iterations * KNOWN_METHODS[config.method].requests, config.max_calls)
    tokens = _least(calls * _tokens_a_call(config) if asks else 0, config.max_tokens)
    return {
        "calls": calls,
        "tokens": tokens,
        "cost_usd": _cost(config, calls, tokens) if asks else 0.0,
        "evaluations": initial + config.proposals * (calls if asks else config.all_iterations),
        "minutes": _minutes(config, calls, tokens),
    }


def plan_of_suite(configs: Sequence[SearchConfig]) -> dict[str, Any]:
    """Return the most that several searches do, one after another, within limits over all of them.

    Args:
        configs: Of every search; the limits are the same in each.

    Returns:
        As ``plan``, with the number of ``searches``; from their beginning, whatever is done already.
    """
    plans = [plan(config) for config in configs]
    limits = configs[0]
    calls = sum(one["calls"] for one in plans)
    most = _least(calls, limits.max_calls)
    # Each plan scores what its own calls propose, and some of those will not be made.
    evaluations = sum(one["evaluations"] for one in plans) - limits.proposals * (calls - most)
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


def _tokens_a_call(config: SearchConfig) -> int:
    """Return the longest request of a conversation and the longest answer to it: the method speaks."""
    steps = method_named(config.method).reset(_longest_view(config))
    line = Outcome("x" * LONGEST_LINE, reason="x" * LONGEST_LINE)
    heard = Heard(
        text="x" * min(MAX_ANSWER_CHARACTERS, CHARACTERS_A_TOKEN * config.answer_tokens),
        outcomes=[line] * (3 * config.proposals),
    )
    most, step = 0, next(steps)
    for _ in range(min(config.max_turns, config.iterations)):
        if isinstance(step, Propose):
            break
        request = ChatRequest(
            messages=tuple(step.messages), model=config.llm or "", max_tokens=config.answer_tokens
        )
        most = max(most, request.tokens_at_most)
        try:
            step = steps.send(heard)
        except StopIteration:
            break
    return most


def _longest_view(config: SearchConfig) -> View:
    """Return a climb whose templates are all as long as they may be."""
    memory = Memory()
    words = min(config.max_words, MAX_CHARACTERS // (LONGEST_WORD + 1))
    for number in range(2 * config.top_k):
        text = " ".join([f"{number:0{LONGEST_WORD}d}"] * (words - 1) + [SLOT])
        template = Template.parse(text, max_words=None)
        memory.add(Scored(template=template, score=Score(train=0.5), value=0.5, position=Position(1)))
    return View(
        memory=memory,
        pool=(),
        proposals=config.proposals,
        top_k=config.top_k,
        max_words=config.max_words,
        max_turns=config.max_turns,
        rng=random.Random,
    )


def _cost(config: SearchConfig, calls: int, tokens: int) -> float | None:
    asked = config.endpoints or (EndpointConfig(base_url=config.base_url or DEFAULT_BASE_URL),)
    prices = [
        priced(one.price or config.price, one.base_url, one.model or config.llm or "")[0] for one in asked
    ]
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    answers = min(tokens, calls * config.answer_tokens)
    longest = max(_tokens_a_call(config) - config.answer_tokens, 1)
    worst = max(_most(price, calls, tokens - answers, answers, longest=longest) for price in known)
    return round(_least(worst / PICODOLLARS, config.max_cost), 6)


def _most(price: Price, calls: int, prompt: int, answers: int, *, longest: int) -> float:
    """Return what calls cost at most in picodollars, at what is asked of the longest of them."""
    call = price.most(TokenUsage())
    with_prompt = price.most(TokenUsage(longest))
    a_prompt_token = (with_prompt - call) / longest
    an_answer_token = price.most(TokenUsage(longest, 1)) - with_prompt
    return calls * call + prompt * a_prompt_token + answers * an_answer_token


def _minutes(config: SearchConfig, calls: int, tokens: int) -> float | None:
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
