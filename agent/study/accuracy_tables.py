"""The paper's form of table: rows methods, columns data sets, and the mean; one for each model and shots."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .comparing import Blocks
from .grid import shown_data
from .outcomes import Outcome
from .rows import Row, rows_of
from .study_file import Study


def tables(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return a table for each model and number of shots; accuracies on test as fractions of 1.

    Only what is alike is averaged. A data set's figures are over the seeds that every method has finished
    there, and the mean is over the data sets that have such a seed. A method that has finished nothing has
    no figures, and takes none from the others. A reference that some data set lacks, a hand-made template
    say, has no mean over the sets; one that all lack has no row.

    Args:
        study: The file.
        blocks: What counts, by model, shots, data set and seed.
    """
    return [_table(study, model.row, shots, blocks) for model in study.models for shots in study.shots]


def _table(study: Study, model: str, shots: int, blocks: Blocks) -> dict[str, Any]:
    rows = rows_of(study, model, shots)
    columns = [shown_data(data) for data in study.data]
    here = {
        (data, seed): block
        for (own_model, own_shots, data, seed), block in blocks.items()
        if (own_model, own_shots) == (model, shots)
    }
    rows = [row for row in rows if row.method is not None or any(row.of(block) for block in here.values())]
    alive = [row for row in rows if row.binds and any(row.of(block) for block in here.values())]
    seeds = {
        data: [seed for seed in study.seeds if _whole(alive, here.get((data, seed), ()))] for data in columns
    }
    return {
        "model": model,
        "shots": shots,
        "columns": columns,
        "seeds": seeds,
        "rows": [_row(row, row in alive or not row.binds, seeds, here) for row in rows],
        "sets": sum(bool(own) for own in seeds.values()),
    }


def _whole(alive: Sequence[Row], block: Sequence[Outcome]) -> bool:
    return bool(alive) and all(row.of(block) is not None for row in alive)


def _row(
    row: Row,
    alive: bool,
    seeds: Mapping[str, Sequence[int]],
    here: Mapping[tuple[str, int], Sequence[Outcome]],
) -> dict[str, Any]:
    means: dict[str, float | None] = {}
    guessed = []
    for data, own in seeds.items():
        figures = [row.of(here[data, seed]) for seed in own] if alive else []
        there = [one.test for one in figures if one is not None]
        means[data] = statistics.fmean(there) if there and len(there) == len(figures) else None
        if any(one.guessed for one in figures if one is not None):
            guessed.append(data)
    wanted = [means[data] for data, own in seeds.items() if own]
    whole = [mean for mean in wanted if mean is not None]
    return {
        "label": row.label,
        "white_box": row.white_box,
        "reference": row.method is None,
        "test": means,
        "guessed": guessed,
        "mean": statistics.fmean(whole) if whole and len(whole) == len(wanted) else None,
    }


def curves(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return learning curves: the test accuracy of what selection would have picked after n templates.

    A point is there where every run that counts has scored so many; it is the mean over data sets of the
    mean over seeds.

    Args:
        study: The file.
        blocks: What counts.
    """
    found = []
    for model in study.models:
        for shots in study.shots:
            here = {key: block for key, block in blocks.items() if key[:2] == (model.row, shots)}
            for row in (one for one in rows_of(study, model.row, shots) if one.binds and not one.white_box):
                points = _points(row, here, sorted(study.curve))
                if points:
                    label = {"label": row.label, "model": model.row, "shots": shots}
                    found.append({**label, "points": points})
    return found


def _points(row: Row, here: Blocks, counts: Sequence[int]) -> list[dict[str, float]]:
    by_set: dict[str, list[Mapping[int, float]]] = {}
    for (_model, _shots, data, _seed), block in here.items():
        for one in block:
            if (one.cell.method, one.cell.llm) == (row.method, row.llm):
                by_set.setdefault(data, []).append(one.curve)
    runs = [curve for each in by_set.values() for curve in each]
    return [
        {
            "templates": count,
            "test": statistics.fmean(
                statistics.fmean(curve[count] for curve in each) for each in by_set.values()
            ),
        }
        for count in counts
        if runs and all(count in curve for curve in runs)
    ]
