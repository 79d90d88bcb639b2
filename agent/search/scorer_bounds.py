"""The most that a scorer behind an API takes: labels, requests, tokens and money; asks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...evaluator.remote.asking import ApiEvaluator
from ...evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo
from ...prompts.class_names import (
    MOST_CLASSES,
    MOST_LINES_ASKED,
    MOST_NAMES_ASKED,
    NEUTRAL_TEMPLATES,
    SHORT_NAMES,
)
from ...prompts.kinds import kind_named
from ..config.schema import SearchConfig
from ..llm.budget import Limits
from ..llm.scorer_costs import cost_of_all, part_of, sizes_of, to_keep, why_refused
from ..prices import NOTHING, PICODOLLARS, Spent, cost_at_most
from .choice import candidates_at_most
from .name_choice import MOST_CHECKS
from .name_search import FOUND_TRIED
from .racing import labels_at_most, race_blocks, races


@dataclass(frozen=True, slots=True)
class Part:
    """The most that a part of a search takes: labels of images, and requests, as an estimate."""

    labels: int = 0
    spent: Spent = NOTHING

    def plus(self, other: Part, times: int = 1) -> Part:
        """Return the sum with so many times another one."""
        return Part(self.labels + times * other.labels, self.spent.plus(part_of(other.spent, times)))


class ScorerBounds:
    """The most that a search takes, by its parts, without limits.

    Args:
        config: As opened.
        pool: Candidates that a restart may draw its starting ones from.
        free: Free candidates of the whole search.

    Attributes:
        images: Images of train and val.
        is_priced: Whether its price is known.
    """

    def __init__(
        self,
        config: SearchConfig,
        info: EvaluatorInfo,
        evaluator: ApiEvaluator,
        pool: int,
        *,
        rounds: int = 0,
        free: int = 0,
    ) -> None:
        self._config = config
        self.rounds, self._free = rounds, free
        self.is_priced = config.scorer_price is not None
        self._info = info
        self._initial = min(config.most_initial, pool)
        self._evaluator = evaluator
        self._train, self._test = info.sizes.get("train", 0), info.sizes["test"]
        self.images = self._train + info.sizes.get("val", 0)
        self._images_once = self._cost(0)
        self._candidate = self._cost(1).minus(self._images_once)

    @cached_property
    def final(self) -> Part:
        """The final evaluation on test."""
        tested = candidates_at_most(self._config, self._info)
        return Part(tested * self._test, self._cost(tested))

    @cached_property
    def start(self) -> Part:
        """The default template and the starting candidates of all restarts, with the few-shot images."""
        once = Part(0, part_of(self._images_once, self.images, self._test))
        return once.plus(self.on_all_images(self._defaults)).plus(
            self._race(self._initial), self._config.restarts
        )

    @cached_property
    def round(self) -> Part:
        """One round of a restart."""
        return self._race(self._config.proposals)

    @cached_property
    def comparison(self) -> Part:
        """The hand-made candidates on the few-shot images; the search has those that it found."""
        baselines = {one for group in self._info.baselines.values() for one in group}
        return self.on_all_images(len(baselines) - self._defaults)

    @cached_property
    def names(self) -> Part:
        """The search for class names; the names of each round are scored once more together."""
        config = self._config
        if not config.searches_names:
            return Part()
        classes = min(self._info.classes, MOST_CLASSES)
        if config.llm is None:
            each = classes * MOST_NAMES_ASKED
        elif config.request_style == "short":
            each = classes * SHORT_NAMES
        else:
            each = min(classes * MOST_NAMES_ASKED, max(MOST_LINES_ASKED, classes))
        names = config.name_rounds * each
        templates = 1 + len(NEUTRAL_TEMPLATES) + self._defaults + 1 + FOUND_TRIED
        together = config.name_rounds + min(MOST_CHECKS, self._info.classes + names)
        return self.on_all_images(templates + 1 + names + together)

    def on_all_images(self, candidates: int) -> Part:
        """Return what so many candidates take on all few-shot images."""
        return self._of_labels(candidates * self.images)

    @property
    def _defaults(self) -> int:
        return int(len(self._info.baselines.get(BASELINE_DEFAULT, ())) == 1)

    @property
    def races(self) -> bool:
        """Whether candidates that fall behind are dropped."""
        return races(self._config, self._info)

    def _race(self, candidates: int) -> Part:
        if not self.races:
            return self.on_all_images(candidates)
        classes = max(self._info.classes, 1)
        blocks = race_blocks([place % classes for place in range(self._train)], self._config.seed)
        return self._of_labels(labels_at_most(candidates, blocks, self.images))

    def _of_labels(self, labels: int) -> Part:
        # Embeddings take a candidate's texts once, however many images there are.
        once = self._images_once.calls > 0
        return Part(labels, part_of(self._candidate, labels, self.images if once else self._test))

    def _cost(self, candidates: int) -> Spent:
        sizes = sizes_of(self._evaluator.test_requests(candidates))
        return cost_of_all(sizes, lambda size: cost_at_most(size, self._config.scorer_price))

    @property
    def parts(self) -> dict[str, Part]:
        """Its parts by name; ``round`` is one of them."""
        return {
            "start": self.start,
            "round": self.round,
            "names": self.names,
            "comparison": self.comparison,
            "final": self.final,
        }

    @cached_property
    def total(self) -> Part:
        """The whole search."""
        total = self.start.plus(self.round, self.rounds).plus(self.on_all_images(self._free))
        return total.plus(self.names).plus(self.comparison).plus(self.final)

    @property
    def refused(self) -> str | None:
        """Why the limits have no room for the start beside what is kept for the final evaluation."""
        limits = Limits(calls=self._config.max_scorer_calls, cost_usd=self._config.max_cost)
        noun = kind_named(self._config.search_for).words.noun
        return why_refused(limits, to_keep(self.final.spent), self.start.spent, noun)

    def rounds_allowed(self, llm_cost_usd: float | None) -> int | None:
        """Return how many of the rounds the limits have room for in any case; None without limits.

        ``llm_cost_usd`` is the most that the LLM takes.
        """
        config, rounds, each = self._config, self.rounds, self.round.spent
        first = to_keep(self.final.spent).plus(self.start.spent)
        found: list[float] = []
        if config.max_scorer_calls is not None and each.calls:
            found.append((config.max_scorer_calls - first.calls) / each.calls)
        if config.max_cost is not None and llm_cost_usd is not None:
            of_round = each.estimated_picodollars / PICODOLLARS + llm_cost_usd / max(rounds, 1)
            left = config.max_cost - first.estimated_picodollars / PICODOLLARS
            found.append(left / of_round if of_round else rounds)
        return max(0, int(min([rounds, *found]))) if found else None
