"""What a search takes as a rule, beside what it takes at most: from typical requests and a measured speed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ...evaluator.scoring import Confusion, Score
from ...prompts.requests import BEST_SHOWN, Outcome
from ..config.llm_name import style_of
from ..config.schema import SearchConfig
from ..llm.types import ChatRequest
from ..methods.base import Feedback, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import Position
from ..rates import PICODOLLARS
from ..search.inputs import read_pool, read_wordings
from ..token_usage import TokenUsage
from .longest import CHARACTERS_A_TOKEN, requests_of
from .plan import iterated, pace_minutes, prices_of
from .rehearsal import Rehearsed

CHARACTERS_A_PROPOSAL = 38
"""Of a line of an answer, on average over the 204 recorded ones of a strong model
(``benchmarks/recorded/strong.jsonl``: 380.6 characters for ten)."""
TOKENS_A_MESSAGE = 4
SECONDS_A_MINUTE = 60


def expected(config: SearchConfig, bounds: Mapping[str, Any], found: Rehearsed) -> dict[str, Any]:
    """Return what a search takes as a rule: ``tokens``, ``cost_usd``, ``minutes``, ``seconds_a_template``.

    Every round is taken to make its request, as long as the templates of the pool and the class names
    of the data make it, and to be answered by as many lines as are asked for. Minutes are those of scoring,
    or of the rate limits where those take longer; how long the LLM takes is not known before it is asked.

    Args:
        config: What is to be searched.
        bounds: What that takes at most; see ``plan``.
        found: Data and model, opened.
    """
    calls = bounds["calls"]
    prompt = answer = 0
    if calls:
        requests = typical_requests(config, found.info.class_names)
        prompt = iterated(config, requests) // max(config.all_rounds, 1)
        answer = config.proposals * CHARACTERS_A_PROPOSAL // CHARACTERS_A_TOKEN
    tokens = min(calls * (prompt + answer), bounds["tokens"])
    cost = _cost(config, TokenUsage(prompt_tokens=prompt, completion_tokens=answer), calls)
    scoring = None if found.seconds is None else found.seconds * bounds["evaluations"] / SECONDS_A_MINUTE
    minutes = [value for value in (scoring, pace_minutes(config, calls, tokens)) if value is not None]
    return {
        "tokens": tokens,
        "cost_usd": cost if None in (cost, bounds["cost_usd"]) else min(cost, bounds["cost_usd"]),
        "minutes": round(max(minutes), 2) if minutes else None,
        "seconds_a_template": None if found.seconds is None else round(found.seconds, 6),
    }


def usually(bounds: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return what is to be expected of a search, or of several together, as a line.

    Args:
        bounds: What is done at most.
        usual: As ``expected`` returns it; of several, ``seconds_a_template`` is the least and the most.
    """
    parts = []
    if bounds["calls"]:
        parts.append(f"{usual['tokens']:,} tokens if every call is made")
        if usual["cost_usd"]:
            parts.append(f"${usual['cost_usd']:.4f}")
    if usual["minutes"] is not None:
        minutes = usual["minutes"]
        parts.append("a few seconds" if minutes < 0.1 else f"{minutes:,.1f} minutes")
    if (seconds := usual["seconds_a_template"]) is None:
        parts.append("the black box's own time (it scored nothing now)")
    else:
        speeds = dict.fromkeys(f"{1000 * one:,.1f}" for one in _speeds(seconds))
        parts.append(f"at {' to '.join(speeds)} ms a template, as measured on this machine")
    asked = "the LLM's own time and " if bounds["calls"] else ""
    comes = "come" if asked else "comes"
    return f"expected: {', '.join(parts)}; {asked}{_starting(bounds)} {comes} on top\n"


def _starting(bounds: Mapping[str, Any]) -> str:
    """Return what each search needs beside its scores: loading the program, data and model."""
    return "the start of each search" if "searches" in bounds else "the start"


def _speeds(seconds: float | Mapping[str, float]) -> list[float]:
    return list(seconds.values()) if isinstance(seconds, Mapping) else [seconds]


def _cost(config: SearchConfig, usage: TokenUsage, calls: int) -> float | None:
    """Return the dollars that so many calls of this size cost where they cost most."""
    if not calls:
        return 0.0
    if (prices := prices_of(config)) is None:
        return None
    return round(calls * max(price.most(usage) for price in prices) / PICODOLLARS, 6)


def typical_requests(config: SearchConfig, class_names: tuple[str, ...]) -> list[int]:
    """Return the tokens of a conversation's requests, in a restart that has scored starting templates."""
    proposals = [template.text for template in read_pool(config)[: config.proposals]]
    feedback = Feedback(
        text="".join(f"- {text}\n" for text in proposals),
        outcomes=[Outcome(text, score=0.5) for text in proposals],
        best_before=0.4,
    )
    steps = METHODS[config.method].conversation(_view(config, class_names))
    return [_tokens(request) for request in requests_of(config, steps, feedback)]


def _tokens(request: ChatRequest) -> int:
    characters = sum(len(str(message["content"])) for message in request.messages)
    return characters // CHARACTERS_A_TOKEN + TOKENS_A_MESSAGE * len(request.messages)


def _view(config: SearchConfig, class_names: tuple[str, ...]) -> View:
    pool = read_pool(config)
    memory = Memory()
    confused = (Confusion(class_names[0], class_names[-1], 1),) if class_names else ()
    for number, template in enumerate(pool[: 2 * max(config.top_k, BEST_SHOWN)]):
        score = Score(train=0.5 - number / 1000, confused=confused)
        memory.add(Entry(candidate=template, score=score, value=score.train, position=Position(1)))
    return View(
        memory=memory,
        pool=pool,
        proposals=config.proposals,
        top_k=config.top_k,
        max_words=config.max_words,
        max_turns=config.max_turns,
        rng=lambda: random.Random(0),
        # With a description a method may make templates itself; what it asks is of interest here.
        description=config.description,
        class_names=() if config.blind else class_names,
        style=config.style or style_of(config.llm) or "rich",
        wordings=read_wordings(config),
        objective=config.objective,
    )
