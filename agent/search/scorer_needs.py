"""The most that a scorer behind an API takes: labels, requests, tokens and money; asks nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...evaluator.remote.asking import ApiRequest, KeepsForTest
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo
from ...prompts.class_names import MOST_CLASSES, MOST_LINES_ASKED, MOST_NAMES_ASKED, SHORT_NAMES
from ...prompts.kinds import kind_named
from ..config.fields import style_of
from ..config.schema import SearchConfig
from ..llm.budget import Limits, ScorerBudget
from ..llm.cost import NOTHING, Spent, cost_at_most
from ..llm.scorer_calls import why_refused, with_margin
from ..prices import PICODOLLARS, TokenUsage
from .choice import candidates_at_most
from .name_choice import MOST_CHECKS
from .racing import labels_at_most, race_blocks, races


@dataclass(frozen=True, slots=True)
class Need:
    """The most that a part of a search takes: labels of images, and requests with their tokens and money."""

    labels: int = 0
    spent: Spent = NOTHING

    def plus(self, other: Need, times: int = 1) -> Need:
        """Return the sum with so many times another one."""
        return Need(self.labels + times * other.labels, self.spent.plus(_scaled(other.spent, times)))


def _scaled(spent: Spent, times: int, of: int = 1) -> Spent:
    """Return ``times / of`` as much, rounded up."""
    calls, tokens, money = (
        math.ceil(amount * times / of)
        for amount in (spent.calls, spent.estimated_tokens, spent.estimated_picodollars)
    )
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)


class ScorerNeeds:
    """The most that a search takes, by its parts.

    Args:
        config: As opened.
        pool: Candidates that a restart may draw its starting ones from.

    Attributes:
        images: Images of train and val.
    """

    def __init__(self, config: SearchConfig, info: EvaluatorInfo, evaluator: KeepsForTest, pool: int) -> None:
        self._config = config
        self._info = info
        self._initial = min(config.most_initial, pool)
        self._evaluator = evaluator
        self._train, self._test = info.sizes.get("train", 0), info.sizes["test"]
        self.images = self._train + info.sizes.get("val", 0)
        self._images_once = self._cost(0)
        self._candidate = self._cost(1).minus(self._images_once)

    @cached_property
    def final(self) -> Need:
        """The final evaluation on test."""
        tested = candidates_at_most(self._config, self._info)
        return Need(tested * self._test, self._cost(tested))

    @cached_property
    def start(self) -> Need:
        """The default template and the starting candidates of all restarts, with the few-shot images."""
        once = Need(0, _scaled(self._images_once, self.images, self._test))
        return once.plus(self.on_all_images(self._defaults)).plus(
            self._race(self._initial), self._config.restarts
        )

    @cached_property
    def round(self) -> Need:
        """One round of a restart."""
        return self._race(self._config.proposals)

    @cached_property
    def comparison(self) -> Need:
        """The hand-made candidates on the few-shot images; the search has those that it found."""
        baselines = {one for group in self._info.baselines.values() for one in group}
        return self.on_all_images(len(baselines) - self._defaults)

    @cached_property
    def names(self) -> Need:
        """The search for class names, if the LLM gives as many as it is asked for."""
        config = self._config
        if not config.searches_names:
            return Need()
        classes = min(self._info.classes, MOST_CLASSES)
        if config.llm is None:
            each = classes * MOST_NAMES_ASKED
        elif (config.style or style_of(config.llm)) == "short":
            each = classes * SHORT_NAMES
        else:
            each = min(classes * MOST_NAMES_ASKED, max(MOST_LINES_ASKED, classes))
        names = config.name_rounds * each
        return self.on_all_images(1 + names + 1 + min(MOST_CHECKS, self._info.classes + names))

    def on_all_images(self, candidates: int) -> Need:
        """Return what so many candidates take on all few-shot images."""
        return self._of_labels(candidates * self.images)

    @property
    def _defaults(self) -> int:
        return int(len(self._info.baselines.get(BASELINE_DEFAULT, ())) == 1)

    @property
    def races(self) -> bool:
        """Whether candidates that fall behind are dropped."""
        return races(self._config, self._info)

    def _race(self, candidates: int) -> Need:
        if not self.races:
            return self.on_all_images(candidates)
        classes = max(self._info.classes, 1)
        blocks = race_blocks([place % classes for place in range(self._train)], self._config.seed)
        return self._of_labels(labels_at_most(candidates, blocks, self.images))

    def _of_labels(self, labels: int) -> Need:
        # Embeddings take a candidate's texts once, however many images there are.
        once = self._images_once.calls > 0
        return Need(labels, _scaled(self._candidate, labels, self.images if once else self._test))

    def _cost(self, candidates: int) -> Spent:
        return cost_of_requests(self._evaluator.test_requests(candidates), self._config)

    def estimate(self, rounds: int, free: int, llm_cost_usd: float | None) -> dict[str, Any]:
        """Return the most that a search takes without limits, and what the limits allow, as JSON values.

        The search has so many rounds and free candidates; ``llm_cost_usd`` is the most that its LLM takes.
        Its parts are ``start`` (the default template and the starting candidates), ``round`` (one of
        them), ``names``, ``comparison`` (hand-made candidates on few-shot images) and ``final`` (on
        test images); each has ``labels`` (images classified), ``calls``, ``tokens`` and ``cost_usd`` (None:
        unknown), as the whole has. ``rounds_allowed`` are those for which the limits have room in any case,
        None without limits; ``refused`` says why they have none for the start.
        """
        config = self._config
        total = self.start.plus(self.round, rounds).plus(self.on_all_images(free))
        total = total.plus(self.names).plus(self.comparison).plus(self.final)
        limits = Limits(calls=config.max_scorer_calls, cost_usd=config.max_cost)
        budget, kept = ScorerBudget(limits, clock=lambda: 0.0), with_margin(self.final.spent)
        parts = ("start", "round", "names", "comparison", "final")
        return {
            **self._plain(total),
            "parts": {name: self._plain(getattr(self, name)) for name in parts},
            "rounds": rounds,
            "races": self.races,
            "rounds_allowed": self._rounds_allowed(rounds, llm_cost_usd),
            "refused": why_refused(budget, kept, self.start.spent, kind_named(config.prompts).words.noun),
        }

    def _plain(self, need: Need) -> dict[str, Any]:
        dollars = need.spent.estimated_picodollars / PICODOLLARS
        return {
            "labels": need.labels,
            "calls": need.spent.calls,
            "tokens": need.spent.estimated_tokens,
            "cost_usd": None if self._config.scorer_price is None else round(dollars, 6),
        }

    def _rounds_allowed(self, rounds: int, llm_cost_usd: float | None) -> int | None:
        config, each = self._config, self.round.spent
        first = with_margin(self.final.spent).plus(self.start.spent)
        found: list[float] = []
        if config.max_scorer_calls is not None and each.calls:
            found.append((config.max_scorer_calls - first.calls) / each.calls)
        if config.max_cost is not None and llm_cost_usd is not None:
            of_round = each.estimated_picodollars / PICODOLLARS + llm_cost_usd / max(rounds, 1)
            left = config.max_cost - first.estimated_picodollars / PICODOLLARS
            found.append(left / of_round if of_round else rounds)
        return max(0, int(min([rounds, *found]))) if found else None


def cost_of_requests(requests: Iterable[ApiRequest], config: SearchConfig) -> Spent:
    """Return the most that requests take, as estimates."""
    calls = tokens = money = 0
    for one in requests:
        usage = TokenUsage(one.prompt_tokens, one.max_tokens)
        calls, tokens = calls + 1, tokens + usage.total
        money += cost_at_most(usage, config.scorer_price)
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)
