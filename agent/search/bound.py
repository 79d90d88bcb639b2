"""Upper bounds for the dry run, and what is refused at the start: requests, tokens, dollars, candidates.

Every request counts as the longest that any method may make, with the longest answer. The user's texts are
counted as they are, and what the LLM will write by its most characters: as English if the user's texts are
ASCII, else with a token a byte. So a bound is loose; the budget (``llm/budget.py``) holds a run to its
limits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ...evaluator.errors import UsageError
from ...prompts.class_names import MAX_NAME_CHARACTERS, MOST_CLASSES
from ...prompts.requests import BEST_SHOWN, MOST_NAMES
from ..config.schema import SearchConfig
from ..llm.ask import MORE_TOKENS
from ..llm.budget import Limits, estimated
from ..llm.price_table import find_price
from ..methods.base import MAX_ANSWER_CHARACTERS, MAX_TURNS, TOP_K
from ..methods.registry import METHODS
from ..prices import FREE, PICODOLLARS, Spent, TokenUsage
from ..text import CHARACTERS_PER_TOKEN, tokens_in
from .choice import candidates_at_most
from .inputs import read_pool
from .name_search import NAMES_OF_RECORD, requests_at_most, scored_at_most

if TYPE_CHECKING:
    from ...evaluator.remote.asking import ApiEstimate
    from ...evaluator.remote.evaluator import RemoteEvaluator

LONGEST_NAME = 50
"""Characters of a class name before the data are read. The longest of CoOp's eleven sets has 45."""
INSTRUCTIONS = 4_000
"""Characters of the fixed sentences of a request."""
LONGEST_REMARK = 300
"""Characters that a request has on one proposal, beside its text: its score, or why it was rejected."""
LONGEST_MARK = 30
"""Characters beside a name in the record of a class: how many images it put right and wrong."""
BYTES_PER_CHARACTER = 4
"""Of UTF-8 at most, as in emoji; a byte-level tokenizer makes no more tokens than bytes."""
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that one search or several take.

    Attributes:
        calls: Requests to the LLM, as are ``tokens`` and ``cost_usd``.
        cost_usd: None if a price is unknown.
        evaluations: Scored candidates.
    """

    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    evaluations: int = 0

    @classmethod
    def total(cls, bounds: Sequence[Bound]) -> Bound:
        """Return the sum; the cost is unknown if that of one is."""
        costs = [bound.cost_usd for bound in bounds if bound.cost_usd is not None]
        return cls(
            calls=sum(bound.calls for bound in bounds),
            tokens=sum(bound.tokens for bound in bounds),
            cost_usd=round(sum(costs), 6) if len(costs) == len(bounds) else None,
            evaluations=sum(bound.evaluations for bound in bounds),
        )

    def within(self, limits: Limits) -> Bound:
        """Return the bound with the limits of a search, or of several that share them."""
        cost = None if self.cost_usd is None else round(at_most(self.cost_usd, limits.cost_usd), 6)
        calls, tokens = at_most(self.calls, limits.calls), at_most(self.tokens, limits.tokens)
        return replace(self, calls=calls, tokens=tokens, cost_usd=cost)


class ScorerBound(NamedTuple):
    """The most that a scorer behind an API takes without limits.

    Attributes:
        total: In all.
        final: Of that at the end, on test.
    """

    total: Spent
    final: Spent


def at_most(amount: Number, limit: Number | None) -> Number:
    """Return an amount, or the limit if it is smaller."""
    return amount if limit is None else min(amount, limit)


def bound_of(config: SearchConfig, class_names: Sequence[str] | None = None) -> Bound:
    """Return the most that a search takes within its limits.

    Without ``class_names`` (data not read yet), long ones are assumed.
    """
    pool = [template.text for template in read_pool(config)]
    bound = Bound(evaluations=evaluations_at_most(config, len(pool)))
    if not config.needs_llm:
        return bound
    method = METHODS[config.method]
    calls = config.all_rounds * method.requests + requests_at_most(config, class_names)
    calls = at_most(calls, config.max_calls)
    each = TokenUsage(_context_tokens(config, class_names, pool), MORE_TOKENS * config.answer_tokens)
    cost = cost_of(config, each)
    dollars = None if cost is None else calls * cost
    return replace(bound, calls=calls, tokens=calls * each.total, cost_usd=dollars).within(Limits.of(config))


def evaluations_at_most(config: SearchConfig, pool: int) -> int:
    """Return the most candidates that all rounds score, for the number of candidates to start from."""
    if config.unchecked:
        return 0
    method, rounds = METHODS[config.method], config.all_rounds
    if method.asks_llm and not method.mixed:
        rounds = at_most(rounds, config.max_calls)  # each makes a request
    free = config.restarts * method.free_per_restart + config.all_rounds * method.free_per_round
    if not config.description or config.asks_by_image:
        free = 0
    return config.restarts * min(config.most_initial, pool) + config.proposals * rounds + free


def cost_of(config: SearchConfig, tokens: TokenUsage) -> float | None:
    """Return the most dollars that one request to the LLM costs; None if the price is unknown."""
    price = FREE if config.is_local else find_price(config.price, config.llm_url, config.llm or "")
    return None if price is None else price.most(tokens) / PICODOLLARS


def check_new_search(
    config: SearchConfig, *, custom_scorer: object | None = None, chat: object | None = None
) -> None:
    """Raise UsageError for what can be refused before a new search opens anything.

    Args:
        config: Its settings.
        custom_scorer: Takes the place of the data and model of the config.
        chat: Takes the place of its endpoint, whose price then says nothing.
    """
    from ...evaluator.datasets.loading import check_data_name  # slow to import

    if custom_scorer is None:
        check_data_name(config)
    check_one_request(config, is_priced=chat is None)


def check_one_request(config: SearchConfig, *, is_priced: bool = True) -> None:
    """Raise UsageError if a limit has no room for an answer: the search would ask the LLM nothing.

    ``is_priced``: the endpoint of the config is asked. A limit that passes may still be too low.
    """
    if not config.needs_llm:
        return
    if config.max_calls == 0:
        raise UsageError(
            "`max_calls = 0` has no room for a request; give more, or a method that asks no LLM, such as "
            '`method = "combine"`'
        )
    answer = TokenUsage(completion_tokens=config.answer_tokens)
    dollars = (cost_of(config, answer) or 0) if is_priced else 0
    needs = (
        ("max_tokens", config.max_tokens, answer.total, f"{answer.total:,}", "take so many tokens"),
        ("max_cost", config.max_cost, dollars, f"{dollars:.6f}", "cost so many dollars"),
    )
    for name, limit, need, shown, effect in needs:
        if limit is not None and need > limit:
            raise UsageError(
                f"`{name} = {limit:g}` must be at least {shown}: one answer of the LLM may {effect}. "
                "Give more, or allow shorter answers with `answer_tokens = N`",
            )


def scorer_bound(config: SearchConfig, evaluator: RemoteEvaluator) -> ScorerBound:
    """Return the most that a scorer behind an API takes, as if it dropped no candidate; ask nothing.

    ``config`` is that of the opened search.
    """
    info = evaluator.info
    baselines = {template for group in info.baselines.values() for template in group}
    templates = evaluations_at_most(config, len(read_pool(config))) + len(baselines)
    images = info.sizes.get("train", 0) + info.sizes.get("val", 0)

    def most(candidates: int, images: int) -> Spent:
        return estimated(evaluator.estimate(candidates, images), config.scorer_price)

    search = most(templates + scored_at_most(config, info.classes), images)
    final = most(candidates_at_most(config, info), info.sizes["test"])
    return ScorerBound(search.plus(final), final)


def first_score(evaluator: RemoteEvaluator) -> ApiEstimate:
    """Return the most that the default template takes, which is scored first: with it, there is a result."""
    sizes = evaluator.info.sizes
    return evaluator.estimate(1, sizes["train"] + sizes["val"])


def _context_tokens(config: SearchConfig, class_names: Sequence[str] | None, pool: Sequence[str]) -> int:
    """Return the most tokens of a request: lists of candidates, and all rounds of a long conversation."""
    names = class_names or ["n" * LONGEST_NAME] * MOST_NAMES
    kind = config.kind
    rounds = min(MAX_TURNS, config.rounds)
    # Without a search, a request names all classes and those that it is about.
    times = 2 if config.unchecked else 1
    tokens = INSTRUCTIONS / CHARACTERS_PER_TOKEN + tokens_in(config.description)
    tokens += times * sum(map(tokens_in, names))
    # Where the user's own texts are in another script, the LLM may answer likewise.
    is_ascii = all(map(str.isascii, (config.description, *names, *pool)))
    of_character = 1 / CHARACTERS_PER_TOKEN if is_ascii else BYTES_PER_CHARACTER
    if METHODS[config.method].asks_llm and not config.unchecked:
        proposal = of_character * kind.most_characters + LONGEST_REMARK / CHARACTERS_PER_TOKEN
        each_round = of_character * MAX_ANSWER_CHARACTERS + config.proposals * proposal
        tokens += 2 * max(TOP_K, BEST_SHOWN) * proposal + rounds * each_round
    if kind.renames_classes and not config.unchecked:
        longest = max(of_character * MAX_NAME_CHARACTERS, *map(tokens_in, names))
        records = min(len(names), MOST_CLASSES) * NAMES_OF_RECORD
        tokens += records * (longest + LONGEST_MARK / CHARACTERS_PER_TOKEN)
    return math.ceil(tokens)
