"""The final table of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..results.result import SearchResult
from ..text import counted, printable

_NAMES = {"plain": "plain template", "initial pool": "best initial template"}
_MOST_SHOWN = 2


def print_result(console: Console, result: SearchResult, run_dir: Path | None) -> None:
    """Prints baselines, best and ensemble with their accuracies, what it took, and where the files are."""
    table = Table(title=f"{result.dataset['name']}: accuracy in %", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("template", overflow="fold")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    for name, scores in result.baselines.items():
        _add(
            table,
            _NAMES.get(name, name),
            scores["templates"],
            scores["train"],
            scores.get("val"),
            scores["test"],
        )
    best, ensemble = result.best, result.ensemble
    _add(table, "best found", [best.template], best.train, best.val, best.test, style="bold")
    _add(table, "ensemble", ensemble.templates, ensemble.train, ensemble.val, ensemble.test)
    console.print(table)
    for line in _lines(result, run_dir):
        console.print(Text(line), soft_wrap=True)


def _add(
    table: Table,
    name: str,
    templates: Sequence[str],
    train: float | None,
    val: float | None,
    test: float | None,
    style: str = "",
) -> None:
    shown = list(templates[:_MOST_SHOWN])
    if len(templates) > _MOST_SHOWN:
        shown.append(f"... {len(templates)} templates averaged")
    cells = [Text(_printable("\n".join(shown))), *(Text(_percent(value)) for value in (train, val, test))]
    table.add_row(name, *cells, style=style)


def _lines(result: SearchResult, run_dir: Path | None) -> list[str]:
    usage = result.usage
    tokens = usage.prompt_tokens + usage.completion_tokens
    spent = f"{counted(usage.calls, 'call')}, {tokens:,} tokens, {result.wall_s:.0f} s"
    if usage.cost_usd:
        spent += f", ${usage.cost_usd:.4f}"
    lines = [f"{counted(result.evaluated, 'template')} scored, {spent}"]
    if result.skipped:
        lines.append(f"skipped for want of an answer: {counted(result.skipped, 'turn')}")
    if "llm_fallback" in result.notes:
        lines.append(f"note: {result.notes['llm_fallback']}")
    if result.stop_reason:
        lines.append(f"stopped early: {result.stop_reason}")
    if run_dir is not None:
        lines.append(f"files: {run_dir}")
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _printable(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
