"""A study's accuracy tables (rows are methods, columns are data sets), and differences.

A difference between rows has a 95 % interval from a paired bootstrap. Test images, seeds or data sets are
resampled, as the user chooses, and both sides are drawn together, so what they share cancels. All seeds share
a data set's test images, so these are drawn once for all seeds.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...evaluator.scoring import Shots
from ..results.accuracies import RECOMMENDED, Interval
from .grid import shown_data
from .outcomes import AccuracyOnTest, Blocks, RunOutcome, mean_over_sets
from .study import FIGURE_BY_SUFFIX, REFERENCES, Compare, Study, llm_label, white_box_label

TIMES = 10_000
_HELD = 4_000_000
"""Numbers in memory at once."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the tables: a method with its LLM (if it asks one), or a baseline of every search."""

    label: str
    method: str | None
    llm: str | None = None
    figure: str = RECOMMENDED
    white_box: bool = False

    @property
    def binds(self) -> bool:
        """Whether a data set and seed that it lacks is left out of every mean."""
        return self.method is not None and self.figure == RECOMMENDED

    def runs_on(self, study: Study, model: str, shots: Shots | None) -> bool:
        """Return whether it is run on a model with so many shots; a baseline always is."""
        return self.method is None or any(
            method.row == self.method and method.runs_on(model, shots) for method in study.methods
        )

    def run_in(self, block: Sequence[RunOutcome]) -> RunOutcome | None:
        runs = (run for run in block if (run.cell.method, run.cell.llm) == (self.method, self.llm))
        return next(runs, None)

    def figure_in(self, block: Sequence[RunOutcome]) -> AccuracyOnTest | None:
        """Return its figure in a block; a baseline's is that of the first run that has it."""
        for run in block:
            is_its_run = self.method is None or (self.method, self.llm) == (run.cell.method, run.cell.llm)
            if is_its_run and (figure := run.figures.get(self.figure)) is not None:
                return figure
        return None


def rows_of(study: Study, model: str, shots: Shots | None) -> list[StudyRow]:
    """Return the rows of the table of one model and number of shots, baselines first."""
    rows = [StudyRow(name, None, figure=name) for name in study.references]
    for method in study.methods:
        if method.runs_on(model, shots):
            for name in method.rows if study.forms else (method.row,):
                rows += rows_named(study, name)
    return rows


def rows_named(study: Study, name: str, llm: str | None = None) -> list[StudyRow]:
    """Return the rows that a name in ``compare`` stands for: one for each LLM, where the method asks."""
    if name in REFERENCES:
        return [StudyRow(name, None, figure=name)]
    row, figure = name, RECOMMENDED
    if name not in [method.row for method in study.methods]:
        suffix = next(suffix for suffix in FIGURE_BY_SUFFIX if name.endswith(suffix))
        row, figure = name.removesuffix(suffix), FIGURE_BY_SUFFIX[suffix]
    (method,) = (method for method in study.methods if method.row == row)
    if method.is_white_box:
        return [StudyRow(white_box_label(name), row, white_box=True)]
    if not method.asks:
        return [StudyRow(name, row, figure=figure)]
    several = len(study.llms) > 1
    llms = [entry.row for entry in study.llms if llm in (None, entry.row)]
    return [StudyRow(llm_label(name, llm_row) if several else name, row, llm_row, figure) for llm_row in llms]


def tables(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return a table for each model and number of shots; test accuracies are fractions of 1.

    A data set's figures average the seeds that every method has finished there; the mean is over data sets
    with such seeds. ``std`` is the sample standard deviation over the seeds that all these data sets have.
    Methods without finished runs have no figures and do not restrict the others. A baseline that some data
    set lacks has no mean; one that all lack has no row.
    """
    columns = [shown_data(data) for data in study.data]
    return [
        {"model": model.row, "shots": shots, **table_of(rows_of(study, model.row, shots), columns, selected)}
        for model in study.models
        for shots in study.shots
        for selected in [{key[2:]: block for key, block in blocks.items() if key[:2] == (model.row, shots)}]
    ]


def table_of(
    rows: Sequence[StudyRow], columns: Sequence[str], blocks: Mapping[tuple[str, int], Sequence[RunOutcome]]
) -> dict[str, Any]:
    """Return the table of some rows; ``blocks`` has its runs that count, by data set and seed."""
    with_figures = [row for row in rows if any(row.figure_in(block) for block in blocks.values())]
    binding = [row for row in with_figures if row.binds]
    seeds = {
        data: [
            seed
            for set_name, seed in blocks
            if set_name == data and binding and all(row.figure_in(blocks[data, seed]) for row in binding)
        ]
        for data in columns
    }
    return {
        "columns": list(columns),
        "seeds": seeds,
        "rows": [
            _table_row(row, row in binding or not row.binds, seeds, blocks)
            for row in rows
            if row.method is not None or row in with_figures
        ],
        "sets": sum(map(bool, seeds.values())),
    }


def _table_row(
    row: StudyRow,
    has_figures: bool,
    seeds: Mapping[str, Sequence[int]],
    blocks: Mapping[tuple[str, int], Sequence[RunOutcome]],
) -> dict[str, Any]:
    figures: dict[str, dict[int, AccuracyOnTest]] = {}
    for data, of_set in seeds.items():
        by_seed = {seed: figure for seed in of_set if (figure := row.figure_in(blocks[data, seed]))}
        figures[data] = by_seed if has_figures and len(by_seed) == len(of_set) else {}
    means = {
        data: statistics.fmean(figure.test for figure in by_seed.values()) if by_seed else None
        for data, by_seed in figures.items()
    }
    used = [data for data in seeds if seeds[data]]
    set_means = [mean for data in used if (mean := means[data]) is not None]
    is_whole = bool(used) and len(set_means) == len(used)
    shared = set.intersection(*(set(seeds[data]) for data in used)) if is_whole else set[int]()
    seed_means = [statistics.fmean(figures[data][seed].test for data in used) for seed in sorted(shared)]
    return {
        "label": row.label,
        "white_box": row.white_box,
        "reference": row.method is None,
        "test": means,
        "at_chance": [
            data for data, by_seed in figures.items() if any(figure.at_chance for figure in by_seed.values())
        ],
        "mean": statistics.fmean(set_means) if is_whole else None,
        "std": round(statistics.stdev(seed_means), 6) if len(seed_means) > 1 else None,
    }


def differences(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return each difference in ``study.compare`` by model and number of shots, in percentage points.

    It is the mean over data sets of means over seeds, for the seeds that both sides have finished.
    """
    return [
        {
            **difference_of(first, second, pair.resample, selected, f"{model.row}\0{shots}"),
            "model": model.row,
            "shots": shots,
        }
        for pair in study.compare
        for model in study.models
        for shots in study.shots
        for selected in [{key[2:]: block for key, block in blocks.items() if key[:2] == (model.row, shots)}]
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


def difference_of(
    first: StudyRow,
    second: StudyRow,
    resample: Sequence[str],
    blocks: Mapping[tuple[str, int], Sequence[RunOutcome]],
    seed: str,
) -> dict[str, Any]:
    """Return the difference of two rows over the data sets and seeds that both have; ``seed`` is of draws."""
    by_set: dict[str, list[tuple[AccuracyOnTest, AccuracyOnTest]]] = {}
    for (data, _seed), block in blocks.items():
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
    text = "\0".join((first.label, second.label, seed))
    interval, resampled = interval_of(sets, resample, seed=zlib.crc32(text.encode()))
    return difference | {
        "points": _in_points(mean_over_sets(of_set.means for of_set in sets)),
        "interval": None if interval is None else [_in_points(edge) for edge in interval],
        "resampled": list(resampled),
        "by_set": {
            data: _in_points(statistics.fmean(of_set.means))
            for data, of_set in zip(by_set, sets, strict=True)
        },
    }


def _in_points(share: float) -> float:
    return round(100 * share, 4)


@dataclass(frozen=True, slots=True)
class SetDifferences:
    """Accuracy differences by seed (fractions of 1), and by image (-1, 0 or 1) if known."""

    means: Sequence[float]
    images: Sequence[npt.NDArray[np.int8] | None]

    @classmethod
    def of(cls, sides: Sequence[tuple[AccuracyOnTest, AccuracyOnTest]]) -> SetDifferences:
        """Return the differences of one data set from the figures of both sides by seed."""
        means = [first.test - second.test for first, second in sides]
        return cls(means, [first.changes_from(second) for first, second in sides])


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
