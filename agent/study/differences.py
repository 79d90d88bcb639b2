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
    for (own_model, own_shots, data, _seed), block in blocks.items():
        if (own_model, own_shots) == (model, shots):
            # A baseline is taken from the run of the other side.
            one = first.figure_in([*filter(None, [second.run_in(block)]), *block])
            other = second.figure_in([*filter(None, [first.run_in(block)]), *block])
            if one is not None and other is not None:
                by_set.setdefault(data, []).append((one, other))
    found: dict[str, Any] = {
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
        return found
    sets = [_of_set(sides) for sides in by_set.values()]
    text = "\0".join((first.label, second.label, model, str(shots)))
    interval, drawn = interval_of(sets, pair.resample, seed=zlib.crc32(text.encode()))
    return found | {
        "points": _points(mean_of(sets)),
        "interval": None if interval is None else [_points(edge) for edge in interval],
        "resampled": list(drawn),
        "by_set": {data: _points(one.mean) for data, one in zip(by_set, sets, strict=True)},
    }


def _of_set(sides: Sequence[tuple[AccuracyOnTest, AccuracyOnTest]]) -> SetDifferences:
    images = []
    for one, other in sides:
        known = one.hits is not None and other.hits is not None and len(one.hits) == len(other.hits)
        images.append(_bits(one.hits) - _bits(other.hits) if known else None)
    return SetDifferences([one.test - other.test for one, other in sides], images)


def _bits(hits: str | None) -> Any:
    return np.frombuffer((hits or "").encode("ascii"), dtype=np.int8) - np.int8(ord("0"))


def _points(share: float) -> float:
    return round(100 * share, 4)


@dataclass(frozen=True, slots=True)
class SetDifferences:
    """Accuracy differences by seed (fractions of 1), and by image (-1, 0 or 1) if known."""

    means: Sequence[float]
    images: Sequence[npt.NDArray[np.int8] | None]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.means)


def mean_of(sets: Sequence[SetDifferences]) -> float:
    """Return the mean over data sets of the means over seeds."""
    return mean_over_sets(one.means for one in sets)


def interval_of(
    sets: Sequence[SetDifferences], resample: Collection[str], *, times: int = TIMES, seed: int = 0
) -> tuple[Interval | None, tuple[str, ...]]:
    """Return the percentile interval of the mean difference, and what was resampled for it.

    It is None if nothing can be resampled: one seed, or images unknown for some run. Draws are seeded.
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
        # A run whose images are unknown would not vary, and the interval be too narrow.
        "images": all(one is not None for each in sets for one in each.images),
        "seeds": any(len(each.means) > 1 for each in sets),
        "sets": len(sets) > 1,
    }
    return tuple(name for name, can in possible.items() if can and name in resample)


def _set_again(one: SetDifferences, drawn: Collection[str], times: int, rng: np.random.Generator) -> Floats:
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


def _joint(images: npt.NDArray[np.int8], weights: Floats, rng: np.random.Generator) -> Floats:
    """Return means over seeds and images, the images drawn once for all seeds.

    ``images`` is [seeds, images], ``weights`` [times, seeds]. Images alike in every seed are drawn as counts.
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
