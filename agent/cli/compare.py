"""Compare several runs: a row for each, with its difference to the first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...evaluator.errors import UsageError
from ...evaluator.pico.models import TOY_MODEL
from ...evaluator.scoring import ALL
from ..config.sources import on_command_line
from ..present.sentences import cost_text
from ..results.accuracies import CHANCE_MARK, WITHOUT_SEARCH, Difference, score_text
from ..results.details import Decisions, agrees, read_details
from ..results.gain import (
    accuracy_without_images,
    beside_chance,
    difference_of,
    independent_difference,
    may_be_chance,
    with_verdicts,
)
from ..results.result import SearchResult
from ..results.run_dir import result_of
from .folders import folder_with_result
from .options import add_json
from .output import print_json, print_line, print_table, short_path
from .parser import Parser

OVER_FIRST = "over the first (95 %)"
NOT_COMPARABLE = "not comparable"
PAID = ("calls", "cost", "scorer's calls", "scorer's cost")
"""Columns that are left out where no run has them."""


def compare(arguments: argparse.Namespace) -> int:
    """Print each run with its test accuracy, and its difference to that of the first."""
    folders = [folder_with_result(folder) for folder in arguments.directories]
    if len(folders) < 2:
        raise UsageError("compare takes two runs or more: compare RUN_DIR RUN_DIR")
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise UsageError(f"{short_path(twice)} is named twice; name other runs to compare it with")
    results = [result_of(folder) for folder in folders]
    details = [read_details(folder) for folder in folders]
    decisions = [None if read is None else read.decisions for read in details]
    over_first = _over_first(results, decisions)
    gaps = _gap_texts(results, over_first)
    notes = _notes(results, gaps)
    if arguments.as_json:
        runs = zip(results, over_first, strict=True)
        print_json({"runs": [_document(result, gap) for result, gap in runs], "notes": notes})
        return 0
    labels = [_labels(result) for result in results]
    differing = [name for name in labels[0] if len({label[name] for label in labels}) > 1]
    rows = [
        {"run": short_path(folder), **{name: label[name] for name in differing}, **_row(result, gap)}
        for folder, label, result, gap in zip(folders, labels, results, gaps, strict=True)
    ]
    columns = [name for name in rows[0] if name not in PAID or any(row[name] != "-" for row in rows)]
    print_table(columns, rows)
    for note in notes:
        print_line(on_command_line(f"note: {note}"))
    return 0


def _over_first(
    results: Sequence[SearchResult], decisions: Sequence[Decisions | None]
) -> list[Difference | None]:
    """Return the difference of each run to the first; None for the first, and on other test images."""
    hits = [_hits(result, decided) for result, decided in zip(results, decisions, strict=True)]
    sets = [None if decided is None else decided.image_set for decided in decisions]
    first, differences = results[0], dict[int, Difference]()
    for number, result in enumerate(results[1:], start=1):
        ours, theirs = result.recommended.test, first.recommended.test
        data, images = result.dataset, result.dataset.sizes.test
        same = (data.name, images) == (first.dataset.name, first.dataset.sizes.test)
        is_other_set = None not in (sets[0], sets[number]) and sets[0] != sets[number]
        if ours is None or theirs is None or not images or not same or is_other_set:
            continue
        if (right := hits[number]) and (right_first := hits[0]):
            differences[number] = difference_of(right, right_first)
        elif result.has_accuracies and first.has_accuracies:
            differences[number] = independent_difference(ours, theirs, images)
    judged = with_verdicts(differences)
    return [judged.get(number) for number in range(len(results))]


def _hits(result: SearchResult, decisions: Decisions | None) -> list[bool] | None:
    """Return whether the recommended form classifies each test image correctly; None if that is unknown."""
    right, test = decisions and decisions.hits(result.recommended.name), result.recommended.test
    return right if right and test is not None and agrees(right, test) else None


def _gap_texts(results: Sequence[SearchResult], over_first: Sequence[Difference | None]) -> list[str]:
    """Return each difference to the first run as it stands in the table."""
    tested = [result.recommended.test is not None for result in results]
    missing = ["-", *(NOT_COMPARABLE if tested[0] and is_tested else "-" for is_tested in tested[1:])]
    return [
        nothing if gap is None else " ".join(gap.in_words.split("\n"))
        for gap, nothing in zip(over_first, missing, strict=True)
    ]


def _notes(results: Sequence[SearchResult], gaps: Sequence[str]) -> list[str]:
    """Return what to know of the differences, as they stand in the table, and that a model is a toy."""
    notes = sorted({str(result.notes[TOY_MODEL]) for result in results if TOY_MODEL in result.notes})
    if results[0].recommended.test is None:
        notes.append("the first run has no test accuracy, so no run has a difference to it; resume it")
    elif NOT_COMPARABLE in gaps:
        notes.append(f"other test images than the first run's: {NOT_COMPARABLE}")
    samples = {(result.dataset.shots, result.dataset.seed) for result in results}
    if len({ALL if shots == ALL else (shots, seed) for shots, seed in samples}) > 1:
        notes.append(
            "the runs learned from other labelled images, and a difference may be that of these: give each "
            "search the same `seed = N` and `shots = N`"
        )
    elif len(samples) > 1:
        notes.append("the runs have other seeds: starting templates, augmented copies and folds differ too")
    if compared := beside_chance(
        (result.recommended.test, result.dataset.sizes.test, accuracy_without_images(result) or 0.0)
        for result in results
        if result.recommended.test is not None and may_be_chance(result, result.recommended.test)
    ):
        notes.append(f"{CHANCE_MARK} {compared}")
    return notes


def _document(result: SearchResult, over_first: Difference | None) -> dict[str, Any]:
    return {
        "run_dir": str(result.run_dir),
        **{name: asdict(getattr(result, name)) for name in ("dataset", "model", "llm", "recommended")},
        **{name: getattr(result, name) for name in ("method", "status", "stop_reason")},
        "over_first": None if over_first is None else asdict(over_first),
    }


def _labels(result: SearchResult) -> dict[str, str]:
    """Return what is shown of runs that differ in it."""
    return {
        "data": result.dataset.name,
        "model": result.model.name,
        "LLM": result.llm.model or "-",
        "method": result.method,
        "shots": str(result.dataset.shots),
        "seed": str(result.dataset.seed),
        "status": result.status,
    }


def _row(result: SearchResult, over_first: str) -> dict[str, str]:
    usage, scorer = result.usage, result.scorer_usage
    form = result.recommended.form.replace("template", f"best {result.words.noun}").replace("_", " ")
    test, percent, rival = result.recommended.test, result.has_accuracies, result.without_search
    mark = CHANCE_MARK if may_be_chance(result, test) else ""
    first, *others = dict.fromkeys(result.recommended_group.templates)
    more = f" and {len(others)} more" if others else ""
    return {
        "train": score_text(result.recommended_group.train, percent=percent),
        "test": f"{score_text(test, percent=percent)}{mark}",
        OVER_FIRST: over_first,
        WITHOUT_SEARCH: score_text(None if rival is None else rival.test, percent=percent),
        "calls": f"{usage.calls:,}" if usage.calls else "-",
        "cost": cost_text(usage.cost_usd) if usage.calls else "-",
        "scorer's calls": "-" if scorer is None else f"{scorer.calls:,}",
        "scorer's cost": "-" if scorer is None else cost_text(scorer.cost_usd),
        "recommended": f"{form}: {first}{more}{result.remark}",
    }


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.description = (
        "What each recommends is compared with what the first run recommends, on the same\n"
        "test images: + means better than the first. A run with other test images, or one\n"
        "that stopped before its final evaluation, has no difference.\n\n"
        "example:\n  promptclimb compare runs/mine runs/other"
    )
    parser.usage = "%(prog)s RUN_DIR RUN_DIR ... [OPTION ...]"
    parser.add_argument(
        "directories", metavar="RUN_DIR", nargs="+", help="two or more runs, finished or stopped"
    )
    add_json(parser)
