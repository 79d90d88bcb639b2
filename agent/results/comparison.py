"""Several runs side by side: what each found, and by how much it is better than the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .details import BEST, Decisions, Details
from .gain import Difference, difference
from .intervals import paired, unpaired
from .result import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A run in a comparison.

    Attributes:
        run: How it is called.
        result: What it found.
        details: What it decided image by image; None where that was not kept.
    """

    run: str
    result: SearchResult
    details: Details | None = None

    @property
    def decisions(self) -> Decisions | None:
        """Its decisions on the test images, if they are those of its result."""
        if self.details is None or self.details.decisions is None or self.result.best.test is None:
            return None
        hits = self.details.decisions.hits(BEST)
        # An accuracy may be rounded, but not by as much as an image.
        if not hits or abs(sum(hits) - len(hits) * self.result.best.test) > 0.5:
            return None
        return self.details.decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """By how much a run's best template is better on test than that of the first run.

    Attributes:
        over: The difference; None where there is none to tell.
        why: Why there is none, or why its interval is not paired; empty where it is.
    """

    over: Difference | None
    why: str = ""


def versus(one: Contender, first: Contender) -> Versus:
    """Return the difference of two runs on their test images.

    Its interval is over pairs of decisions where both runs looked at the same images and kept their
    decisions; else it takes the two accuracies for independent, and is wider than need be.
    """
    ours, theirs = one.result, first.result
    if ours.dataset.name != theirs.dataset.name:
        return Versus(over=None, why="another data set")
    if ours.best.test is None or theirs.best.test is None:
        return Versus(over=None, why="no test accuracy yet")
    if not all(0.0 <= value <= 1.0 for value in (ours.best.test, theirs.best.test)):
        return Versus(over=None, why="scores that are no accuracies")
    reason = _unpairable(one.decisions, first.decisions)
    if not reason and one.decisions is not None and first.decisions is not None:
        pairs = zip(one.decisions.hits(BEST) or (), first.decisions.hits(BEST) or (), strict=True)
        apart = [(mine, others) for mine, others in pairs if mine != others]
        better, images = sum(mine for mine, _ in apart), len(one.decisions.labels)
        worse = len(apart) - better
        interval = paired(better, worse, images)
        return Versus(
            over=difference(
                (better - worse) / images, interval, paired=True, images=images, better=better, worse=worse
            )
        )
    sizes = ours.dataset.sizes.test, theirs.dataset.sizes.test
    if min(sizes) < 1:
        return Versus(over=None, why="the number of test images is not known")
    interval = unpaired(ours.best.test, theirs.best.test, *sizes)
    seen = difference(ours.best.test - theirs.best.test, interval, paired=False, images=min(sizes))
    return Versus(over=seen, why=f"not paired: {reason}")


def _unpairable(ours: Decisions | None, theirs: Decisions | None) -> str:
    """Return why decisions cannot be paired image by image; empty where they can."""
    if ours is None or theirs is None:
        return "no decisions were kept"
    if ours.image_set is None or theirs.image_set is None:
        return "the black box does not say which images they are"
    if ours.image_set != theirs.image_set or ours.labels != theirs.labels:
        return "other test images"
    return ""


def rows_of(contenders: Sequence[Contender]) -> list[Versus]:
    """Return each run against the first one; the first against itself is nothing to tell."""
    first, *others = contenders
    return [Versus(over=None), *(versus(one, first) for one in others)]
