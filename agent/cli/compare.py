"""Compare several runs: their table, and each run's difference to the first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ...evaluator.errors import UsageError
from ..present.sentences import cost_text
from ..results.accuracies import score_text
from ..results.result import SearchResult
from ..results.run_dir import result_of
from ..study.comparison import comparison
from ..study.document import pages
from ..text import printable
from .folders import folder_with_result
from .options import add_json
from .output import aligned, print_json, print_table, print_text, say, short_path
from .parser import Parser


def compare(arguments: argparse.Namespace) -> int:
    """Print the table of the runs, their differences on test to the first, and each run by itself."""
    folders = [folder_with_result(folder) for folder in arguments.directories]
    if len(folders) < 2:
        raise UsageError("compare takes two runs or more: compare RUN_DIR RUN_DIR")
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise UsageError(f"{short_path(twice)} is named twice; name other runs to compare it with")
    results = {short_path(folder): result_of(folder) for folder in folders}
    document = comparison(list(zip(folders, results.values(), strict=True)))
    if arguments.as_json:
        print_json(document)
        return 0
    print_text(tables_text(document))
    rows = [{"run": run, **_row(result)} for run, result in results.items()]
    print_table(list(dict.fromkeys(column for row in rows for column in row)), rows)
    for note in document["notes"]:
        say(f"note: {note}")
    return 0


def tables_text(document: Mapping[str, Any]) -> str:
    """Return every table of a study's document."""
    return "".join(
        f"{printable(heading)}\n{about}\n{aligned(table)}\n" for heading, about, table in pages(document)
    )


def _row(result: SearchResult) -> dict[str, str]:
    usage, scorer, form = result.usage, result.scorer_usage, result.recommended.form
    row = {
        "method": result.method,
        "status": result.status,
        "seed": str(result.dataset.seed),
        "form": form.replace("template", f"best {result.words.noun}").replace("_", " "),
        "train": score_text(result.recommended_group.train, percent=result.has_accuracies),
        "test": score_text(result.recommended.test, percent=result.has_accuracies),
        "calls": f"{usage.calls:,}",
        "cost": cost_text(usage.cost_usd) if usage.calls else "-",
    }
    if scorer is not None:
        row |= {"scorer's calls": f"{scorer.calls:,}", "scorer's cost": cost_text(scorer.cost_usd)}
    first, *others = dict.fromkeys(result.recommended_group.templates)
    more = f" and {len(others)} more" if others else ""
    return row | {"recommended": f"{first}{more}{result.best.remark}"}


def add_options(parser: Parser) -> None:
    """Add the options of ``compare``."""
    parser.add_argument(
        "directories",
        metavar="RUN_DIR",
        nargs="+",
        help="finished or stopped runs; all are compared with the first",
    )
    add_json(parser)
