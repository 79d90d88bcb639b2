"""Finished runs side by side: the tables of a study that nobody planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...evaluator.counts import enumerated
from ..results.accuracies import WITHOUT_SEARCH, baseline_name
from ..results.result import SearchResult, words_of_all
from .document import SCHEMA, about_runs
from .grid import RunLabels
from .outcomes import RunOutcome, outcome_of
from .study import REFERENCES, shots_label
from .tables import StudyRow, difference_of, table_of

RESAMPLED = ("images", "seeds")


def comparison(runs: Sequence[tuple[Path, SearchResult]]) -> dict[str, Any]:
    """Return a document as of a study: a table with a row for each kind of run, and differences to the first.

    Runs that differ in their seed or data set alone share a row.
    """
    outcomes = [outcome_of(labels, result) for labels, (_, result) in zip(_labels(runs), runs, strict=True)]
    blocks, other_seeds = _blocks([outcome for outcome in outcomes if outcome.counts])
    labels = dict.fromkeys((outcome.cell.method, outcome.cell.llm) for outcome in outcomes)
    rows = [StudyRow(label, label, llm) for label, llm in labels]
    models = list(dict.fromkeys(outcome.cell.model for outcome in outcomes))
    shots = list(dict.fromkeys(outcome.cell.shots for outcome in outcomes))
    # One that is not the same in all runs, such as the best starting template, is none of them all.
    words = words_of_all(result.prompts for _, result in runs)
    shown = [
        name
        for name in (REFERENCES if len(models) == 1 else ())
        if all(
            len({run.figures[name] for run in block if name in run.figures}) < 2 for block in blocks.values()
        )
    ]
    baselines = [StudyRow(baseline_name(name, words), None, figure=name) for name in shown]
    others = _on_other_data(outcomes)
    # With other shots it learnt from other images, so each run has its own.
    if len(models) == 1 and WITHOUT_SEARCH not in shown and not others:
        name = baseline_name(WITHOUT_SEARCH, words)
        own_rows = [StudyRow(f"{name} ({row.label})", row.method, row.llm, WITHOUT_SEARCH) for row in rows]
        baselines += [row for row in own_rows if any(row.figure_in(block) for block in blocks.values())]
    same_shots = (
        shots[0] if len(shots) == 1 else enumerated("default" if n is None else str(n) for n in shots)
    )
    common = {"model": enumerated(models), "shots": same_shots}
    sets = list(dict.fromkeys(outcome.cell.data for outcome in outcomes))
    about = about_runs(outcomes)
    about["notes"] = [*filter(None, [others, other_seeds]), *about["notes"]]
    return {
        "schema": SCHEMA,
        "title": "Comparison",
        "tables": [{**common, **table_of([*baselines, *rows], sets, blocks)}],
        "differences": [{**difference_of(row, rows[0], RESAMPLED, blocks, ""), **common} for row in rows[1:]],
        "transfer": [],
        **about,
    }


def _blocks(outcomes: Sequence[RunOutcome]) -> tuple[dict[tuple[str, int], list[RunOutcome]], str]:
    """Return the runs that stand side by side, by data set and seed, and a note on rows that share no seed.

    On such a data set, the first seed of each row stands in for a shared one, then the second, and so on.
    """
    seeds_by_row: dict[str, dict[tuple[str, str | None], list[int]]] = {}
    for run in outcomes:
        rows = seeds_by_row.setdefault(run.cell.data, {})
        rows.setdefault((run.cell.method, run.cell.llm), []).append(run.cell.seed)
    apart = {data for data, rows in seeds_by_row.items() if not set.intersection(*map(set, rows.values()))}
    blocks: dict[tuple[str, int], list[RunOutcome]] = {}
    for run in outcomes:
        data, seed = run.cell.data, run.cell.seed
        if data in apart:
            seed = sorted(seeds_by_row[data][run.cell.method, run.cell.llm]).index(seed) + 1
        blocks.setdefault((data, seed), []).append(run)
    if not apart:
        return blocks, ""
    return blocks, (
        "the runs share no seed, so each learnt from other labelled images, and a difference between two "
        "may be that of these; `seed = N` in each search makes them the same"
    )


def _on_other_data(outcomes: Sequence[RunOutcome]) -> str:
    """Return in a line that runs were evaluated on different images, so far as is known; empty if not."""
    sets = list(dict.fromkeys(outcome.cell.data for outcome in outcomes))
    if len(sets) > 1:
        return (
            f"the runs are on different data ({enumerated(sets)}): accuracies on one say nothing of another, "
            "and a difference takes the data sets that both rows have"
        )
    images = {
        (outcome.cell.seed, figure.images)
        for outcome in outcomes
        for figure in outcome.figures.values()
        if figure.images
    }
    # A seed may draw a part of the test images.
    if len(images) > len({seed for seed, _ in images}):
        return (
            f"the runs were evaluated on different images of {sets[0]}, so their differences are not paired"
        )
    return ""


def _labels(runs: Sequence[tuple[Path, SearchResult]]) -> list[RunLabels]:
    """Return how the runs are named: by the method, by what else differs, and if need be by the folder."""
    labels = [
        RunLabels(
            data=result.dataset.name,
            shots=result.dataset.shots or None,
            seed=result.dataset.seed,
            model=result.model.name,
            method=result.method,
            llm=result.llm.model,
            run_dir=folder,
        )
        for folder, result in runs
    ]
    several = {name: len({getattr(run, name) for run in labels}) > 1 for name in ("llm", "model", "shots")}
    kinds = [result.prompts for _, result in runs]
    named = []
    for run, kind in zip(labels, kinds, strict=True):
        parts = [run.method, *([kind] if len({*kinds}) > 1 else [])]
        parts += [run.llm or "no LLM"] * several["llm"]
        parts += [run.model] * several["model"] + [shots_label(run.shots)] * several["shots"]
        named.append(replace(run, method=", ".join(parts)))
    times = Counter((run.method, run.data, run.seed) for run in named)
    twice = {method for (method, _, _), count in times.items() if count > 1}
    return [
        replace(run, method=f"{run.method} ({run.run_dir.name})") if run.method in twice else run
        for run in named
    ]
