"""Race the candidates of a step on blocks of few-shot images, and drop those that fall behind.

Blocks hold equally many images of each class. After each block, a candidate stays if it is not far behind the
leader on the same images and is among the best share of all. The outcome depends on the labels alone, and is
on disk before it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, TypeAlias

from ...evaluator.errors import TemplateRejectedError
from ...evaluator.scoring import (
    COUNTED,
    Evaluator,
    PartialPredictor,
    Predictions,
    Rejection,
    Score,
    hits,
)
from ..config.schema import SearchConfig
from ..position import Position
from ..store.run import Store
from .event_loop import call_evaluator


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a race.

    Attributes:
        images: Images of each class that a candidate has been asked on at its end.
        keep: Share of all candidates that may go on.
        margin: How far behind the incumbent a candidate may be, in standard errors of the paired difference.
        among: The same behind a leader that is a candidate itself: the best of many is partly lucky.
    """

    images: float
    keep: float
    margin: float
    among: float = 2.0


STAGES: tuple[Stage, ...] = (
    Stage(0.5, 0.8, 1.5),
    Stage(1, 0.4, 1.5),
    Stage(2, 0.2, 1.0),
    Stage(4, 0.15, 1.0),
    Stage(8, 0.05, 0.5),
)
"""The largest shares tried that ask for at most 15 % of the labels on six sets (docs/method.md)."""

MOST_AT_ONCE = 64
"""Maximum restarts that wait for labels."""
UNCLASSIFIED = "unclassified"
"""Reason of a rejection: the scorer gives no labels for this template."""
LEVEL_IMAGES = 16
"""Images on which a dropped candidate counts as level with the leader, beside those that it was asked on."""
RaceBlock: TypeAlias = tuple[Stage, Sequence[int]]
"""A stage, and the indices of the images that are new in it."""
Hits: TypeAlias = Sequence[bool]
"""Whether one candidate classifies each image correctly, in the order in which they were asked."""
AskSome: TypeAlias = Callable[[Sequence[str], Sequence[int]], Awaitable[Mapping[str, Hits | Rejection]]]
"""Classifies the images at these indices by each of these candidates."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that fell behind.

    Attributes:
        right: Images that it classifies correctly.
        images: Images that it was asked on.
        behind: How many more of them the leader classifies correctly.
    """

    right: int
    images: int
    behind: int

    def estimate(self, best: float) -> float:
        """Return an estimate for all images, always below ``best``, that of the best candidate.

        It is ``best`` less the difference to the leader on the same images, as if both had been level on
        ``LEVEL_IMAGES`` more: few images exaggerate. That says more than the share of so few, since they are
        equally hard for both.
        """
        value = best - max(self.behind, 0.5) / (self.images + LEVEL_IMAGES)
        return max(value, min(0.0, best - 1e-9))

    def score(self, best: Score) -> Score:
        """Return what was measured of it, and an estimate below the best one's."""
        return Score(
            train=self.right / self.images,
            correct=(self.right, None),
            images=self.images,
            estimate=self.estimate(best.train),
        )


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate that is to be scored on all images."""


Raced: TypeAlias = Finalist | Dropped | Rejection
"""The outcome of a candidate in a race."""


def race_blocks(labels: Sequence[int], seed: int, stages: Sequence[Stage] = STAGES) -> list[RaceBlock]:
    """Return the stages with their images; a stage that leaves no image for the finalists is left out."""
    order, classes = stratified(labels, seed), len(set(labels))
    blocks: list[RaceBlock] = []
    done = 0
    for stage in stages:
        until = round(stage.images * classes)
        if done < until < len(order):
            blocks.append((stage, order[done:until]))
            done = until
    return blocks


def _most_staying(stage: Stage, candidates: int) -> int:
    return max(1, math.ceil(stage.keep * candidates - 1e-9))


def stratified(labels: Sequence[int], seed: int) -> list[int]:
    """Return all image indices: one of each class, then a second of each, in an order that the seed draws."""
    drawn = [hashlib.sha256(f"{seed} {index}".encode()).digest() for index in range(len(labels))]
    rank: dict[int, int] = {}  # within its class
    count_by_label: dict[int, int] = {}
    for index in sorted(range(len(labels)), key=drawn.__getitem__):
        rank[index] = count_by_label.get(labels[index], 0)
        count_by_label[labels[index]] = rank[index] + 1
    return sorted(rank, key=lambda index: (rank[index], drawn[index]))


async def race(
    candidates: Sequence[str], incumbent: str | None, blocks: Sequence[RaceBlock], ask_some: AskSome
) -> dict[str, Raced]:
    """Race distinct candidates, also against the incumbent, and return the outcome of each.

    Without an incumbent, at least one candidate that is not rejected is a finalist. The order of the
    candidates does not matter.
    """
    running = _Running(candidates, incumbent)
    for stage, image_indices in blocks:
        if running.decided:
            break
        running.add(await ask_some(running.asked, image_indices))
        running.drop(stage)
    return {text: running.outcomes.get(text, Finalist()) for text in candidates}


@dataclass
class _Running:
    candidates: Sequence[str]
    incumbent: str | None
    outcomes: dict[str, Raced] = field(default_factory=dict)
    hits: dict[str, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.remaining = sorted(self.candidates, key=lambda text: hashlib.sha256(text.encode()).digest())

    @property
    def asked(self) -> list[str]:
        return self.remaining if self.incumbent is None else [*self.remaining, self.incumbent]

    @property
    def decided(self) -> bool:
        """Whether more labels would drop nobody."""
        return len(self.remaining) <= (self.incumbent is None)

    def add(self, answers: Mapping[str, Hits | Rejection]) -> None:
        for text, answer in answers.items():
            if not isinstance(answer, Rejection):
                self.hits.setdefault(text, []).extend(answer)
            elif text == self.incumbent:  # the scorer has changed its mind
                self.incumbent = None
            else:
                self.outcomes[text] = answer
        self.remaining = [text for text in self.remaining if text not in self.outcomes]

    def drop(self, stage: Stage) -> None:
        """Drop those who are too far behind the leader, and those beyond the stage's share."""
        if not self.remaining:
            return
        right = {text: sum(self.hits[text]) for text in self.asked}
        # Sorting is stable: ties stay in the earlier order, which began as that of the hash.
        self.remaining.sort(key=lambda text: -right[text])
        leader, margin = self.remaining[0], stage.among
        if self.incumbent is not None and right[self.incumbent] >= right[leader]:
            leader, margin = self.incumbent, stage.margin
        most = _most_staying(stage, len(self.candidates))
        staying = []
        for rank, text in enumerate(self.remaining):
            if rank < most and self._keeps_up(text, leader, margin):
                staying.append(text)
            else:
                self.outcomes[text] = Dropped(right[text], len(self.hits[text]), right[leader] - right[text])
        self.remaining = staying

    def _keeps_up(self, text: str, leader: str, margin: float) -> bool:
        pairs = list(zip(self.hits[leader], self.hits[text], strict=True))
        behind = sum(of_leader - of_text for of_leader, of_text in pairs)
        differing = sum(of_leader != of_text for of_leader, of_text in pairs)
        return behind <= 0 or behind <= margin * math.sqrt(differing)


@dataclass(eq=False)
class Racer:
    """Drops the candidates of a step that fall behind, by the labels of some training images."""

    evaluator: PartialPredictor
    images: int
    store: Store
    _: KW_ONLY
    seed: int
    scrub: Callable[[str], str]

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._labels: Sequence[int] = ()

    def known(
        self, texts: Sequence[str], incumbent: str | None, position: Position
    ) -> dict[str, Raced] | None:
        """Return the outcome of a step from disk; None if it has not raced."""
        rows = self.store.value(
            _name_of(texts, incumbent, position), lambda rows: {text: _raced(*rest) for text, *rest in rows}
        )
        return None if rows is None else _of_all(texts, rows)

    async def outcomes(
        self, texts: Sequence[str], incumbent: str | None, position: Position
    ) -> dict[str, Raced]:
        """Return the outcome of each candidate, from disk or by a race.

        Raises:
            EvaluationFailedError: The evaluator fails.
        """
        if (known := self.known(texts, incumbent, position)) is not None:
            return known
        racing = [text for text in dict.fromkeys(texts) if text != incumbent]
        async with self._room:
            if not self._labels:
                # Without candidates, nothing is asked: these are the true labels.
                self._labels = (await self._predict((), range(self.images))).labels
            outcomes = await race(racing, incumbent, race_blocks(self._labels, self.seed), self._ask)
        rows = [_row(text, outcome) for text, outcome in outcomes.items()]
        await self.store.put_value(_name_of(texts, incumbent, position), rows)
        return _of_all(texts, outcomes)

    async def _ask(self, texts: Sequence[str], image_indices: Sequence[int]) -> dict[str, Hits | Rejection]:
        answers: dict[str, Hits | Rejection] = {}
        while left := [text for text in texts if text not in answers]:
            try:
                predictions = await self._predict(left, image_indices)
            except TemplateRejectedError as error:
                if error.template not in left:
                    raise
                answers[error.template] = Rejection(error.reason, self.scrub(error.explanation))
                continue
            for text, labels in zip(left, predictions.predicted, strict=True):
                if labels is None:
                    answers[text] = Rejection(UNCLASSIFIED, "the scorer gives no labels for it")
                else:
                    answers[text] = hits(labels, predictions.labels)
        return answers

    async def _predict(self, texts: Sequence[str], image_indices: Sequence[int]) -> Predictions:
        ensembles = [[text] for text in texts]
        return await call_evaluator(
            lambda: self.evaluator.predict_some(ensembles, split="train", image_indices=image_indices),
            scrub=self.scrub,
        )


def racer_of(
    config: SearchConfig, evaluator: Evaluator, store: Store, *, scrub: Callable[[str], str]
) -> Racer | None:
    """Return what races candidates; None if every candidate is scored on all images."""
    info = evaluator.info
    images = info.sizes.get("train", 0)
    if config.racing == "off" or info.cheap or config.objective not in COUNTED or not images:
        return None
    if not isinstance(evaluator, PartialPredictor):
        return None
    return Racer(evaluator, images, store, seed=config.seed, scrub=scrub)


def _name_of(texts: Sequence[str], incumbent: str | None, position: Position) -> str:
    step = "\0".join([incumbent or "", *texts])
    where = ".".join(map(str, position[:3]))
    return f"race:{where}:{hashlib.sha256(step.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _row(text: str, raced: Raced) -> list[Any]:
    if isinstance(raced, Dropped):
        return [text, raced.right, raced.images, raced.behind]
    return [text, asdict(raced)] if isinstance(raced, Rejection) else [text]


def _raced(*values: Any) -> Raced:
    if not values:
        return Finalist()
    return Rejection(**values[0]) if len(values) == 1 else Dropped(*values)


def _of_all(texts: Sequence[str], outcomes: Mapping[str, Raced]) -> dict[str, Raced]:
    """Return the outcome of each candidate; the incumbent, which was scored before, does not race."""
    return {text: outcomes.get(text, Finalist()) for text in texts}
