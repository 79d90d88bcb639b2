"""Differences between rows of a study, each with a 95 % interval from a paired bootstrap.

Test images, seeds or data sets are resampled, as the user chooses, and both sides are drawn together, so what
they share cancels. All seeds share a data set's test images, so these are drawn once for all seeds.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..results.result import Interval
from .outcomes import AccuracyOnTest, Blocks, mean_over_sets
from .study import Compare, Study
from .tables import StudyRow, rows_named

TIMES = 10_000
_HELD = 4_000_000
"""Numbers in memory at once."""

Floats = npt.NDArray[np.float64]


def differences(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return each difference in ``study.compare`` by model and number of shots, in percentage points.

    It is the mean over data sets of means over seeds, for the seeds that both sides have finished.
    """
    return [
        _difference(pair, first, second, model.row, shots, blocks)
        for pair in study.compare
        for model in study.models
        for shots in study.shots
        for first, second in _pairs(study, pair)
        if first.runs_on(study, model.row, shots) and second.runs_on(study, model.row, shots)
    ]


def _pairs(study: Study, pair: Compare) -> Iterator[tuple[StudyRow, StudyRow]]:
    """Yield the rows to compare: with the same LLM on both sides, unless the study names one."""
    for first in rows_named(study, pair.first, pair.first_llm):
        for second in rows_named(study, pair.second, pair.second_llm):
            named = pair.first_llm is not None or pair.second_llm is not None
            if named or None in (first.llm, second.llm) or first.llm == second.llm:
                yield first, second


def _difference(
    pair: Compare, first: StudyRow, second: StudyRow, model: str, shots: int | None, blocks: Blocks
) -> dict[str, Any]:
    by_set: dict[str, list[tuple[AccuracyOnTest, AccuracyOnTest]]] = {}
    for (block_model, block_shots, data, _seed), block in blocks.items():
        if (block_model, block_shots) == (model, shots):
            # A baseline is taken from the run of the other side.
            figures = (
                first.figure_in([*filter(None, [second.run_in(block)]), *block]),
                second.figure_in([*filter(None, [first.run_in(block)]), *block]),
            )
            if figures[0] is not None and figures[1] is not None:
                by_set.setdefault(data, []).append((figures[0], figures[1]))
    difference: dict[str, Any] = {
        "first": first.label,
        "second": second.label,
        "model": model,
        "shots": shots,
        "white_box": first.white_box or second.white_box,
        "sets": len(by_set),
        "runs": sum(map(len, by_set.values())),
        "points": None,
        "interval": None,
        "resampled": [],
    }
    if not by_set:
        return difference
    sets = [SetDifferences.of(sides) for sides in by_set.values()]
    text = "\0".join((first.label, second.label, model, str(shots)))
    interval, resampled = interval_of(sets, pair.resample, seed=zlib.crc32(text.encode()))
    return difference | {
        "points": _points(mean_of(sets)),
        "interval": None if interval is None else [_points(edge) for edge in interval],
        "resampled": list(resampled),
        "by_set": {data: _points(of_set.mean) for data, of_set in zip(by_set, sets, strict=True)},
    }


def _points(share: float) -> float:
    return round(100 * share, 4)


@dataclass(frozen=True, slots=True)
class SetDifferences:
    """Accuracy differences by seed (fractions of 1), and by image (-1, 0 or 1) if known."""

    means: Sequence[float]
    images: Sequence[npt.NDArray[np.int8] | None]

    @classmethod
    def of(cls, sides: Sequence[tuple[AccuracyOnTest, AccuracyOnTest]]) -> SetDifferences:
        """Return the differences of one data set from the figures of both sides by seed."""

        def bits(hits: str) -> npt.NDArray[np.int8]:
            return np.frombuffer(hits.encode("ascii"), dtype=np.int8) - np.int8(ord("0"))

        images = [
            bits(first.hits) - bits(second.hits)
            if first.hits is not None and second.hits is not None and len(first.hits) == len(second.hits)
            else None
            for first, second in sides
        ]
        return cls([first.test - second.test for first, second in sides], images)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.means)


def mean_of(sets: Sequence[SetDifferences]) -> float:
    """Return the mean over data sets of the means over seeds."""
    return mean_over_sets(of_set.means for of_set in sets)


def interval_of(
    sets: Sequence[SetDifferences], resample: Collection[str], *, times: int = TIMES, seed: int = 0
) -> tuple[Interval | None, tuple[str, ...]]:
    """Return the percentile interval of the mean difference, and what was resampled for it.

    It is None if nothing can be resampled: one seed, or images unknown for some run. Draws are seeded.
    """
    possible = {
        # A run whose images are unknown would not vary, and the interval be too narrow.
        "images": all(images is not None for of_set in sets for images in of_set.images),
        "seeds": any(len(of_set.means) > 1 for of_set in sets),
        "sets": len(sets) > 1,
    }
    resampled = tuple(name for name, is_possible in possible.items() if is_possible and name in resample)
    if not resampled:
        return None, ()
    rng = np.random.default_rng(seed)
    draws = np.stack([_draw_set(of_set, resampled, times, rng) for of_set in sets], axis=1)  # [times, sets]
    if "sets" in resampled:
        set_indices = rng.integers(len(sets), size=draws.shape)
        # A set that is drawn twice is drawn twice inside, too.
        draws = draws[rng.integers(times, size=draws.shape), set_indices]
    low, high = np.quantile(draws.mean(axis=1), (0.025, 0.975))
    return (float(low), float(high)), resampled


def _draw_set(
    of_set: SetDifferences, resampled: Collection[str], times: int, rng: np.random.Generator
) -> Floats:
    """Return the mean difference of one data set in each draw: [times]."""
    seeds = len(of_set.means)
    weights = np.full((times, seeds), 1 / seeds)
    if "seeds" in resampled:
        weights = rng.multinomial(seeds, [1 / seeds] * seeds, size=times) / seeds
    by_seed = [images for images in of_set.images if images is not None]
    if "images" not in resampled:
        return np.asarray(weights @ np.asarray(of_set.means))
    if len({len(images) for images in by_seed}) == 1:
        return _draw_images(np.stack(by_seed), weights, rng)
    columns = [_draw_images(images[None], np.ones((times, 1)), rng) for images in by_seed]
    return np.asarray((weights * np.stack(columns, axis=1)).sum(axis=1))


def _draw_images(images: npt.NDArray[np.int8], weights: Floats, rng: np.random.Generator) -> Floats:
    """Return means over seeds and images, the images drawn once for all seeds.

    ``images`` is [seeds, images], ``weights`` [times, seeds]. Images alike in every seed are drawn as counts.
    """
    kinds, counts = np.unique(images, axis=1, return_counts=True)  # [seeds, kinds]
    number = images.shape[1]
    means = []
    step = max(1, _HELD // kinds.shape[1])
    for start in range(0, len(weights), step):
        chunk = weights[start : start + step]
        shares = rng.multinomial(number, counts / number, size=len(chunk)) / number
        means.append(((chunk @ kinds) * shares).sum(axis=1))
    return np.concatenate(means)
