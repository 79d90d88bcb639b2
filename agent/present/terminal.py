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
from ..events.types import (
    AnswerReceived,
    AnswerTokensRaised,
    EndpointEvent,
    EndpointRemoved,
    EndpointResumed,
    EndpointSuspended,
    EvaluationStarted,
    Event,
    GaveUp,
    ImagesEncoded,
    ListenerFailed,
    NameRoundFinished,
    NamesChosen,
    Noted,
    RoundSkipped,
    SearchStarted,
    SearchStopped,
    StartingTemplatesDrawn,
    UsageMissing,
    WaitCapped,
)
from ..position import NAMES
from ..results.result import PROMINENT, ApiUsage, GroupAccuracies, SearchResult, Usage
from ..text import printable
from .figures import (
    kinds_of_tokens,
    made_by_llm,
    score_text,
    scorer_spent,
    unreported,
    weighted,
)
from .run_view import SearchProgress
from .verdict import about_test, baseline_name, verdict_on, with_names, without_names

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
        self._progress = SearchProgress()
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
        progress.take(event)
        if (text := sentence(event)) is not None:
            self._line(text)
        if progress.fresh is not None and self._measured is None:
            self._measured = self._now()
        if isinstance(event, SearchStarted):
            # Active time starts here: opening data and model does not count.
            self._began = self._printed = self._now()
        self._note(event)
        if not self._console.is_terminal:
            self._tick()

    def _note(self, event: Event) -> None:
        """Keep the latest happening; some get a permanent line."""
        progress = self._progress
        if isinstance(event, ImagesEncoded) and progress.started is not None:
            progress.latest = f"opening the test split: {progress.opening}"
        elif isinstance(event, AnswerReceived) and event.position.restart == NAMES:
            progress.begin(f"{event.position}: {counted(event.position.sample + 1, 'answer')}")
        elif isinstance(event, EvaluationStarted):
            progress.begin(f"evaluating on {counted(event.images, 'test image')}")
            if not self._console.is_terminal:
                self._line(progress.latest)
        elif isinstance(event, NamesChosen):
            progress.latest = ""
        elif isinstance(event, StartingTemplatesDrawn):
            restart = event.position.restart
            starting = counted(event.templates, f"starting {progress.words.noun}")
            progress.latest = f"restart {restart}: scoring {starting}"
            if not self._console.is_terminal and restart <= MOST_SHOWN:
                self._line(progress.latest)
        elif isinstance(event, RoundSkipped):
            progress.latest = f"{event.position} is skipped: {event.reason}"
            # The first of each reason gets a permanent line.
            if event.reason not in self._reasons and len(self._reasons) < MOST_REASONS:
                self._reasons.add(event.reason)
                self._line(progress.latest)

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
            self._line(self._progress.line if started is None else self._summary(started))

    def _summary(self, started: SearchStarted) -> str:
        progress, now = self._progress, self._now()
        best, gains = progress.best, progress.ahead[1:]
        ahead = f"; best {progress.score(best.train)} on train: {best.best}" if best is not None else ""
        ahead += f" ({', '.join(gains)})" if gains else ""
        latest = "".join(f"; {text}" for text in (progress.happening, progress.waiting) if text)
        done = f"round {progress.rounds} of {started.rounds}"
        left = [f"{text} left" for text in progress.left]
        figures = (
            done,
            progress.evaluated,
            *progress.spent,
            *left,
            *progress.hindered,
            *self._time_left(now),
        )
        return f"[{self._clock(now)}] {', '.join(figures)}{ahead}{latest}"

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
        if progress.hindered:
            lines.append(Text(", ".join(progress.hindered)))
        latest = filter(None, (progress.waiting, progress.happening))
        return Group(*lines, *(Text(printable(text), style="yellow") for text in latest))

    def _table(self, started: SearchStarted) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("restart", "rounds", "train"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("best so far")
        each = started.rounds // max(1, started.restarts)
        restarts = sorted(self._progress.restarts.items(), key=lambda item: (item[1].done, item[0]))
        for number, one in sorted(restarts[:MOST_SHOWN]):
            best = escape(printable(one.best))
            table.add_row(str(number), f"{one.rounds}/{each}", self._progress.score(one.train), best)
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


def sentence(event: Event) -> str | None:
    """Return an event as a line for people; None if it is not worth a line."""
    match event:
        case Noted():
            return event.text
        case SearchStarted():
            return _opening(event)
        case NameRoundFinished():
            return f"{event.position}: {_renamed(event, 'so far')}"
        case NamesChosen():
            return f"class names: {_renamed(event, 'in the end')}"
        case SearchStopped():
            return f"stopping: {event.reason}"
        case EndpointEvent():
            return _of_endpoint(event)
        case ListenerFailed():
            return f"the listener {event.listener} failed and gets no more events ({event.error})"
    return None


def _of_endpoint(event: EndpointEvent) -> str | None:
    match event:
        case UsageMissing():
            return (
                f"{event.endpoint} does not report how many tokens its answers cost: "
                "each counts against limits with the most that it can have cost"
            )
        case EndpointRemoved():
            left = f"{counted(event.left, 'endpoint')} left" if event.left else "no endpoint is left"
            return f"{event.endpoint} is not used any more ({event.message}); {left}"
        case EndpointSuspended():
            return f"{event.endpoint} fails ({event.message}); the other endpoints are asked in its place"
        case AnswerTokensRaised():
            return (
                f"{event.endpoint} used up {event.before:,} tokens before an answer began: "
                f"{event.now:,} are allowed there from now on (--answer-tokens)"
            )
        case WaitCapped():
            return (
                f"{event.endpoint} asks for a wait of {event.asked_s:,.0f} s; "
                f"it is tried again in {event.wait_s:,.0f} s"
            )
        case GaveUp():
            return (
                f"giving up: no call has succeeded for {event.failing_s:,.0f} s; "
                f"the last error, from {event.endpoint}: {event.message}"
            )
        case EndpointResumed():
            return f"{event.endpoint} answers again"
    return None


def _renamed(event: NameRoundFinished | NamesChosen, when: str) -> str:
    renamed = counted(event.renamed, "class", "classes")
    return f"{renamed} renamed {when}, {event.right:,} of {counted(event.images, 'few-shot image')} correct"


def _opening(event: SearchStarted) -> str:
    who = f"LLM {event.llm}" if event.llm else "no LLM"
    verb = "resuming" if event.resumed else "searching"
    # A custom scorer may not know the number of classes.
    classes = f" ({event.classes} classes)" if event.classes else ""
    return (
        f"{verb} {event.dataset}{classes} with {event.model}, {who}, method {event.method}: "
        f"{counted(event.restarts, 'restart')}, {counted(event.rounds, 'round')}, in {event.run_dir}"
    )


def print_result(console: Console, result: SearchResult, run_dir: Path | None) -> None:
    """Print the accuracies of baselines, best and ensemble, the usage, and where the files are."""
    percent = result.has_accuracies
    what = "accuracy in %" if percent else "score, higher is better"
    table = Table(title=f"{result.dataset.name}: {what}", title_justify="left", header_style="bold")
    table.add_column("")
    words = result.words
    table.add_column(words.noun, overflow="fold")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    best = result.best
    found = GroupAccuracies(templates=(best.template,), train=best.train, val=best.val, test=best.test)
    rows = [
        *result.baselines.items(),
        (f"best found{with_names(best)}", found),
        *([(f"ensemble{without_names(best)}", result.ensemble)] if result.averaged else []),
    ]
    how = "voting" if result.notes.get("scorer") == "zero-shot" else "averaged"
    for name, one in rows:
        scores = (Text(score_text(value, percent=percent)) for value in (one.train, one.val, one.test))
        table.add_row(
            Text(printable(baseline_name(name, words))),
            Text(_shown(one.templates, how)),
            *scores,
            style="bold" if one is found else "",
        )
    console.print(table)
    for line in _lines(result, run_dir):
        console.print(Text(line), soft_wrap=True)


def _shown(templates: Sequence[str], how: str) -> str:
    different = weighted(templates)
    lines = list(map(printable, different[:_MOST_TEMPLATES]))
    if len(different) > _MOST_TEMPLATES:
        lines = [f"{len(templates)} templates {how}:", *lines, "..."]
    return "\n".join(lines)


def _lines(result: SearchResult, run_dir: Path | None) -> list[str]:
    words = result.words
    lines = [verdict] if (verdict := verdict_on(result)) else []
    if (names := result.best.class_names) is not None:
        lines.append(_named(names))
    lines.append(_spent(result))
    if (made := made_by_llm(result)) is not None:
        lines.append(f"The LLM proposed {made[0] or 'none'} of {counted(made[1], f'new {words.noun}')}")
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


def _named(names: Mapping[str, str]) -> str:
    if not names:
        return "class names: no new name was accepted"
    shown = [f"{printable(old)} -> {printable(new)}" for old, new in list(names.items())[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"class names, kept for their scores, not for what they mean: {'; '.join(shown)}{more}"


def _spent(result: SearchResult) -> str:
    usage = result.usage
    spent = [f"{counted(result.evaluated, result.words.noun)} scored"]
    if (used := result.scorer_usage) is not None:
        return "; ".join([*spent, *_spent_on_both(result, used), f"{result.wall_s:,.0f} s of active time"])
    if result.llm.model is not None:
        spent += _asked_of_llm(usage)
    spent.append(f"{result.wall_s:,.0f} s of active time")
    if usage.cost_usd:
        spent.append(f"${usage.cost_usd:.4f}")
    if more := unreported(usage.estimated_tokens, usage.estimated_usd, "and "):
        spent.append(more)
    return ", ".join(spent)


def _asked_of_llm(usage: Usage) -> list[str]:
    kinds = f" ({found})" if (found := kinds_of_tokens(usage)) else ""
    tokens = f"{usage.tokens:,} tokens{kinds}"
    return [counted(usage.calls, "call"), tokens]


def _spent_on_both(result: SearchResult, scorer: ApiUsage) -> list[str]:
    """Return in words what the LLM cost, if one was asked, what the scorer did, and both together."""
    usage, found = result.usage, []
    if result.llm.model is not None:
        cost = [f"${usage.cost_usd:.4f}"] if usage.cost_usd else []
        more = unreported(usage.estimated_tokens, usage.estimated_usd, ", and ")
        found.append(f"LLM: {', '.join([*_asked_of_llm(usage), *cost])}{more}")
    found.append(scorer_spent(scorer))
    if usage.cost_usd and scorer.cost_usd:
        found.append(f"${usage.cost_usd + scorer.cost_usd:.4f} in all")
    return found
