"""Race candidates on blocks of few-shot images, and drop those that fall behind.

Blocks hold equally many images of each class. After each block, a candidate stays if it is not far behind the
leader on the same images and is among the best share of all. The outcome depends on the labels alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ...evaluator.scoring import Rejection


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
"""The largest shares tried that ask for at most 15 % of the labels on benchmarks/racing.py's tuning sets."""

LEVEL = 16
Block: TypeAlias = tuple[Stage, Sequence[int]]
"""A stage, and the places of the images that are new in it."""
Row: TypeAlias = Sequence[bool]
"""Whether one candidate classifies each image correctly, in the order in which they were asked."""
AskSome: TypeAlias = Callable[[Sequence[str], Sequence[int]], Awaitable[Mapping[str, Row | Rejection]]]
"""Classifies the images at some places by each of some candidates."""


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
        ``LEVEL`` more: few images exaggerate. That says more than the share of so few, since they are equally
        hard for both.
        """
        value = best - max(self.behind, 0.5) / (self.images + LEVEL)
        return max(value, min(0.0, best - 1e-9))


Outcome: TypeAlias = Dropped | Rejection | None
"""What became of a candidate; None: it is a finalist, to be scored on all images."""


def blocks_of(labels: Sequence[int], seed: int, stages: Sequence[Stage] = STAGES) -> list[Block]:
    """Return the stages with their images; a stage that leaves no image for the finalists is left out."""
    order, classes = stratified(labels, seed), len(set(labels))
    found: list[Block] = []
    done = 0
    for stage in stages:
        asked = round(stage.images * classes)
        if done < asked < len(order):
            found.append((stage, order[done:asked]))
            done = asked
    return found


def labels_at_most(candidates: int, blocks: Sequence[Block], images: int) -> int:
    """Return how many labels a race takes at most, those of all images by its finalists included."""
    alive, done, found = candidates, 0, 0
    for stage, places in blocks:
        found += alive * len(places)
        done += len(places)
        alive = min(alive, _most_staying(stage, candidates))
    return found + alive * (images - done)


def _most_staying(stage: Stage, candidates: int) -> int:
    return max(1, math.ceil(stage.keep * candidates - 1e-9))


def stratified(labels: Sequence[int], seed: int) -> list[int]:
    """Return all places: one of each class, then a second one of each, in an order that the seed draws."""
    coins = [hashlib.sha256(f"{seed} {place}".encode()).digest() for place in range(len(labels))]
    rank: dict[int, int] = {}
    of_class: dict[int, int] = {}
    for place in sorted(range(len(labels)), key=coins.__getitem__):
        rank[place] = of_class.get(labels[place], 0)
        of_class[labels[place]] = rank[place] + 1
    return sorted(rank, key=lambda place: (rank[place], coins[place]))


async def race(
    candidates: Sequence[str], incumbent: str | None, blocks: Sequence[Block], ask_some: AskSome
) -> dict[str, Outcome]:
    """Race distinct candidates, also against the incumbent, and return what became of each.

    Without an incumbent, at least one candidate that is not rejected is a finalist. The order of the
    candidates does not matter.
    """
    running = _Running(candidates, incumbent)
    for stage, places in blocks:
        if running.decided:
            break
        running.take(await ask_some(running.asked, places))
        running.drop(stage)
    return {text: running.outcomes.get(text) for text in candidates}


@dataclass
class _Running:
    candidates: Sequence[str]
    incumbent: str | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: dict[str, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.alive = sorted(self.candidates, key=lambda text: hashlib.sha256(text.encode()).digest())

    @property
    def asked(self) -> list[str]:
        """Who is asked on the next block."""
        return self.alive if self.incumbent is None else [*self.alive, self.incumbent]

    @property
    def decided(self) -> bool:
        """Whether more labels would drop nobody."""
        return len(self.alive) <= (self.incumbent is None)

    def take(self, answers: Mapping[str, Row | Rejection]) -> None:
        """Take in a block's answers."""
        for text, answer in answers.items():
            if not isinstance(answer, Rejection):
                self.rows.setdefault(text, []).extend(answer)
            elif text == self.incumbent:  # the scorer has changed its mind
                self.incumbent = None
            else:
                self.outcomes[text] = answer
        self.alive = [text for text in self.alive if text not in self.outcomes]

    def drop(self, stage: Stage) -> None:
        """Drop those who are too far behind the leader, and those beyond the stage's share."""
        if not self.alive:
            return
        right = {text: sum(self.rows[text]) for text in self.asked}
        # Sorting is stable: ties stay in the earlier order, which began as that of the hash.
        self.alive.sort(key=lambda text: -right[text])
        leader, margin = self.alive[0], stage.among
        if self.incumbent is not None and right[self.incumbent] >= right[leader]:
            leader, margin = self.incumbent, stage.margin
        most = _most_staying(stage, len(self.candidates))
        staying = []
        for place, text in enumerate(self.alive):
            if place < most and self._level(text, leader, margin):
                staying.append(text)
            else:
                self.outcomes[text] = Dropped(right[text], len(self.rows[text]), right[leader] - right[text])
        self.alive = staying

    def _level(self, text: str, leader: str, margin: float) -> bool:
        pairs = list(zip(self.rows[leader], self.rows[text], strict=True))
        behind = sum(one - other for one, other in pairs)
        differing = sum(one != other for one, other in pairs)
        return behind <= 0 or behind <= margin * math.sqrt(differing)
