"""Differences between rows of a study over data sets: mean, interval, median, trimmed mean, p."""

from __future__ import annotations

import itertools
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from promptclimb.agent.study.differences import SetDifferences, interval_of

LARGEST = 2
"""Sets that the trimmed mean leaves out: those whose differences are largest."""
LEVEL = 0.05
_EXACT = 16
"""Up to so many sets, every pattern of signs is tried."""
_PATTERNS = 50_000


@dataclass(frozen=True, slots=True)
class OverSets:
    """A difference in percentage points.

    Attributes:
        mean: The mean over data sets of means over seeds.
        interval: 95 %, sets and seeds resampled.
        median: The median over data sets.
        trimmed: The mean without the ``LARGEST`` sets; None for too few.
        p: Two-sided, from flipping the signs of whole sets.
    """

    mean: float
    interval: tuple[float, float]
    median: float
    trimmed: float | None
    p: float


def over_sets(by_set: Mapping[str, Sequence[float]], name: str) -> OverSets:
    """Summarise differences by set and seed, in points; ``name`` seeds the draws."""
    sets = [SetDifferences(each, [None] * len(each)) for each in by_set.values()]
    seed = zlib.crc32(name.encode())
    interval, _ = interval_of(sets, ("sets", "seeds"), seed=seed)
    assert interval is not None
    means = sorted(one.mean for one in sets)
    trimmed = statistics.fmean(means[:-LARGEST]) if len(means) > 2 * LARGEST else None
    return OverSets(
        statistics.fmean(means), interval, statistics.median(means), trimmed, _sign_flips(means, seed)
    )


def _sign_flips(means: Sequence[float], seed: int) -> float:
    values = np.asarray(means)
    if len(values) <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), size=(_PATTERNS, len(values)))
        signs = np.vstack([np.ones(len(values)), drawn])
    return float((np.abs(signs @ values) >= abs(values.sum()) - 1e-9).mean())


def holm(ps: Mapping[str, float]) -> set[str]:
    """Return the names whose differences remain at ``LEVEL`` with Holm's correction."""
    kept = set[str]()
    for place, (name, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        if p > LEVEL / (len(ps) - place):
            break
        kept.add(name)
    return kept
