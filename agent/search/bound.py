"""Upper bounds for the dry run and for a scorer's limits: requests, tokens, dollars, candidates, labels.

The method builds its own longest request, from the longest templates, class names and answers. Every request
counts as that one: a bound may be loose, but is never exceeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from ...evaluator.errors import UsageError
from ...evaluator.remote.asking import ApiEvaluator
from ...evaluator.scoring import (
    BASELINE_DEFAULT,
    LONGEST_UNREADABLE,
    MOST_CONFUSED,
    MOST_UNREADABLE,
    Confusion,
    EvaluatorInfo,
    Score,
)
from ...prompts.class_names import (
    LONGEST_IN_VIEW,
    MAX_NAME_CHARACTERS,
    MOST_CLASSES,
    MOST_IN_VIEW,
    MOST_LINES_ASKED,
    MOST_NAMES_ASKED,
    MOST_TRIED_SHOWN,
    NEUTRAL_TEMPLATES,
    READ_AT_ONCE,
    SHORT_NAMES,
    ClassRecord,
    reading_request,
    rich_request,
    short_name_request,
    short_reading_request,
)
from ...prompts.kinds import Candidate, PromptKind, kind_named
from ...prompts.requests import BEST_SHOWN, MOST_NAMES, ChatMessage, Outcome, name_in_row
from ...prompts.template import MAX_CHARACTERS
from ..config.fields import Style
from ..config.schema import SearchConfig
from ..llm.budget import (
    Bound,
    Limits,
    ScorerBound,
    ScorerPart,
    TokenBound,
    cost_of_all,
    share_of,
    sizes_of,
)
from ..llm.chat import ChatRequest, size
from ..llm.pool import MORE_TOKENS
from ..llm.price_table import find_price
from ..methods.base import MAX_ANSWER_CHARACTERS, Ask, Feedback, Propose, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import Position
from ..prices import PICODOLLARS, Tariff, TokenUsage, cost_at_most
from .choice import candidates_at_most
from .inputs import read_pool
from .name_choice import MOST_CHECKS
from .name_search import FOUND_TRIED, MOST_READ, MOST_TAKEN_FOR
from .racing import labels_at_most, race_blocks, races

LONGEST_NAME = 50
"""Characters of a class name before the data are read. The longest of CoOp's eleven sets has 45."""
LONGEST_LINE = 120
"""Characters of a refused line, and of its reason."""
MOST_PICTURES = 999_999
"""Pictures that an estimate in a request is from."""
CHARACTERS_A_TOKEN = 4
WIDE = "\u754c"
"""Stands for each letter of user texts that are not ASCII: it may take three tokens."""
Number = TypeVar("Number", int, float)


def at_most(amount: Number, limit: Number | None) -> Number:
    """Return an amount, or the limit if it is smaller."""
    return amount if limit is None else min(amount, limit)


def bound_of(config: SearchConfig, class_names: Sequence[str] | None = None) -> Bound:
    """Return the most that a search takes within its limits.

    Without ``class_names`` (data not read yet), long ones are assumed.
    """
    pool = [template.text for template in read_pool(config)]
    method = METHODS[config.method]
    evaluations = evaluations_at_most(config, len(pool))
    if not config.needs_llm:
        return Bound(evaluations=evaluations, minutes=config.max_minutes)
    name_requests = _name_requests(config, class_names)
    longest = longest_request(config, class_names, pool) if method.asks_llm else 0
    # Most of these requests are alike.
    different = {id(request): request for request in name_requests}.values()
    longest = max([longest, *map(_tokens_of, different)])
    calls = at_most(config.all_rounds * method.requests + len(name_requests), config.max_calls)
    each = TokenUsage(longest, MORE_TOKENS * config.answer_tokens)
    tokens = at_most(calls * each.total, config.max_tokens)
    cost = cost_of(prices_of(config), each)
    dollars = None if cost is None else round(at_most(calls * cost, Limits.of(config).cost_usd), 6)
    paced = [amount / limit for amount, limit in ((calls, config.rpm), (tokens, config.tpm)) if limit]
    minutes = round(at_most(max(paced), config.max_minutes), 2) if paced else config.max_minutes
    return Bound(calls=calls, tokens=tokens, cost_usd=dollars, evaluations=evaluations, minutes=minutes)


def evaluations_at_most(config: SearchConfig, pool: int) -> int:
    """Return the most candidates that all rounds score, for the number of candidates to start from."""
    method, rounds = METHODS[config.method], config.all_rounds
    if method.asks_llm and not method.mixed:
        rounds = at_most(rounds, config.max_calls)  # each makes a request
    starting = config.restarts * min(config.most_initial, pool)
    return starting + config.proposals * rounds + _free_candidates(config)


def bound_of_all(configs: Sequence[SearchConfig], bounds: Sequence[Bound]) -> Bound:
    """Return the most that searches take together, within the shared limits, which each config has."""
    limits, total = Limits.of(configs[0]), Bound.total(bounds)
    calls, tokens = at_most(total.calls, limits.calls), at_most(total.tokens, limits.tokens)
    cost = None if total.cost_usd is None else at_most(total.cost_usd, limits.cost_usd)
    minutes = None if total.minutes is None else at_most(total.minutes, limits.minutes)
    return replace(total, calls=calls, tokens=tokens, cost_usd=cost, minutes=minutes)


def _free_candidates(config: SearchConfig) -> int:
    method = METHODS[config.method]
    free = config.restarts * method.free_per_restart + config.all_rounds * method.free_per_round
    return free if config.description and not config.asks_by_image else 0


def prices_of(config: SearchConfig) -> list[Tariff | None]:
    """Return the price of each endpoint, None where it is unknown; none at all for a local LLM."""
    if config.is_local:
        return []
    return [
        find_price(
            endpoint.price or config.price,
            endpoint.base_url,
            endpoint.model or config.llm or "",
            endpoint.service_tier or config.service_tier,
        )
        for endpoint in config.all_endpoints
    ]


def cost_of(prices: Sequence[Tariff | None], tokens: TokenUsage) -> float | None:
    """Return the most dollars that one request costs, whichever endpoint is asked; None if unknown."""
    known = [price.most(tokens) for price in prices if price is not None]
    return max(known, default=0) / PICODOLLARS if len(known) == len(prices) else None


def longest_request(
    config: SearchConfig, class_names: Sequence[str] | None = None, pool: Sequence[str] = ()
) -> int:
    """Return the most tokens that a request of the method has, over all its conversations."""
    letter = _widest_letter(config.description, *(class_names or ()), *pool)
    names = class_names or [f"{number:{letter}>{LONGEST_NAME}d}" for number in range(MOST_NAMES)]
    style = config.request_style
    # Where the LLM's name does not decide the style, its answers do.
    styles: tuple[Style, ...] = ("rich", "short") if style is None else (style,)
    views = [_longest_view(config, each, names, letter) for each in styles]
    twice = range(min(config.conversations, 2))  # the second conversation of a restart may begin differently
    requests = (request for view in views for _ in twice for request in _requests(config, view, letter))
    return max(map(_tokens_of, requests), default=0)


def check_new_search(
    config: SearchConfig, *, custom_scorer: object | None = None, chat: object | None = None
) -> None:
    """Raise UsageError for what can be refused before a new search opens anything.

    Args:
        config: Its settings.
        custom_scorer: Takes the place of the data and model of the config.
        chat: Takes the place of its endpoints, whose prices then say nothing.
    """
    from ...evaluator.datasets.loading import check_data_name  # slow to import

    if custom_scorer is None:
        check_data_name(config)
    check_one_request(config, is_priced=chat is None)


def check_one_request(config: SearchConfig, *, is_priced: bool = True) -> None:
    """Raise UsageError if a limit has no room for a request: the search would ask the LLM nothing.

    ``is_priced``: the endpoints of the config are asked. A first request with the shortest templates counts,
    so a limit that passes may still be too low.
    """
    limits = Limits.of(config)
    if not config.needs_llm or (limits.tokens, limits.cost_usd) == (None, None):
        return
    least = TokenBound().of(
        ChatRequest(messages=tuple(_shortest_request(config)), model="", max_tokens=config.answer_tokens)
    )
    least_usd = cost_of(prices_of(config) if is_priced else [], least)
    needs = (
        ("max_tokens", limits.tokens, float(least.total), f"{least.total:,}", "take so many tokens"),
        ("max_cost", limits.cost_usd, least_usd, f"{least_usd or 0:.6f}", "cost so many dollars"),
    )
    for name, limit, need, shown, effect in needs:
        if limit is not None and need is not None and need > limit:
            raise UsageError(
                f"`{name} = {limit:g}` must be at least {shown}: one request to the LLM may "
                f"{effect}. Give more, or allow shorter answers with `answer_tokens = N`",
            )


def _shortest_request(config: SearchConfig) -> Sequence[ChatMessage]:
    """Return the shortest request that the LLM may get first."""
    names, kind = ("a", "b"), kind_named(config.search_for)
    if not METHODS[config.method].asks_llm:
        return _name_requests(config, names)[0]
    memory = Memory()
    starting = min(config.most_initial, len(read_pool(config)))
    for number in range(min(starting, 2 * max(config.top_k, BEST_SHOWN))):
        candidate = kind.parse(f"{kind.slot} {number}", max_words=None)
        score = Score(train=0.5 - number / 10_000)
        memory.add(Entry(candidate=candidate, score=score, value=score.train, position=Position(1)))
    styles: tuple[Style, ...] = ("rich", "short")
    views = (replace(_longest_view(config, style, names, "x"), memory=memory) for style in styles)
    requests = (next(iter(_requests(config, view, "x")), ()) for view in views)
    return min(requests, key=size)


def _tokens_of(messages: Sequence[ChatMessage]) -> int:
    return ChatRequest(messages=tuple(messages), model="").prompt_tokens_at_most


def _widest_letter(*texts: str) -> str:
    return "x" if all(map(str.isascii, texts)) else WIDE


def _requests(config: SearchConfig, view: View, letter: str) -> Iterator[Sequence[ChatMessage]]:
    """Yield the requests of a conversation in which every answer and every outcome is the longest."""
    scored = Outcome(_longest(view.kind, 0, letter).text, score=0.5, pictures=MOST_PICTURES)
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
            yield step.messages
            asked += isinstance(step, Ask)
        try:
            step = steps.send(feedback)
        except StopIteration:
            return


def _longest_view(config: SearchConfig, style: Style, names: Sequence[str], letter: str) -> View:
    kind = kind_named(config.search_for)
    longest = sorted(names, key=len)[-2:]
    memory = Memory()
    for number in range(2 * max(config.top_k, BEST_SHOWN)):
        # No two scores are equal: templates as good as the best are not listed among the worst.
        score = Score(
            train=0.5 - number / 10_000,
            confused=(Confusion(longest[0], longest[-1], 1),) * MOST_CONFUSED,
            images=MOST_PICTURES,  # as if a race had dropped it
            unreadable=0.5,
            unreadable_examples=(letter * LONGEST_UNREADABLE,) * MOST_UNREADABLE,
        )
        candidate = _longest(kind, number, letter)
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
        wordings=replace(kind.wordings, angles=(max(kind.wordings.angles, key=len),)),
        objective=config.objective,
        kind=kind,
    )


def _longest(kind: PromptKind, number: int, letter: str) -> Candidate:
    return kind.parse(f"{kind.slot} {number}".ljust(kind.most_characters, letter), max_words=None)


def _name_requests(
    config: SearchConfig, class_names: Sequence[str] | None
) -> Sequence[Sequence[ChatMessage]]:
    """Return the requests of the search for class names, each as long as the longest of its kind."""
    if not config.searches_names or config.llm is None:
        return []
    names = class_names or [f"{number:x>{LONGEST_NAME}d}" for number in range(MOST_CLASSES)]
    longest = max(names, key=lambda name: len(name.encode()))
    read = classes = min(len(names), MOST_CLASSES)
    if config.request_style == "short":
        in_view = sorted(names, key=lambda name: len(name_in_row(name, LONGEST_IN_VIEW).encode()))
        reading = short_reading_request(in_view[-MOST_IN_VIEW:], longest)
        return [reading] * read + [short_name_request(longest)] * (config.name_rounds * classes)
    shown = [longest] * min(len(names), READ_AT_ONCE)
    reading = reading_request(names, shown, description=config.description)
    # Data that are not read yet may have as many classes as are ever asked about.
    read = MOST_READ if class_names is None else min(len(names), MOST_READ)
    letter = _widest_letter(config.description, *names)
    tried = [(letter * MAX_NAME_CHARACTERS, 0, 0)] * MOST_TRIED_SHOWN
    record = ClassRecord(
        name=longest,
        current=letter * MAX_NAME_CHARACTERS,
        images=1000,
        before=1000,
        right=1000,
        taken_for=[(longest, 1000)] * MOST_TAKEN_FOR,
        tried=tried,
    )
    template = letter * MAX_CHARACTERS
    request = rich_request(template, names, [record] * classes, description=config.description)
    return [reading] * math.ceil(read / READ_AT_ONCE) + [request] * config.name_rounds


def scorer_bound(
    config: SearchConfig, info: EvaluatorInfo, evaluator: ApiEvaluator, pool: int
) -> ScorerBound:
    """Return the most that a scorer behind an API takes without limits; ask nothing.

    ``config`` is that of the opened search, ``pool`` the number of its starting candidates.
    """
    train, test = info.sizes.get("train", 0), info.sizes["test"]
    images = train + info.sizes.get("val", 0)

    def cost(candidates: int) -> ScorerPart:
        sizes = sizes_of(evaluator.test_requests(candidates))
        spent = cost_of_all(sizes, lambda size: cost_at_most(size, config.scorer_price))
        return ScorerPart(candidates * test, spent)

    # Embeddings take the images once, and a candidate's texts once, however many images there are.
    once = cost(0).spent
    candidate = cost(1).spent.minus(once)
    labels_each = images if once.calls else test

    def labelled(labels: int) -> ScorerPart:
        return ScorerPart(labels, share_of(candidate, labels, labels_each))

    def raced(candidates: int) -> ScorerPart:
        if not races(config, info):
            return labelled(candidates * images)
        classes = max(info.classes, 1)
        blocks = race_blocks([index % classes for index in range(train)], config.seed)
        return labelled(labels_at_most(candidates, blocks, images))

    defaults = int(len(info.baselines.get(BASELINE_DEFAULT, ())) == 1)
    baselines = {template for group in info.baselines.values() for template in group}
    starting = raced(min(config.most_initial, pool)).times(config.restarts)
    tested = candidates_at_most(config, info)
    return ScorerBound(
        start=ScorerPart(0, share_of(once, images, test)).plus(labelled(defaults * images)).plus(starting),
        candidate=labelled(images),
        round=raced(config.proposals),
        names=labelled(_renamed_candidates(config, info, defaults) * images),
        comparison=labelled((len(baselines) - defaults) * images),
        free=labelled(_free_candidates(config) * images),
        final=ScorerPart(0, once).plus(ScorerPart(tested * test, share_of(candidate, tested))),
        rounds=config.all_rounds,
        races=races(config, info),
        is_priced=config.scorer_price is not None,
        limits=Limits.of_scorer(config),
    )


def _renamed_candidates(config: SearchConfig, info: EvaluatorInfo, defaults: int) -> int:
    """Return the most that the search for class names scores; each round's names are scored together too."""
    if not config.searches_names:
        return 0
    classes = min(info.classes, MOST_CLASSES)
    each_round = classes * max(MOST_NAMES_ASKED, SHORT_NAMES)
    if config.llm is not None and config.request_style != "short":
        each_round = min(classes * MOST_NAMES_ASKED, max(MOST_LINES_ASKED, classes))
    # What the LLM reads is tried as a whole, and then one by one, for the classes that are most often wrong.
    read = 0 if config.llm is None else 1 + MOST_LINES_ASKED
    names = read + config.name_rounds * each_round
    templates = 1 + len(NEUTRAL_TEMPLATES) + defaults + 1 + FOUND_TRIED
    together = config.name_rounds + min(MOST_CHECKS, info.classes + names)
    return templates + 1 + names + together
