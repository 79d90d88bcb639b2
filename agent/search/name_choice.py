"""Choose names of single classes by paired counts of few-shot images; never by the test split.

A name is compared with the current ones on the same images: the images that it alone puts right, less those
that it alone puts wrong. Augmented copies count as for templates: all of them together as much as the images.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Predicted: TypeAlias = Sequence[int]
"""The label predicted for each image, augmented copies last."""
Renaming: TypeAlias = Mapping[int, str]
"""New names by label."""
Predict: TypeAlias = Callable[[Renaming], Awaitable[Predicted]]
"""Scores a renaming of several classes."""

FEWEST_IMAGES = 2.0
"""Fewest images that a name must gain."""
SURE = 1.0
"""Standard errors that a gain must exceed."""
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Paired:
    """The images that one choice alone classifies correctly, and that another alone does."""

    gained: float
    lost: float

    @property
    def net(self) -> float:
        """The gain in images."""
        return self.gained - self.lost

    @property
    def holds(self) -> bool:
        """Whether the gain is more than chance and rounding bring."""
        return self.net >= FEWEST_IMAGES and self.net > SURE * math.sqrt(self.gained + self.lost)


def paired_counts(
    labels: Sequence[int], now: Predicted, before: Predicted, *, copies: int = 0, places: Sequence[int] = ()
) -> Paired:
    """Compare two predictions, on the images at ``places`` only if given."""
    gained = lost = 0.0
    images = len(labels) - copies
    weight = images / copies if copies else 0.0
    for place in places or range(len(labels)):
        if now[place] == before[place]:
            continue
        amount = 1.0 if place < images else weight
        gained += amount * (now[place] == labels[place])
        lost += amount * (before[place] == labels[place])
    # With copies everything is counted about twice.
    half = 2.0 if copies and not places else 1.0
    return Paired(gained / half, lost / half)


async def choose_names(
    labels: Sequence[int],
    base: Predicted,
    tried: Mapping[int, Mapping[str, Predicted]],
    predict: Predict,
    *,
    copies: int = 0,
    final: bool = True,
) -> dict[int, str]:
    """Return the accepted name of each class that gets one.

    Classes are renamed one at a time, the largest gain first. A name must gain alone, and again together with
    those accepted before it. The whole is kept if it holds on images that had no part in it: four folds, if
    every class has as many images; otherwise if its gain is sure.

    Args:
        labels: True label of each image; the last ``copies`` are augmented copies of the others.
        base: Predictions with the original names.
        tried: By label and name, the predictions with that name alone.
        predict: Scores a renaming of several classes.
        copies: How many of the last labels belong to augmented copies.
        final: Whether to check the whole; a choice for the next request needs no check.
    """
    chosen, after = await _grown(labels, base, tried, predict, copies=copies, places=())
    if not chosen or not final:
        return chosen
    images = len(labels) - copies
    folds = _folds(labels[:images])
    if not folds:
        return chosen if paired_counts(labels, after, base, copies=copies).holds else {}
    held_out = 0.0
    for fold in folds:
        rest = sorted({*range(images)} - {*fold})
        part, predicted = await _grown(labels, base, tried, predict, copies=copies, places=rest)
        held_out += paired_counts(labels, predicted, base, copies=copies, places=fold).net if part else 0.0
    return chosen if held_out > 0 else {}


async def _grown(
    labels: Sequence[int],
    base: Predicted,
    tried: Mapping[int, Mapping[str, Predicted]],
    predict: Predict,
    *,
    copies: int,
    places: Sequence[int],
) -> tuple[dict[int, str], Predicted]:
    def compared(now: Predicted, before: Predicted) -> Paired:
        return paired_counts(labels, now, before, copies=copies, places=places)

    alone = [
        (compared(predicted, base), label, name)
        for label, names in tried.items()
        for name, predicted in names.items()
    ]
    alone.sort(key=lambda one: (-one[0].net, one[1], one[2]))
    chosen: dict[int, str] = {}
    now = base
    for counts, label, name in alone:
        if not counts.holds or label in chosen or name in chosen.values():
            continue
        then = await predict({**chosen, label: name})
        if compared(then, now).holds:
            chosen[label], now = name, then
    return chosen, now


def _folds(labels: Sequence[int]) -> list[list[int]]:
    """Return places by fold, each class spread over all; empty if a class has fewer images than folds."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        by_class[label].append(place)
    if not by_class or min(map(len, by_class.values())) < FOLDS:
        return []
    return [
        [place for places in by_class.values() for place in places[number::FOLDS]] for number in range(FOLDS)
    ]
