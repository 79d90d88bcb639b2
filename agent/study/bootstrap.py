"""95 % intervals of a mean difference over data sets, by a paired bootstrap.

What is drawn again is what the user takes for chance: the test images, the seeds, the data sets. Both sides
of a difference are drawn together, so what they share cancels. The test images of a data set are the same
ones for every seed, so they are drawn once for all its seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..results.result import Interval

TIMES = 10_000
_HELD = 4_000_000
"""Numbers held at once."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SetDifferences:
    """One data set: a difference for each seed.

    Attributes:
        means: The difference of the accuracies, seed by seed, as shares of 1.
        images: For each seed the difference image by image, each -1, 0 or 1; None where a seed's are not
            known.
    """

    means: Sequence[float]
    images: Sequence[npt.NDArray[np.int8] | None]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.means))


def mean_of(sets: Sequence[SetDifferences]) -> float:
    """Return the mean over data sets of the means over seeds."""
    return float(np.mean([one.mean for one in sets]))


def interval_of(
    sets: Sequence[SetDifferences], resample: Collection[str], *, times: int = TIMES, seed: int = 0
) -> tuple[Interval | None, tuple[str, ...]]:
    """Return the percentile interval of the mean difference, and what was drawn again for it.

    Args:
        sets: The differences, a data set each.
        resample: What is to be drawn again: ``images``, ``seeds``, ``sets``.
        times: How often.
        seed: Of the draws: the same differences have the same interval.

    Returns:
        None where nothing can be drawn: of one seed there is no spread, and images are drawn only where those
        of every run are known.
    """
    drawn = _drawn(sets, resample)
    if not drawn:
        return None, ()
    rng = np.random.default_rng(seed)
    again = np.stack([_set_again(one, drawn, times, rng) for one in sets], axis=1)  # [times, sets]
    if "sets" in drawn:
        places = rng.integers(len(sets), size=again.shape)
        # A set that is drawn twice is drawn twice inside, too.
        again = again[rng.integers(times, size=again.shape), places]
    low, high = np.quantile(again.mean(axis=1), (0.025, 0.975))
    return (float(low), float(high)), drawn


def _drawn(sets: Sequence[SetDifferences], resample: Collection[str]) -> tuple[str, ...]:
    possible = {
        # Where a single one is not known its part would stand still, and the interval be too narrow.
        "images": all(one is not None for each in sets for one in each.images),
        "seeds": any(len(each.means) > 1 for each in sets),
        "sets": len(sets) > 1,
    }
    return tuple(name for name, can in possible.items() if can and name in resample)


def _set_again(one: SetDifferences, drawn: Collection[str], times: int, rng: np.random.Generator) -> Numbers:
    """Return the mean of one data set, drawn again so many times."""
    seeds = len(one.means)
    weights = np.full((times, seeds), 1 / seeds)
    if "seeds" in drawn:
        weights = rng.multinomial(seeds, [1 / seeds] * seeds, size=times) / seeds
    known = [images for images in one.images if images is not None]
    if "images" not in drawn:
        return np.asarray(weights @ np.asarray(one.means))
    if len({len(images) for images in known}) == 1:
        return _joint(np.stack(known), weights, rng)
    columns = [_joint(images[None], np.ones((times, 1)), rng) for images in known]
    return np.asarray((weights * np.stack(columns, axis=1)).sum(axis=1))


def _joint(images: npt.NDArray[np.int8], weights: Numbers, rng: np.random.Generator) -> Numbers:
    """Return means over seeds and images, the images drawn once for all seeds.

    Images with the same differences for every seed are alike, so what is drawn is how many of each kind.

    Args:
        images: The differences, [seeds, images].
        weights: Of the seeds, [times, seeds].
        rng: The source of the draws.
    """
    kinds, counts = np.unique(images, axis=1, return_counts=True)  # [seeds, kinds]
    number = images.shape[1]
    found = []
    step = max(1, _HELD // kinds.shape[1])
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        shares = rng.multinomial(number, counts / number, size=len(part)) / number
        found.append(((part @ kinds) * shares).sum(axis=1))
    return np.concatenate(found)
