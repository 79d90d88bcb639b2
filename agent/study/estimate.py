"""Upper bounds on what a search or a study takes: requests, tokens, dollars and templates scored.

The longest request is taken from the method itself: it is run on templates, class names and answers that are
all as long as they may be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from ...evaluator.scoring import MOST_CONFUSED, Confusion, Score
from ...prompts.requests import Outcome
from ...prompts.telling import BEST_SHOWN, MOST_NAMES
from ...prompts.template import MAX_CHARACTERS, SLOT, Template
from ..config.fields import DEFAULT_BASE_URL, EndpointConfig
from ..config.known_methods import KNOWN_METHODS
from ..config.reading import Style, style_of
from ..config.schema import SearchConfig
from ..llm.member import MORE_TOKENS
from ..llm.price_table import priced
from ..llm.types import ChatRequest
from ..position import Position
from ..rates import PICODOLLARS
from ..search.conversation import MAX_ANSWER_CHARACTERS
from ..search.inputs import read_pool, read_wordings
from ..search.memory import Memory
from ..search.methods import Ask, Feedback, Propose, View, method_named
from ..search.methods.in_frames import most_scored_aside
from ..search.scored import Scored
from ..token_usage import TokenUsage

Number = TypeVar("Number", int, float)
Estimate: TypeAlias = dict[str, Any]
"""``calls``, ``tokens``, ``cost_usd`` (None: unknown) and ``evaluations`` at most; ``minutes`` that the rate
limits take for so many (None: no limits)."""
LONGEST_NAME = 50
"""Characters of a class name while the data are not read. The longest of CoOp's eleven sets has 45."""
LONGEST_LINE = 120
"""Characters of a refused line, and of the reason, in a request."""
WIDE = "\u754c"
"""Stands for every letter where the user's own texts are not ASCII: such a letter may take three tokens."""


def estimate(config: SearchConfig, class_names: Sequence[str] | None = None) -> Estimate:
    """Return the most that a search takes, within its limits: every request is taken to be the longest one.

    Args:
        config: The search; its class names are assumed to be long where the data are not read yet.
        class_names: Those of the data.

    Raises:
        ConfigError: The starting templates or the wordings cannot be used.
    """
    pool = [template.text for template in read_pool(config)]
    calls = tokens = 0
    cost: float | None = 0.0
    if config.needs_llm:
        calls = _least(config.all_rounds * KNOWN_METHODS[config.method].requests, config.max_calls)
        each = TokenUsage(longest_request(config, class_names, pool), MORE_TOKENS * config.answer_tokens)
        tokens = _least(calls * each.total, config.max_tokens)
        cost = cost_of(config, each)
        cost = None if cost is None else round(_least(calls * cost, config.max_cost), 6)
    # A limit on requests bounds the rounds too, where each makes one.
    rounds = calls if _only_asks(config) else config.all_rounds
    initial = config.restarts * min(config.most_initial, len(pool))
    return {
        "calls": calls,
        "tokens": tokens,
        "cost_usd": cost,
        "evaluations": initial + config.proposals * rounds + most_scored_aside(config),
        "minutes": _minutes(config, calls, tokens),
    }


def estimate_of_all(configs: Sequence[SearchConfig], each: Sequence[Estimate]) -> Estimate:
    """Return the most that searches take one after another, within limits over all of them.

    Args:
        configs: Of every search, each with the limits over all.
        each: The estimate of each search.
    """
    limits = configs[0]
    most = _least(sum(one["calls"] for one in each), limits.max_calls)
    # Requests that the limit over all leaves out propose nothing.
    asking = sum(one["calls"] for one, config in zip(each, configs, strict=True) if _only_asks(config))
    unmade = max(asking - most, 0) * min(one.proposals for one in configs)
    costs = [one["cost_usd"] for one in each]
    minutes = [one["minutes"] for one in each if one["minutes"] is not None]
    return {
        "searches": len(each),
        "calls": most,
        "tokens": _least(sum(one["tokens"] for one in each), limits.max_tokens),
        "cost_usd": None if None in costs else round(_least(sum(costs), limits.max_cost), 6),
        "evaluations": sum(one["evaluations"] for one in each) - unmade,
        "minutes": round(_least(sum(minutes), limits.max_minutes), 2) if minutes else None,
    }


def longest_request(
    config: SearchConfig, class_names: Sequence[str] | None = None, pool: Sequence[str] = ()
) -> int:
    """Return the most tokens that a request's messages have.

    Arguments as of ``estimate``; ``pool`` is what starting templates are drawn from.
    """
    letter = "x" if all(map(str.isascii, [config.description, *(class_names or ()), *pool])) else WIDE
    names = class_names or [f"{number:{letter}>{LONGEST_NAME}d}" for number in range(MOST_NAMES)]
    style = config.style or style_of(config.llm)
    # Where the LLM's name does not tell the style, its answers decide.
    styles: tuple[Style, ...] = ("rich", "short") if style is None else (style,)
    found = [0]
    for each in styles:
        view = _longest_view(config, each, names, letter)
        for _ in range(min(config.conversations, 2)):  # the second of a restart may begin differently
            found += _requests(config, view, letter)
    return max(found)


def _requests(config: SearchConfig, view: View, letter: str) -> Iterator[int]:
    """Yield the tokens of a conversation's requests until they stop growing."""
    scored = Outcome(_longest_template(0, letter), score=0.5)
    refused = Outcome(letter * LONGEST_LINE, reason=letter * LONGEST_LINE)
    feedback = Feedback(
        text=letter * MAX_ANSWER_CHARACTERS,
        outcomes=[*[scored] * config.proposals, *[refused] * (2 * config.proposals)],
        best_before=0.25,
    )
    rounds, asked = min(config.max_turns, config.rounds), 0
    steps = method_named(config.method).conversation(view)
    step = next(steps, None)
    # Some rounds of a method may ask nobody.
    for _ in range((1 + KNOWN_METHODS[config.method].requests) * rounds):
        if step is None or asked == rounds:
            return
        if not isinstance(step, Propose):
            yield ChatRequest(messages=tuple(step.messages), model="").prompt_tokens_at_most
            asked += isinstance(step, Ask)
        try:
            step = steps.send(feedback)
        except StopIteration:
            return


def _longest_view(config: SearchConfig, style: Style, names: Sequence[str], letter: str) -> View:
    wordings = read_wordings(config)
    longest = sorted(names, key=len)[-2:]
    memory = Memory()
    for number in range(2 * max(config.top_k, BEST_SHOWN)):
        template = Template.parse(_longest_template(number, letter), max_words=None)
        confused = (Confusion(longest[0], longest[-1], 1),) * MOST_CONFUSED
        # No two scores are equal: templates as good as the best are not listed among the worst.
        score = Score(train=0.5 - number / 10_000, confused=confused)
        memory.add(Scored(template=template, score=score, value=score.train, position=Position(1)))
    return View(
        memory=memory,
        pool=(),
        proposals=config.proposals,
        top_k=config.top_k,
        max_words=config.max_words,
        max_turns=config.max_turns,
        rng=random.Random,
        description=config.description,
        class_names=() if config.blind else tuple(names),
        style=style,
        wordings=replace(wordings, angles=(max(wordings.angles, key=len),)),
        objective=config.objective,
    )


def _longest_template(number: int, letter: str) -> str:
    return f"{SLOT} {number}".ljust(MAX_CHARACTERS, letter)


def _only_asks(config: SearchConfig) -> bool:
    return config.needs_llm and not KNOWN_METHODS[config.method].combines


def cost_of(config: SearchConfig, tokens: TokenUsage) -> float | None:
    """Return the most dollars that one request costs, whichever endpoint is asked; None if unknown."""
    if config.is_local:
        return 0.0
    worst = 0
    for one in config.endpoints or (EndpointConfig(base_url=config.base_url or DEFAULT_BASE_URL),):
        tier = one.service_tier or config.service_tier
        price, _ = priced(one.price or config.price, one.base_url, one.model or config.llm or "", tier)
        if price is None:
            return None
        worst = max(worst, price.most(tokens))
    return worst / PICODOLLARS


def _minutes(config: SearchConfig, calls: int, tokens: int) -> float | None:
    found = [amount / limit for amount, limit in ((calls, config.rpm), (tokens, config.tpm)) if limit]
    return round(_least(max(found), config.max_minutes), 2) if found else config.max_minutes


def _least(value: Number, limit: Number | None) -> Number:
    return value if limit is None else min(value, limit)
