"""The paper's form of table: rows methods, columns data sets, and the mean; one for each model and shots."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
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

    Curves of one model and number of shots are over the same data sets and seeds: those that every method
    with a curve has finished, with its details. ``sets`` and ``runs`` say how many those are, ``of`` how many
    the study has. A point is there where every one of these runs has scored so many; it is the mean over
    data sets of the mean over seeds.

    Args:
        study: The file.
        blocks: What counts.
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


def _side_by_side(rows: Sequence[Row], here: Blocks, study: Study) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yield the rows with a curve, each with it, over the runs that all of them have."""
    runs = [(row, {key: run for key, block in here.items() if (run := _run(row, block))}) for row in rows]
    runs = [(row, own) for row, own in runs if any(run.curve for run in own.values())]
    shared = [key for key in here if all(key in own for _, own in runs)]
    sets = len({data for _, _, data, _ in shared})
    of = {"sets": len(study.data), "runs": len(study.data) * len(study.seeds)}
    for row, own in runs:
        by_set: dict[str, list[Mapping[int, float]]] = {}
        for key in shared:
            by_set.setdefault(key[2], []).append(own[key].curve)
        if points := _points(by_set, sorted(study.curve)):
            yield row, {"sets": sets, "runs": len(shared), "of": of, "points": points}


def _run(row: Row, block: Sequence[Outcome]) -> Outcome | None:
    """Return a row's run in a block; None where there is none, or its curve is not known."""
    own = (one for one in block if (one.cell.method, one.cell.llm) == (row.method, row.llm))
    return next((one for one in own if one.detailed), None)


def _points(
    by_set: Mapping[str, Sequence[Mapping[int, float]]], counts: Sequence[int]
) -> list[dict[str, Any]]:
    return [
        {
            "templates": count,
            "test": statistics.fmean(
                statistics.fmean(curve[count] for curve in each) for each in by_set.values()
            ),
        }
        for count in counts
        if by_set and all(count in curve for each in by_set.values() for curve in each)
    ]
