"""A study's accuracy tables (rows are methods, columns are data sets) and learning curves."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..results.details import BEST
from ..results.gain import ENSEMBLE
from .grid import shown_data
from .outcomes import AccuracyOnTest, Blocks, RunOutcome, mean_over_sets
from .study import ENSEMBLE_SUFFIX, REFERENCES, Study, llm_label, white_box_label


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the tables: a method with its LLM (if it asks one), or a baseline of every search."""

    label: str
    method: str | None
    llm: str | None = None
    figure: str = BEST
    white_box: bool = False

    @property
    def binds(self) -> bool:
        """Whether a data set and seed that it lacks is left out of every mean."""
        return self.method is not None and self.figure == BEST

    def runs_on(self, study: Study, model: str, shots: int | None) -> bool:
        """Return whether it is run on a model with so many shots; a baseline always is."""
        return self.method is None or any(
            one.row == self.method and one.runs_on(model, shots) for one in study.methods
        )

    def run_in(self, block: Sequence[RunOutcome]) -> RunOutcome | None:
        own = (one for one in block if (one.cell.method, one.cell.llm) == (self.method, self.llm))
        return next(own, None)

    def figure_in(self, block: Sequence[RunOutcome]) -> AccuracyOnTest | None:
        """Return its figure in a block; a baseline's is that of the first run that has it."""
        for one in block:
            own = self.method is None or (self.method, self.llm) == (one.cell.method, one.cell.llm)
            if own and (found := one.figures.get(self.figure)) is not None:
                return found
        return None


def rows_of(study: Study, model: str, shots: int | None) -> list[StudyRow]:
    """Return the rows of the table of one model and number of shots, baselines first."""
    rows = [StudyRow(name, None, figure=name) for name in study.references]
    for row in (one.row for one in study.methods if one.runs_on(model, shots)):
        rows += rows_named(study, row)
        if study.ensembles:
            rows += rows_named(study, row + ENSEMBLE_SUFFIX)
    return rows


def rows_named(study: Study, name: str, llm: str | None = None) -> list[StudyRow]:
    """Return the rows that a name in ``compare`` stands for: one for each LLM, where the method asks."""
    if name in REFERENCES:
        return [StudyRow(name, None, figure=name)]
    own = name.removesuffix(ENSEMBLE_SUFFIX) if name not in [one.row for one in study.methods] else name
    figure = BEST if own == name else ENSEMBLE
    (method,) = (one for one in study.methods if one.row == own)
    if method.is_white_box:
        return [] if figure == ENSEMBLE else [StudyRow(white_box_label(name), own, white_box=True)]
    if not method.asks:
        return [StudyRow(name, own, figure=figure)]
    several = len(study.llms) > 1
    return [
        StudyRow(llm_label(name, one.row) if several else name, own, one.row, figure)
        for one in study.llms
        if llm in (None, one.row)
    ]


def tables(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return a table for each model and number of shots; test accuracies are fractions of 1.

    A data set's figures average the seeds that every method has finished there; the mean is over data sets
    with such seeds. ``std`` is the sample standard deviation over the seeds that all these data sets have.
    Methods without finished runs have no figures and do not restrict the others. A baseline that some data
    set lacks has no mean; one that all lack has no row.
    """
    return [_table(study, model.row, shots, blocks) for model in study.models for shots in study.shots]


def _table(study: Study, model: str, shots: int | None, blocks: Blocks) -> dict[str, Any]:
    columns = [shown_data(data) for data in study.data]
    here = {key[2:]: block for key, block in blocks.items() if key[:2] == (model, shots)}

    def is_there(row: StudyRow) -> bool:
        return any(row.figure_in(block) is not None for block in here.values())

    rows = [row for row in rows_of(study, model, shots) if row.method is not None or is_there(row)]
    alive = [row for row in rows if row.binds and is_there(row)]

    def is_whole(key: tuple[str, int]) -> bool:
        return bool(alive) and all(row.figure_in(here.get(key, ())) is not None for row in alive)

    seeds = {data: [seed for seed in study.seeds if is_whole((data, seed))] for data in columns}
    return {
        "model": model,
        "shots": shots,
        "columns": columns,
        "seeds": seeds,
        "rows": [_row(row, row in alive or not row.binds, seeds, here) for row in rows],
        "sets": sum(bool(own) for own in seeds.values()),
    }


def _row(
    row: StudyRow,
    alive: bool,
    seeds: Mapping[str, Sequence[int]],
    here: Mapping[tuple[str, int], Sequence[RunOutcome]],
) -> dict[str, Any]:
    figures: dict[str, dict[int, AccuracyOnTest]] = {}
    for data, own in seeds.items():
        found = {seed: figure for seed in own if (figure := row.figure_in(here[data, seed])) and alive}
        figures[data] = found if len(found) == len(own) else {}
    means = {data: _mean([one.test for one in own.values()]) for data, own in figures.items()}
    used = [data for data, own in seeds.items() if own]
    whole = bool(used) and all(figures[data] for data in used)
    shared = set.intersection(*(set(seeds[data]) for data in used)) if whole else set[int]()
    by_seed = [statistics.fmean(figures[data][seed].test for data in used) for seed in sorted(shared)]
    return {
        "label": row.label,
        "white_box": row.white_box,
        "reference": row.method is None,
        "test": means,
        "at_chance": [data for data, own in figures.items() if any(one.at_chance for one in own.values())],
        "mean": statistics.fmean(means[data] or 0.0 for data in used) if whole else None,
        "std": round(statistics.stdev(by_seed), 6) if len(by_seed) > 1 else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def curves(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return learning curves: the test accuracy of what selection would have picked after n templates.

    Curves of one model and number of shots share data sets and seeds: those that every method with a curve
    has finished in detail. ``sets`` and ``runs`` count them, ``of`` those of the study. A point needs all
    these runs to have scored so many templates; it is the mean over data sets of means over seeds.
    """
    found = []
    for model in study.models:
        for shots in study.shots:
            here = {key: block for key, block in blocks.items() if key[:2] == (model.row, shots)}
            rows = [row for row in rows_of(study, model.row, shots) if row.binds and not row.white_box]
            found += [
                {"label": row.label, "model": model.row, "shots": shots, **curve}
                for row, curve in _side_by_side(rows, here, study)
            ]
    return found


def _side_by_side(
    rows: Sequence[StudyRow], here: Blocks, study: Study
) -> Iterator[tuple[StudyRow, dict[str, Any]]]:
    """Yield each row with its curve over the runs that all rows with a curve have."""
    runs = []
    for row in rows:
        own = {key: run for key, block in here.items() if (run := row.run_in(block)) and run.detailed}
        if any(run.curve for run in own.values()):
            runs.append((row, own))
    shared = [key for key in here if all(key in own for _, own in runs)]
    sets = len({data for _, _, data, _ in shared})
    of = {"sets": len(study.data), "runs": len(study.data) * len(study.seeds)}
    for row, own in runs:
        by_set: dict[str, list[Mapping[int, float]]] = {}
        for key in shared:
            by_set.setdefault(key[2], []).append(own[key].curve)
        points = [
            {
                "templates": count,
                "test": mean_over_sets((curve[count] for curve in each) for each in by_set.values()),
            }
            for count in sorted(study.curve)
            if by_set and all(count in curve for each in by_set.values() for curve in each)
        ]
        if points:
            yield row, {"sets": sets, "runs": len(shared), "of": of, "points": points}
