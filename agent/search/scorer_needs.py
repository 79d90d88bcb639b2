"""Upper bounds on what a scorer behind an API is asked for: labels, requests, tokens and money."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ...evaluator.remote.asking import ApiRequest, KeepsForTest
from ...evaluator.scoring import COUNTED, EvaluatorInfo
from ...prompts.class_names import MOST_CLASSES, MOST_LINES_ASKED, MOST_NAMES_ASKED, SHORT_NAMES
from ..config.fields import style_of
from ..config.schema import SearchConfig
from ..llm.cost import NOTHING, Spent, cost_at_most
from ..prices import TokenUsage
from ..results.gain import DEFAULT_TEMPLATE
from .choice import candidates_at_most
from .name_choice import MOST_CHECKS
from .racing import blocks_of, labels_at_most


@dataclass(frozen=True, slots=True)
class Need:
    """What a part of a search takes at most: labels of images, and requests with their tokens and money."""

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
    """What a search takes at most, by its parts.

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
        return int(len(self._info.baselines.get(DEFAULT_TEMPLATE, ())) == 1)

    @property
    def races(self) -> bool:
        """Whether candidates that fall behind are dropped."""
        config = self._config
        return config.racing == "auto" and not self._info.cheap and config.objective in COUNTED

    def _race(self, candidates: int) -> Need:
        if not self.races:
            return self.on_all_images(candidates)
        classes = max(self._info.classes, 1)
        blocks = blocks_of([place % classes for place in range(self._train)], self._config.seed)
        return self._of_labels(labels_at_most(candidates, blocks, self.images))

    def _of_labels(self, labels: int) -> Need:
        # Embeddings take a candidate's texts once, however many images there are.
        once = self._images_once.calls > 0
        return Need(labels, _scaled(self._candidate, labels, self.images if once else self._test))

    def _cost(self, candidates: int) -> Spent:
        return cost_of_requests(self._evaluator.test_requests(candidates), self._config)


def cost_of_requests(requests: Iterable[ApiRequest], config: SearchConfig) -> Spent:
    """Return the most that requests take, as estimates."""
    calls = tokens = money = 0
    for one in requests:
        usage = TokenUsage(one.prompt_tokens, one.max_tokens)
        calls, tokens = calls + 1, tokens + usage.total
        money += cost_at_most(usage, config.scorer_price)
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)
