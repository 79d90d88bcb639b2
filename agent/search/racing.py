"""Race the candidates of a step on blocks of few-shot images, and drop those that fall behind.

Blocks hold equally many images of each class, as far as they can. After each block, a candidate is dropped if
it is behind the leader on the same images by more than chance explains. The outcome depends on the labels
alone, and is on disk before it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, TypeAlias

from ...evaluator.errors import TemplateRejectedError
from ...evaluator.scoring import (
    COUNTED,
    Evaluator,
    EvaluatorInfo,
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

FIRST_IMAGES = 16
"""Images after which a race first drops candidates; then after twice as many, and so on."""
MARGIN = 2.75
"""How far behind the leader a candidate may be, in standard errors of their paired difference."""
MOST_AT_ONCE = 64
"""Maximum restarts that wait for labels."""
UNCLASSIFIED = "unclassified"
"""Reason of a rejection: the scorer gives no labels for this template."""
LEVEL_IMAGES = 16
"""Images on which a dropped candidate counts as level with the leader, beside those that it was asked on."""
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
        value = best - self.behind / (self.images + LEVEL_IMAGES)
        return max(value, min(0.0, best - 1e-9))

    def score(self, best: Score) -> Score:
        """Return what was measured of it, and an estimate below the best one's."""
        return Score(
            train=self.right / self.images,
            correct=(self.right, None),
            images=self.images,
            estimate=self.estimate(best.train),
        )


Out: TypeAlias = Dropped | Rejection
"""Why a candidate is out of a race; the others are to be scored on all images."""


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
    candidates: Sequence[str], incumbent: str | None, order: Sequence[int], ask_some: AskSome
) -> dict[str, Out]:
    """Race distinct candidates, also against the incumbent, and return those that are out.

    Without an incumbent, at least one candidate that is not rejected stays in. The order of the candidates
    does not matter, that of the images (``stratified``) does.
    """
    out: dict[str, Out] = {}
    hits_by_text: dict[str, list[bool]] = {}
    racing = [*candidates, incumbent] if incumbent is not None else list(candidates)
    done, until = 0, FIRST_IMAGES
    while len(racing) > 1 and until < len(order):  # those left are scored on all images
        for text, answer in (await ask_some(racing, order[done:until])).items():
            if not isinstance(answer, Rejection):
                hits_by_text.setdefault(text, []).extend(answer)
                continue
            racing.remove(text)
            if text != incumbent:  # else the scorer has changed its mind
                out[text] = answer
        dropped = _far_behind({text: hits_by_text[text] for text in racing})
        out |= {text: outcome for text, outcome in dropped.items() if text != incumbent}
        racing = [text for text in racing if text not in out]
        done, until = until, 2 * until
    return out


def _far_behind(hits_by_text: Mapping[str, Sequence[bool]]) -> dict[str, Dropped]:
    """Return those that are behind the leader on these images by more than chance explains."""
    right = {text: sum(own) for text, own in hits_by_text.items()}
    leader = max(right, key=lambda text: (right[text], text), default="")
    dropped = {}
    for text, own in hits_by_text.items():
        behind = right[leader] - right[text]
        differing = sum(map(operator.ne, hits_by_text[leader], own))
        if behind > MARGIN * math.sqrt(differing):
            dropped[text] = Dropped(right[text], len(own), behind)
    return dropped


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

    def known(self, texts: Sequence[str], incumbent: str | None, position: Position) -> dict[str, Out] | None:
        """Return the candidates of a step that are out, from disk; None if it has not raced."""
        # Earlier versions listed the others too, as their text alone.
        return self.store.value(
            _name_of(texts, incumbent, position),
            lambda rows: {text: _out(*rest) for text, *rest in rows if rest},
        )

    async def out(self, texts: Sequence[str], incumbent: str | None, position: Position) -> dict[str, Out]:
        """Return the candidates that are out, from disk or by a race; the incumbent does not race.

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
            out = await race(racing, incumbent, stratified(self._labels, self.seed), self._ask)
        rows = [_row(text, outcome) for text, outcome in out.items()]
        await self.store.put_value(_name_of(texts, incumbent, position), rows)
        return out

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
    if not is_raced(config, info) or not isinstance(evaluator, PartialPredictor):
        return None
    return Racer(evaluator, info.sizes["train"], store, seed=config.seed, scrub=scrub)


def is_raced(config: SearchConfig, info: EvaluatorInfo) -> bool:
    """Return whether candidates race, if the scorer predicts single images."""
    return (
        config.racing != "off"
        and not info.cheap
        and config.objective in COUNTED
        and info.sizes.get("train", 0) > 0
    )


def _name_of(texts: Sequence[str], incumbent: str | None, position: Position) -> str:
    step = "\0".join([incumbent or "", *texts])
    where = ".".join(map(str, position[:3]))
    return f"race:{where}:{hashlib.sha256(step.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _row(text: str, outcome: Out) -> list[Any]:
    if isinstance(outcome, Rejection):
        return [text, asdict(outcome)]
    return [text, outcome.right, outcome.images, outcome.behind]


def _out(*values: Any) -> Out:
    return Rejection(**values[0]) if len(values) == 1 else Dropped(*values)
