"""Show a search on the terminal: a live panel or occasional lines, then a table of its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...evaluator.counts import counted
from ..events.types import EvaluationStarted, Event, RoundSkipped, SearchStarted, StartingTemplatesDrawn
from ..results.result import PROMINENT, GroupAccuracies, SearchResult
from ..text import printable
from .live import LiveProgress, sentence
from .sentences import (
    about_test,
    baseline_name,
    made_by_llm,
    score_text,
    spent_text,
    verdict_on,
    weighted,
    with_names,
    without_names,
)

EVERY_S, EVERY_S_AT_MOST = 5.0, 60.0
MOST_SHOWN = 12
"""Most restarts with a line of their own."""
BAR_WIDTH = 24
MOST_REASONS = 5
_MOST_TEMPLATES = 2
_MOST_NAMES = 12


class Display:
    """Show events on a console; a listener and a context manager.

    A terminal gets a live panel, other consoles get lines: one in 5 seconds at first, one a minute in a long
    run. ``clock`` returns seconds.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = clock
        self._progress = LiveProgress()
        self._began = self._printed = clock()
        self._measured: float | None = None
        self._reasons: set[str] = set()
        self._live = Live(
            get_renderable=self._panel,
            console=console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
        )

    def __call__(self, event: Event) -> None:
        progress = self._progress
        progress.add(event)
        if (text := sentence(event)) is not None:
            self._line(text)
        if progress.fresh is not None and self._measured is None:
            self._measured = self._now()
        if isinstance(event, SearchStarted):
            # Active time starts here: opening data and model does not count.
            self._began = self._printed = self._now()
        if self._is_lasting(event):
            self._line(progress.latest)
        if not self._console.is_terminal:
            self._tick()

    def _is_lasting(self, event: Event) -> bool:
        """Return whether the latest happening gets a line that stays, not only a place in the panel."""
        match event:
            case EvaluationStarted():
                return not self._console.is_terminal
            case StartingTemplatesDrawn():
                return not self._console.is_terminal and event.position.restart <= MOST_SHOWN
            case RoundSkipped():  # the first of each reason
                first = event.reason not in self._reasons and len(self._reasons) < MOST_REASONS
                self._reasons |= {event.reason} if first else set()
                return first
        return False

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def _line(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)

    def _tick(self) -> None:
        now = self._now()
        if now - self._printed >= min(max(EVERY_S, (now - self._began) / 20), EVERY_S_AT_MOST):
            self._printed = now
            started = self._progress.started
            self._line(self._progress.line if started is None else self._summary(started, now))

    def _summary(self, started: SearchStarted, now: float) -> str:
        progress, ahead = self._progress, ""
        if (best := progress.best) is not None:
            gains = f" ({', '.join(progress.gains_so_far)})" if progress.gains_so_far else ""
            ahead = f"; best {progress.score(best.train)} on train: {best.best}{gains}"
        done = f"round {progress.rounds} of {started.rounds}"
        left = [f"{text} left" for text in progress.left]
        facts = [done, progress.evaluated, *progress.spent, *left, *progress.problems, *self._time_left(now)]
        latest = "".join(f"; {text}" for text in (progress.happening, progress.waiting) if text)
        return f"[{self._clock(now)}] {', '.join(facts)}{ahead}{latest}"

    def _time_left(self, now: float) -> list[str]:
        return self._progress.time_left(now - (self._began if self._measured is None else self._measured))

    def _clock(self, now: float) -> str:
        minutes, seconds = divmod(int(now - self._began), 60)
        return f"{minutes:d}:{seconds:02d}"

    def _panel(self) -> Group | Text:
        progress, started, now = self._progress, self._progress.started, self._now()
        if started is None:
            return Text(f"[{self._clock(now)}] {printable(progress.opening) or 'opening ...'}")
        lines: list[RenderableType] = [self._table(started), self._bar(started, now)]
        if progress.ahead:
            lines.append(Text(", ".join(progress.ahead), style="bold"))
        lines.append(Text(", ".join((progress.evaluated, *progress.spent))))
        if progress.left:
            lines.append(Text(f"left: {', '.join(progress.left)}"))
        if progress.problems:
            lines.append(Text(", ".join(progress.problems)))
        latest = filter(None, (progress.waiting, progress.happening))
        return Group(*lines, *(Text(printable(text), style="yellow") for text in latest))

    def _table(self, started: SearchStarted) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("restart", "rounds", "train"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("best so far")
        rounds = started.rounds // max(1, started.restarts)
        restarts = sorted(self._progress.restarts.items(), key=lambda item: (item[1].done, item[0]))
        for number, restart in sorted(restarts[:MOST_SHOWN]):
            train, best = self._progress.score(restart.train), escape(printable(restart.best))
            table.add_row(str(number), f"{restart.rounds}/{rounds}", train, best)
        return table

    def _bar(self, started: SearchStarted, now: float) -> Table:
        done = self._progress.rounds
        text = f"{done:,} of {counted(started.rounds, 'round')}"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, started.rounds), completed=done, width=BAR_WIDTH),
            ", ".join((text, self._clock(now), *self._time_left(now))),
        )
        return bar


def print_result(console: Console, result: SearchResult, run_dir: Path | None) -> None:
    """Print the accuracies of baselines, best and ensemble, the usage, and where the files are."""
    best, words, percent = result.best, result.words, result.has_accuracies
    what = "accuracy in %" if percent else "score, higher is better"
    table = Table(title=f"{result.dataset.name}: {what}", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column(words.noun, overflow="fold")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    groups = {baseline_name(name, words): group for name, group in result.baselines.items()}
    chosen = GroupAccuracies(templates=(best.template,), train=best.train, val=best.val, test=best.test)
    groups[f"best found{with_names(best)}"] = chosen
    if result.averaged:
        groups[f"ensemble{without_names(best)}"] = result.ensemble
    how = "voting" if result.notes.get("scorer") == "zero-shot" else "averaged"
    for name, group in groups.items():
        scores = (Text(score_text(score, percent=percent)) for score in (group.train, group.val, group.test))
        templates = Text(_templates_cell(group.templates, how))
        table.add_row(Text(printable(name)), templates, *scores, style="bold" if group is chosen else "")
    console.print(table)
    for line in _lines(result, run_dir):
        console.print(Text(line), soft_wrap=True)


def _templates_cell(templates: Sequence[str], how: str) -> str:
    different = weighted(templates)
    lines = list(map(printable, different[:_MOST_TEMPLATES]))
    if len(different) > _MOST_TEMPLATES:
        lines = [f"{len(templates)} templates {how}:", *lines, "..."]
    return "\n".join(lines)


def _lines(result: SearchResult, run_dir: Path | None) -> list[str]:
    lines = [verdict] if (verdict := verdict_on(result)) else []
    if (names := result.best.class_names) is not None:
        lines.append(_new_names(names))
    lines.append(_spent(result))
    if (counts := made_by_llm(result)) is not None:
        new = counted(counts[1], f"new {result.words.noun}")
        lines.append(f"The LLM proposed {counts[0] or 'none'} of {new}")
    if result.usage.failed_calls:
        lines.append(f"{counted(result.usage.failed_calls, 'attempt')} failed")
    if result.skipped:
        lines.append(f"skipped without an answer: {counted(result.skipped, 'round')}")
    lines += [f"note: {printable(str(result.notes[name]))}" for name in PROMINENT if name in result.notes]
    if result.stop_reason:
        lines.append(f"stopped early: {result.stop_reason}")
    if result.best.test is None or (result.test_opened or 0) > 1:
        lines.append(about_test(result))
    if run_dir is not None:
        lines.append(f"files: {run_dir}")
    return lines


def _new_names(names: Mapping[str, str]) -> str:
    if not names:
        return "class names: no new name was accepted"
    changes = [f"{printable(old)} -> {printable(new)}" for old, new in list(names.items())[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"class names, kept for their scores, not for what they mean: {'; '.join(changes)}{more}"


def _spent(result: SearchResult) -> str:
    usage, scorer = result.usage, result.scorer_usage
    texts = [f"{counted(result.evaluated, result.words.noun)} scored"]
    if result.llm.model is not None:
        texts.append(spent_text(usage, "LLM: " if scorer is not None else ""))
    if scorer is not None:
        texts.append(spent_text(scorer, "scorer: "))
        if usage.cost_usd and scorer.cost_usd:
            texts.append(f"${usage.cost_usd + scorer.cost_usd:.4f} in all")
    texts.append(f"{result.wall_s:,.0f} s of active time")
    return (", " if scorer is None else "; ").join(texts)
