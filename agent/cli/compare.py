"""Compare several runs side by side, with intervals."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ...evaluator.errors import UsageError
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import CandidateNoun
from ..present.page import render_comparison
from ..present.sentences import CHANCE_MARK, about_chance, chance_warning, cost_text, gain_cell, score_text
from ..results.details import read_details
from ..results.gain import (
    BEST_STARTING,
    ORIGINAL_NAMES,
    Contender,
    Versus,
    may_be_chance,
    versus,
)
from ..results.result import ApiUsage, Difference, SearchResult, with_names, words_of_all
from ..results.run_dir import result_of
from ..text import printable
from .folders import folder_with_result, output_file, write_file
from .output import console, print_json, print_text, short_path
from .parser import Parser


def compare(arguments: argparse.Namespace) -> int:
    """Print a column for each run, and the difference of its best template to that of the first."""
    folders = [folder_with_result(folder) for folder in arguments.directories]
    if len(folders) < 2:
        raise UsageError("compare takes two runs or more: compare RUN_DIR RUN_DIR")
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise UsageError(f"{short_path(twice)} is named twice; name other runs to compare it with")
    runs = [
        Contender(run=short_path(folder), result=result_of(folder), details=read_details(folder))
        for folder in folders
    ]
    comparisons = [Versus(over=None), *(versus(run, runs[0]) for run in runs[1:])]
    if arguments.html is not None:
        path = output_file(arguments.html, "--html")
        lines, notes = _lines(runs, comparisons), _notes(runs, comparisons)
        write_file(path, render_comparison([run.run for run in runs], lines, notes), "--html")
        print_text(f"{path}\n")
    elif arguments.as_json:
        print_json(list(map(_document, runs, comparisons)))
    else:
        _print(runs, comparisons)
    return 0


def _document(run: Contender, against: Versus) -> dict[str, Any]:
    result = run.result
    return {
        "run": run.run,
        "status": result.status,
        "dataset": result.dataset.name,
        "model": asdict(result.model),
        "llm": result.llm.model,
        "method": result.method,
        "shots": result.dataset.shots,
        "seed": result.dataset.seed,
        "best": asdict(result.best),
        "ensemble": asdict(result.ensemble),
        "gain": None if result.gain is None else asdict(result.gain),
        "chance_level": chance_warning(result) or None,
        "calls": result.usage.calls,
        "cost_usd": result.usage.cost_usd,
        "prompts": result.prompts,
        "scorer": None if result.scorer_usage is None else _scorer(result),
        "scorer_usage": None if result.scorer_usage is None else asdict(result.scorer_usage),
        "over_first": None if against.over is None else asdict(against.over),
        "note": None if against.doubt is None else against.doubt.value,
    }


def _lines(runs: Sequence[Contender], comparisons: Sequence[Versus]) -> list[tuple[str, list[str]]]:
    results = [run.result for run in runs]
    words = words_of_all(result.prompts for result in results)

    def each(cell: Callable[[SearchResult], str]) -> list[str]:
        return [cell(result) for result in results]

    def score(result: SearchResult, value: float | None) -> str:
        return score_text(value, percent=result.has_accuracies)

    def gain(result: SearchResult, name: str) -> str:
        return _text(None if result.gain is None else result.gain.over.get(name), result.words)

    def ensemble(result: SearchResult) -> str:
        return score(result, result.ensemble.test if result.averaged else None)

    def renamed(result: SearchResult) -> str:
        return f"{len(result.best.class_names or {}):,}"

    usages = [result.usage if result.usage.calls else None for result in results]
    scorers = [result.scorer_usage for result in results]
    over = [_text(against.over, words) + ("*" if against.doubt else "") for against in comparisons[1:]]
    named = any(result.best.class_names is not None for result in results)
    averaged = any(result.averaged for result in results)
    paid = any(scorers)
    lines: list[tuple[str, list[str]] | None] = [
        ("data", each(lambda result: result.dataset.name)),
        ("shots, seed", each(lambda result: f"{result.dataset.shots}, {result.dataset.seed}")),
        ("model", each(lambda result: result.model.name)),
        ("scorer", each(_scorer)) if paid else None,
        ("LLM", each(lambda result: result.llm.model or "none")),
        ("method", each(lambda result: result.method)),
        ("status", each(lambda result: result.status)),
        (f"best {words.noun}", each(lambda result: result.best.template + with_names(result.best))),
        ("train", each(lambda result: score(result, result.best.train))),
        ("val", each(lambda result: score(result, result.best.val))),
        ("test", each(lambda result: score(result, result.best.test) + _mark(result))),
        ("ensemble, test", each(ensemble)) if averaged else None,
        ("over the first run", ["-", *over]),
        (f"over the default {words.noun}", each(lambda result: gain(result, BASELINE_DEFAULT))),
        (f"over its best starting {words.noun}", each(lambda result: gain(result, BEST_STARTING))),
        ("classes with a new name", each(renamed)) if named else None,
        ("over the original names", each(lambda result: gain(result, ORIGINAL_NAMES))) if named else None,
        (f"{words.noun}s scored", each(lambda result: f"{result.evaluated:,}")),
        ("LLM's calls" if paid else "calls", each(lambda result: f"{result.usage.calls:,}")),
        ("LLM's cost" if paid else "cost", list(map(_cost, usages))),
        ("scorer's calls", [f"{usage.calls:,}" if usage else "-" for usage in scorers]) if paid else None,
        ("scorer's cost", list(map(_cost, scorers))) if paid else None,
        ("active time, s", each(lambda result: f"{result.wall_s:,.0f}")),
    ]
    return [line for line in lines if line is not None]


def _scorer(result: SearchResult) -> str:
    """Return how a model behind an API scored; a dash for any other scorer."""
    return "-" if result.scorer_usage is None else str(result.notes.get("scorer", "-"))


def _cost(usage: ApiUsage | None) -> str:
    return "-" if usage is None else cost_text(usage.cost_usd)


def _mark(result: SearchResult) -> str:
    return CHANCE_MARK if may_be_chance(result, result.best.test) else ""


def _text(difference: Difference | None, words: CandidateNoun) -> str:
    if difference is None:
        return "-"
    cell = gain_cell(difference, words)
    return f"{cell.points} ({cell.interval})" if cell.interval else cell.points


def _notes(runs: Sequence[Contender], comparisons: Sequence[Versus]) -> list[str]:
    doubts = dict.fromkeys(against.doubt.value for against in comparisons if against.doubt)
    chance = dict.fromkeys(about_chance(run.result) for run in runs if _mark(run.result))
    means = "Differences are on test, in percentage points, with 95 % intervals."
    return [means, *(f"* {doubt}" for doubt in doubts), *(f"{CHANCE_MARK} may be {what}" for what in chance)]


def _print(runs: Sequence[Contender], comparisons: Sequence[Versus]) -> None:
    table = Table(header_style="bold")
    table.add_column("")
    for run in runs:
        table.add_column(Text(printable(run.run)), overflow="fold")
    for name, cells in _lines(runs, comparisons):
        table.add_row(name, *(Text(printable(cell)) for cell in cells))
    screen = console(stderr=False)
    screen.print(table)
    for line in _notes(runs, comparisons):
        screen.print(Text(line), soft_wrap=True)


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.add_argument(
        "directories",
        metavar="RUN_DIR",
        nargs="+",
        help="finished or stopped runs; all are compared with the first",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="as_json", action="store_true", help="as JSON")
    form.add_argument("--html", metavar="FILE", help="write a page instead")
