"""The final table of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...evaluator.counts import counted
from ..results.figures import about_test, has_accuracies, kinds_of_tokens, made_by_llm, score_text, untold
from ..results.guessing import verdict_on
from ..results.notes import PROMINENT
from ..results.result import Ensemble, SearchResult
from ..text import printable

_MOST_SHOWN = 2


def print_result(console: Console, result: SearchResult, run_dir: Path | None) -> None:
    """Print baselines, best and ensemble with their accuracies, what it took, and where the files are."""
    percent = has_accuracies(result)
    what = "accuracy in %" if percent else "score, higher is better"
    table = Table(title=f"{result.dataset.name}: {what}", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("template", overflow="fold")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    for name, baseline in result.baselines.items():
        _add(table, name, baseline, percent=percent)
    best = result.best
    found = Ensemble(templates=(best.template,), train=best.train, val=best.val, test=best.test)
    _add(table, "best found", found, percent=percent, style="bold")
    _add(table, "ensemble", result.ensemble, percent=percent)
    console.print(table)
    for line in _lines(result, run_dir):
        console.print(Text(line), soft_wrap=True)


def _add(table: Table, name: str, found: Ensemble, *, percent: bool, style: str = "") -> None:
    values = (found.train, found.val, found.test)
    cells = [Text(_shown(found.templates)), *(Text(score_text(value, percent=percent)) for value in values)]
    table.add_row(name, *cells, style=style)


def _shown(templates: Sequence[str]) -> str:
    lines = list(map(printable, templates[:_MOST_SHOWN]))
    if len(templates) > _MOST_SHOWN:
        lines = [f"{len(templates)} templates averaged:", *lines, "..."]
    return "\n".join(lines)


def _lines(result: SearchResult, run_dir: Path | None) -> list[str]:
    usage = result.usage
    tokens = usage.prompt_tokens + usage.completion_tokens
    spent = [f"{counted(result.evaluated, 'template')} scored"]
    if result.llm.model is not None:
        kinds = f" ({found})" if (found := kinds_of_tokens(usage)) else ""
        spent += [counted(usage.calls, "call"), f"{tokens:,} tokens{kinds}"]
    spent.append(f"{result.wall_s:,.0f} s of active time")
    if usage.cost_usd:
        spent.append(f"${usage.cost_usd:.4f}")
    if doubtful := untold(usage):
        spent.append(f"and {doubtful}")
    lines = [verdict] if (verdict := verdict_on(result)) else []
    lines.append(", ".join(spent))
    if (made := made_by_llm(result)) is not None:
        lines.append(f"{made[0]:,} of the {counted(made[1], 'new template')} are the LLM's")
    if usage.failed_calls:
        lines.append(f"{counted(usage.failed_calls, 'attempt')} failed")
    if result.skipped:
        lines.append(f"skipped for want of an answer: {counted(result.skipped, 'round')}")
    lines += [f"note: {printable(str(result.notes[name]))}" for name in PROMINENT if name in result.notes]
    if result.stop_reason:
        lines.append(f"stopped early: {result.stop_reason}")
    if result.best.test is None or (result.test_opened or 0) > 1:
        lines.append(about_test(result))
    if run_dir is not None:
        lines.append(f"files: {run_dir}")
    return lines
