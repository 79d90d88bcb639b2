"""Compare several runs side by side, with intervals."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ...evaluator.errors import UsageError
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import CandidateNoun
from ..present.page import render_comparison
from ..present.sentences import (
    CHANCE_MARK,
    about_chance,
    chance_warning,
    cost_text,
    gain_cell,
    score_text,
    with_names,
)
from ..results.details import read_details
from ..results.gain import (
    BEST_STARTING,
    ORIGINAL_NAMES,
    Contender,
    Versus,
    may_be_chance,
    versus,
)
from ..results.result import Difference, SearchResult, words_of_all
from ..results.run_dir import result_of, write_atomically
from ..text import printable
from .folders import folder_with_result, output_file
from .output import console, print_json, print_text, short_path
from .parser import Parser


def compare(arguments: argparse.Namespace) -> int:
    """Print a column for each run, and the difference of its best template to that of the first."""
    folders = [folder_with_result(given) for given in arguments.directories]
    if len(folders) < 2:
        raise UsageError("compare takes two runs or more: compare RUN_DIR RUN_DIR")
    if doubled := next((one for place, one in enumerate(folders) if one in folders[:place]), None):
        raise UsageError(f"{short_path(doubled)} is named twice; name other runs to compare it with")
    runs = [
        Contender(run=short_path(folder), result=result_of(folder), details=read_details(folder))
        for folder in folders
    ]
    against = [Versus(over=None), *(versus(one, runs[0]) for one in runs[1:])]
    if arguments.html is not None:
        print_text(f"{_write_page(arguments.html, runs, against)}\n")
    elif arguments.as_json:
        print_json([_document(run, one) for run, one in zip(runs, against, strict=True)])
    else:
        _print(runs, against)
    return 0


def _write_page(given: str, runs: Sequence[Contender], against: Sequence[Versus]) -> Path:
    path = output_file(given, "--html")
    page = render_comparison([run.run for run in runs], _lines(runs, against), _notes(runs, against))
    try:
        write_atomically(path, page)
    except OSError as error:
        raise UsageError(f"--html {path}: it cannot be written ({error.strerror})") from error
    return path


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


def _lines(runs: Sequence[Contender], against: Sequence[Versus]) -> list[tuple[str, list[str]]]:
    def each(cell: Callable[[Contender], str]) -> list[str]:
        return [cell(run) for run in runs]

    def score(run: Contender, value: float | None) -> str:
        return score_text(value, percent=run.result.has_accuracies)

    words = words_of_all(run.result.prompts for run in runs)

    def gain(run: Contender, name: str) -> str:
        found = run.result.gain
        return _text(None if found is None else found.over.get(name), run.result.words)

    def over(one: Versus) -> str:
        return _text(one.over, words) + ("*" if one.doubt else "")

    def ensemble(run: Contender) -> str:
        return score(run, run.result.ensemble.test if run.result.averaged else None)

    named = any(run.result.best.class_names is not None for run in runs)
    names = [
        ("classes with a new name", each(lambda run: f"{len(run.result.best.class_names or {}):,}")),
        ("over the original names", each(lambda run: gain(run, ORIGINAL_NAMES))),
    ]
    spent = _scorers_usage(runs)
    return [
        ("data", each(lambda run: run.result.dataset.name)),
        ("shots, seed", each(lambda run: f"{run.result.dataset.shots}, {run.result.dataset.seed}")),
        ("model", each(lambda run: run.result.model.name)),
        *([("scorer", each(lambda run: _scorer(run.result)))] if spent else ()),
        ("LLM", each(lambda run: run.result.llm.model or "none")),
        ("method", each(lambda run: run.result.method)),
        ("status", each(lambda run: run.result.status)),
        (f"best {words.noun}", each(lambda run: run.result.best.template + with_names(run.result.best))),
        ("train", each(lambda run: score(run, run.result.best.train))),
        ("val", each(lambda run: score(run, run.result.best.val))),
        ("test", each(lambda run: score(run, run.result.best.test) + _mark(run))),
        *([("ensemble, test", each(ensemble))] if any(run.result.averaged for run in runs) else ()),
        ("over the first run", ["-", *(over(one) for one in against[1:])]),
        (f"over the default {words.noun}", each(lambda run: gain(run, BASELINE_DEFAULT))),
        (f"over its best starting {words.noun}", each(lambda run: gain(run, BEST_STARTING))),
        *(names if named else ()),
        (f"{words.noun}s scored", each(lambda run: f"{run.result.evaluated:,}")),
        ("LLM's calls" if spent else "calls", each(lambda run: f"{run.result.usage.calls:,}")),
        ("LLM's cost" if spent else "cost", each(lambda run: _llms_cost(run.result))),
        *spent,
        ("active time, s", each(lambda run: f"{run.result.wall_s:,.0f}")),
    ]


def _scorer(result: SearchResult) -> str:
    """Return how a model behind an API scored, as ``--scorer`` names it; a dash for any other scorer."""
    return "-" if result.scorer_usage is None else str(result.notes.get("scorer", "-"))


def _llms_cost(result: SearchResult) -> str:
    return cost_text(result.usage.cost_usd) if result.usage.calls else "-"


def _scorers_usage(runs: Sequence[Contender]) -> list[tuple[str, list[str]]]:
    used = [run.result.scorer_usage for run in runs]
    if not any(used):
        return []
    return [
        ("scorer's calls", ["-" if one is None else f"{one.calls:,}" for one in used]),
        ("scorer's cost", ["-" if one is None else cost_text(one.cost_usd) for one in used]),
    ]


def _mark(run: Contender) -> str:
    return CHANCE_MARK if may_be_chance(run.result, run.result.best.test) else ""


def _text(one: Difference | None, words: CandidateNoun) -> str:
    if one is None:
        return "-"
    cell = gain_cell(one, words)
    return f"{cell.points} ({cell.interval})" if cell.interval else cell.points


def _notes(runs: Sequence[Contender], against: Sequence[Versus]) -> list[str]:
    found = dict.fromkeys(one.doubt.value for one in against if one.doubt)
    chance = dict.fromkeys(about_chance(run.result) for run in runs if _mark(run))
    means = "Differences are on test, in percentage points, with 95 % intervals."
    return [means, *(f"* {why}" for why in found), *(f"{CHANCE_MARK} may be {what}" for what in chance)]


def _print(runs: Sequence[Contender], against: Sequence[Versus]) -> None:
    table = Table(header_style="bold")
    table.add_column("")
    for run in runs:
        table.add_column(Text(printable(run.run)), overflow="fold")
    for name, cells in _lines(runs, against):
        table.add_row(name, *(Text(printable(cell)) for cell in cells))
    shown = console(stderr=False)
    shown.print(table)
    for line in _notes(runs, against):
        shown.print(Text(line), soft_wrap=True)


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.add_argument(
        "directories",
        metavar="RUN_DIR",
        nargs="+",
        help="finished or stopped runs; the first is what the others are compared with",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="as_json", action="store_true", help="as JSON")
    form.add_argument("--html", metavar="FILE", help="write a page instead")
