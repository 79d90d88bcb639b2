"""Upper bounds on the requests, tokens, dollars and scored templates of a search or a study.

The method builds its own longest requests, from the longest templates, class names and answers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ...evaluator.scoring import (
    LONGEST_UNREADABLE,
    MOST_CONFUSED,
    MOST_UNREADABLE,
    Confusion,
    Score,
)
from ...prompts.class_names import (
    MAX_NAME_CHARACTERS,
    MOST_CLASSES,
    MOST_TRIED_SHOWN,
    ClassRecord,
    rich_request,
    short_name_request,
)
from ...prompts.kinds import Candidate, PromptKind, kind_named
from ...prompts.requests import BEST_SHOWN, MOST_NAMES, Outcome
from ...prompts.template import MAX_CHARACTERS
from ..config.fields import Style
from ..config.schema import SearchConfig
from ..llm.chat import ChatRequest
from ..llm.pool import MORE_TOKENS
from ..llm.price_table import find_price
from ..methods.base import MAX_ANSWER_CHARACTERS, Ask, Feedback, Propose, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import Position
from ..prices import PICODOLLARS, Tariff, TokenUsage
from ..search.inputs import read_pool, read_wordings
from ..search.name_rounds import MOST_TAKEN_FOR

Number = TypeVar("Number", int, float)
LONGEST_NAME = 50
"""Characters of a class name before the data are read. The longest of CoOp's eleven sets has 45."""
LONGEST_LINE = 120
"""Characters of a refused line, and of its reason."""
MOST_PICTURES = 999_999
"""Pictures that an estimate in a request is from."""
CHARACTERS_A_TOKEN = 4
WIDE = "\u754c"
"""Stands for each letter of user texts that are not ASCII: it may take three tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that one search or several take.

    Attributes:
        cost_usd: None if a price is unknown.
        evaluations: Scored candidates.
        minutes: By the rate limits; None without.
    """

    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    evaluations: int = 0
    minutes: float | None = None

    @classmethod
    def of_several(cls, bounds: Sequence[Bound]) -> Bound:
        """Return the sum."""
        costs, minutes = [one.cost_usd for one in bounds], [one.minutes for one in bounds]
        known, timed = [one for one in costs if one is not None], [one for one in minutes if one is not None]
        return cls(
            calls=sum(one.calls for one in bounds),
            tokens=sum(one.tokens for one in bounds),
            cost_usd=None if None in costs else round(sum(known), 6),
            evaluations=sum(one.evaluations for one in bounds),
            minutes=round(sum(timed), 2) if timed else None,
        )


def estimate(config: SearchConfig, class_names: Sequence[str] | None = None) -> Bound:
    """Return the most that a search takes within its limits: requests and answers are as long as possible.

    Without ``class_names`` (data not read yet), long ones are assumed.
    """
    pool = [template.text for template in read_pool(config)]
    calls = tokens = 0
    cost: float | None = 0.0
    if config.needs_llm:
        calls = _least(config.all_rounds * METHODS[config.method].requests, config.max_calls)
        answer = MORE_TOKENS * config.answer_tokens
        each = [TokenUsage()]
        if METHODS[config.method].asks_llm:
            each = [TokenUsage(prompt, answer) for prompt in longest_requests(config, class_names, pool)]
        prices = prices_of(config)
        costs = [known for one in each if (known := cost_of(prices, one)) is not None]
        dollars = _over_rounds(config, calls, costs) if costs else None
        tokens = int(_over_rounds(config, calls, [one.total for one in each]))
        names, prompt = _name_requests(config, class_names)
        names = _least(calls + names, config.max_calls) - calls
        calls += names
        tokens = _least(tokens + names * (prompt + answer), config.max_tokens)
        of_names = cost_of(prices, TokenUsage(prompt, answer))
        if dollars is not None and of_names is not None:
            cost = round(_least(dollars + names * of_names, config.max_cost), 6)
        else:
            cost = None
    return Bound(
        calls=calls,
        tokens=tokens,
        cost_usd=cost,
        evaluations=MostScored.of(config, len(pool)).total(config),
        minutes=_minutes(config, calls, tokens),
    )


@dataclass(frozen=True, slots=True)
class MostScored:
    """The most candidates that a search scores, by what proposes them.

    Attributes:
        pool: Those that a restart may draw its starting ones from.
        rounds: Rounds, each with ``config.proposals``.
    """

    pool: int
    rounds: int
    free: int

    @classmethod
    def of(cls, config: SearchConfig, pool: int) -> MostScored:
        """Return those of a config, within its limit on requests to the LLM."""
        method, rounds = METHODS[config.method], config.all_rounds
        if config.needs_llm and _only_asks(config):
            rounds = _least(rounds, config.max_calls)  # each makes a request
        free = config.restarts * method.free_per_restart + config.all_rounds * method.free_per_round
        return cls(pool, rounds, free if config.description and not config.asks_by_image else 0)

    def total(self, config: SearchConfig) -> int:
        starting = config.restarts * min(config.most_initial, self.pool)
        return starting + config.proposals * self.rounds + self.free


def _over_rounds(config: SearchConfig, calls: int, values: Sequence[float]) -> float:
    """Return the sum over all requests: of a conversation's first ones, and the most for each later one."""
    later = config.rounds * METHODS[config.method].requests - len(values)
    conversation = sum(values) + max(later, 0) * max(values)
    return min(config.restarts * config.conversations * conversation, calls * max(values))


def estimate_of_all(configs: Sequence[SearchConfig], each: Sequence[Bound]) -> Bound:
    """Return the most that searches take together, within the shared limits, which each config has."""
    limits, total = configs[0], Bound.of_several(each)
    calls = _least(total.calls, limits.max_calls)
    # Requests beyond the shared limit propose nothing.
    asking = sum(one.calls for one, config in zip(each, configs, strict=True) if _only_asks(config))
    unmade = max(asking - calls, 0) * min(one.proposals for one in configs)
    return Bound(
        calls=calls,
        tokens=_least(total.tokens, limits.max_tokens),
        cost_usd=None if total.cost_usd is None else _least(total.cost_usd, limits.max_cost),
        evaluations=total.evaluations - unmade,
        minutes=None if total.minutes is None else _least(total.minutes, limits.max_minutes),
    )


def longest_requests(
    config: SearchConfig, class_names: Sequence[str] | None = None, pool: Sequence[str] = ()
) -> list[int]:
    """Return the most tokens of each request in a conversation, until they stop growing."""
    letter = "x" if all(map(str.isascii, [config.description, *(class_names or ()), *pool])) else WIDE
    names = class_names or [f"{number:{letter}>{LONGEST_NAME}d}" for number in range(MOST_NAMES)]
    style = config.request_style
    # Where the LLM's name does not decide the style, its answers do.
    styles: tuple[Style, ...] = ("rich", "short") if style is None else (style,)
    views = [_longest_view(config, each, names, letter) for each in styles]
    twice = range(min(config.conversations, 2))  # the second conversation of a restart may begin differently
    conversations = [list(_requests(config, view, letter)) for view in views for _ in twice]
    return [max(alike) for alike in itertools.zip_longest(*conversations, fillvalue=0)] or [0]


def _requests(config: SearchConfig, view: View, letter: str) -> Iterator[int]:
    scored = Outcome(_longest(view.kind, 0, letter).text, score=0.5, pictures=_pictures(config))
    refused = Outcome(letter * LONGEST_LINE, reason=letter * LONGEST_LINE)
    feedback = Feedback(
        # A conversation repeats less of an answer; what else a method does with it is its own.
        text=letter * max(MAX_ANSWER_CHARACTERS, CHARACTERS_A_TOKEN * MORE_TOKENS * config.answer_tokens),
        outcomes=[*[scored] * config.proposals, *[refused] * (2 * config.proposals)],
        best_before=0.25,
    )
    rounds, asked = min(config.max_turns, config.rounds), 0
    steps = METHODS[config.method].conversation(view)
    step = next(steps, None)
    # Some rounds of a method may ask nobody.
    for _ in range((1 + METHODS[config.method].requests) * rounds):
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
    wordings, kind = read_wordings(config), kind_named(config.search_for)
    longest = sorted(names, key=len)[-2:]
    memory = Memory()
    for number in range(2 * max(config.top_k, BEST_SHOWN)):
        candidate = _longest(kind, number, letter)
        confused = (Confusion(longest[0], longest[-1], 1),) * MOST_CONFUSED
        # No two scores are equal: templates as good as the best are not listed among the worst.
        score = Score(
            train=0.5 - number / 10_000,
            confused=confused,
            images=_pictures(config),
            unreadable=0.5,
            unreadable_examples=(letter * LONGEST_UNREADABLE,) * MOST_UNREADABLE,
        )
        memory.add(Entry(candidate=candidate, score=score, value=score.train, position=Position(1)))
    return View(
        memory=memory,
        pool=(),
        proposals=config.proposals,
        top_k=config.top_k,
        max_words=config.most_words,
        max_turns=config.max_turns,
        rng=random.Random,
        description=config.description,
        class_names=() if config.blind else tuple(names),
        style=style,
        wordings=replace(wordings, angles=(max(wordings.angles, key=len),)),
        objective=config.objective,
        kind=kind,
    )


def _pictures(config: SearchConfig) -> int | None:
    """Return of how many pictures requests speak where a race may drop candidates; None if none can."""
    may_race = config.racing == "auto" and (
        config.scorer not in ("clip", "embeddings") or config.custom_scorer
    )
    return MOST_PICTURES if may_race else None


def _longest(kind: PromptKind, number: int, letter: str) -> Candidate:
    return kind.parse(f"{kind.slot} {number}".ljust(kind.most_characters, letter), max_words=None)


def _name_requests(config: SearchConfig, class_names: Sequence[str] | None) -> tuple[int, int]:
    """Return the requests of the search for class names, and the tokens of the longest one."""
    if not config.searches_names or config.llm is None:
        return 0, 0
    names = class_names or ["x" * LONGEST_NAME] * MOST_CLASSES
    longest = max(names, key=lambda one: len(one.encode()))
    letter = "x" if all(map(str.isascii, [config.description, *names])) else WIDE
    if config.request_style == "short":
        each, messages = min(len(names), MOST_CLASSES), short_name_request(longest)
    else:
        tried = [(letter * MAX_NAME_CHARACTERS, 0, 0)] * MOST_TRIED_SHOWN
        record = ClassRecord(
            name=longest,
            current=tried[0][0],
            images=1000,
            before=1000,
            right=1000,
            taken_for=[(longest, 1000)] * MOST_TAKEN_FOR,
            tried=tried,
        )
        shown = [record] * min(len(names), MOST_CLASSES)
        each = 1
        messages = rich_request(letter * MAX_CHARACTERS, names, shown, description=config.description)
    request = ChatRequest(messages=tuple(messages), model="")
    return config.name_rounds * each, request.prompt_tokens_at_most


def _only_asks(config: SearchConfig) -> bool:
    return METHODS[config.method].asks_llm and not METHODS[config.method].mixed


def prices_of(config: SearchConfig) -> list[Tariff | None]:
    """Return the price of each endpoint, None where it is unknown; none at all for a local LLM."""
    if config.is_local:
        return []
    return [
        find_price(
            one.price or config.price,
            one.base_url,
            one.model or config.llm or "",
            one.service_tier or config.service_tier,
        )
        for one in config.all_endpoints
    ]


def cost_of(prices: Sequence[Tariff | None], tokens: TokenUsage) -> float | None:
    """Return the most dollars that one request costs, whichever endpoint is asked; None if unknown."""
    known = [price.most(tokens) for price in prices if price is not None]
    return max(known, default=0) / PICODOLLARS if len(known) == len(prices) else None


def _minutes(config: SearchConfig, calls: int, tokens: int) -> float | None:
    found = [amount / limit for amount, limit in ((calls, config.rpm), (tokens, config.tpm)) if limit]
    return round(_least(max(found), config.max_minutes), 2) if found else config.max_minutes


def _least(value: Number, limit: Number | None) -> Number:
    return value if limit is None else min(value, limit)
