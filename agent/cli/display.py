"""A search as a person watches it: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...evaluator.counts import counted
from ..events import (
    ClimbFinished,
    EndpointRemoved,
    Event,
    GaveUp,
    ImagesEncoded,
    IterationFinished,
    IterationSkipped,
    ListenerFailed,
    Noted,
    PoolDrawn,
    PoolScored,
    Rested,
    SearchStarted,
    SearchStopped,
    TemplateScored,
    UsageChanged,
    UsageUntold,
)
from ..results.figures import are_shares, score_text
from ..text import printable

EVERY_S, EVERY_S_AT_MOST = 5.0, 60.0
MOST_SHOWN = 12
MOST_REASONS = 5
"""Most reasons for a skipped iteration that get a line of their own."""


@dataclass(slots=True)
class Standing:
    """How a climb stands."""

    iterations: int = 0
    skipped: int = 0
    best: str = ""
    train: float = 0.0
    done: bool = False


@dataclass(slots=True)
class State:
    """What the display knows; made of events alone."""

    started: SearchStarted | None = None
    usage: UsageChanged | None = None
    climbs: dict[int, Standing] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    percent: bool = True
    latest: str = ""
    opening: str = ""

    def take(self, event: Event) -> None:
        """Learns from an event."""
        if isinstance(event, SearchStarted):
            self.started = event
        elif isinstance(event, UsageChanged):
            self.usage = event
        elif isinstance(event, TemplateScored):
            # Restarts may come upon the same template, and the result counts it once.
            self.templates.add(event.template)
            self.percent = self.percent and are_shares((event.train, event.val))
        elif isinstance(event, PoolScored | IterationFinished | ClimbFinished):
            self.latest = ""
            standing = self.climbs.setdefault(event.position.climb, Standing())
            standing.best, standing.train = event.best, event.train
            standing.iterations += isinstance(event, IterationFinished)
            standing.done = standing.done or isinstance(event, ClimbFinished)
        elif isinstance(event, IterationSkipped):
            standing = self.climbs.setdefault(event.position.climb, Standing())
            standing.iterations += 1
            standing.skipped += 1

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent) + ("%" if self.percent else "")

    @property
    def scored(self) -> int:
        """Distinct templates with a score."""
        return len(self.templates)

    @property
    def iterations(self) -> int:
        """Iterations that are over."""
        return sum(standing.iterations for standing in self.climbs.values())

    @property
    def best(self) -> Standing | None:
        """The climb that is ahead."""
        return max(self.climbs.values(), key=lambda standing: standing.train, default=None)


class Display:
    """Shows events on a console; a listener and a context manager.

    Args:
        console: Where; a live panel if it is a terminal, else lines: one in five seconds at first, one a
            minute in a long run.
        clock: Seconds.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = clock
        self._state = State()
        self._began = self._said = clock()
        self._reasons: set[str] = set()
        self._live = Live(
            get_renderable=self._panel,
            console=console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
        )

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._state.take(event)
        if isinstance(event, Noted):
            self._line(event.text)
        elif isinstance(event, ImagesEncoded):
            text = f"{event.done:,} of {event.of:,} images encoded"
            self._state.opening = text
            if self._state.started is not None:
                self._state.latest = f"opening the test split: {text}"
        elif isinstance(event, PoolDrawn):
            self._wait_for(event)
        elif isinstance(event, SearchStarted):
            self._line(_opening(event))
        elif isinstance(event, SearchStopped):
            self._line(f"stopping: {event.reason}")
        elif isinstance(event, UsageUntold):
            self._line(
                f"{event.endpoint} does not say how many tokens its answers cost: "
                "each counts against limits with the most that it can have cost"
            )
        elif isinstance(event, EndpointRemoved | Rested | GaveUp | ListenerFailed):
            self._line(
                f"{event.name}: {', '.join(f'{name} {value}' for name, value in event.fields().items())}"
            )
        elif isinstance(event, IterationSkipped):
            self._skipped(event)
        if not self._console.is_terminal:
            self._tick()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def _wait_for(self, event: PoolDrawn) -> None:
        climb = event.position.climb
        text = f"restart {climb}: scoring {counted(event.templates, 'initial template')}"
        self._state.latest = text
        if not self._console.is_terminal and climb <= MOST_SHOWN:
            self._line(text)

    def _skipped(self, event: IterationSkipped) -> None:
        """Say it below; the first of each reason in a line that stays, for all to hear of the failure."""
        text = f"{event.position} is skipped: {event.reason}"
        self._state.latest = text
        if event.reason not in self._reasons and len(self._reasons) < MOST_REASONS:
            self._reasons.add(event.reason)
            self._line(text)

    def _line(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)

    def _tick(self) -> None:
        now = self._now()
        if now - self._said >= min(max(EVERY_S, (now - self._began) / 20), EVERY_S_AT_MOST):
            self._said = now
            opening = self._state.opening or "opening ..."
            self._line(self._summary() if self._state.started is not None else opening)

    def _summary(self) -> str:
        state, started = self._state, self._state.started
        best = state.best
        total = started.iterations if started is not None else 0
        ahead = f"; best {state.score(best.train)}: {best.best}" if best is not None else ""
        done = f"iteration {state.iterations} of {total}, {counted(state.scored, 'template')} scored"
        latest = f"; {state.latest}" if state.latest else ""
        return f"{self._clock()} {done}, {self._spent()}{ahead}{latest}"

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self._now() - self._began), 60)
        return f"[{minutes:d}:{seconds:02d}]"

    def _spent(self) -> str:
        used = self._state.usage
        if used is None:
            return "0 calls"
        parts = [counted(used.calls, "call"), f"{used.prompt_tokens + used.completion_tokens:,} tokens"]
        if used.doubtful_tokens:
            parts[-1] += f" (at most {used.doubtful_tokens:,} more)"
        if used.cost_usd:
            parts.append(f"${used.cost_usd:.4f}")
        parts += [f"{_left(name, value)} left" for name, value in used.left.items()]
        return ", ".join(parts)

    def _panel(self) -> Group | Text:
        state, started = self._state, self._state.started
        if started is None:
            return Text(f"{self._clock()} {printable(state.opening) or 'opening ...'}")
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name, justify in (
            ("restart", "right"),
            ("iterations", "right"),
            ("train", "right"),
            ("best so far", "left"),
        ):
            table.add_column(
                name, justify="right" if justify == "right" else "left", no_wrap=name != "best so far"
            )
        each = started.iterations // max(1, started.restarts)
        rows = sorted(state.climbs.items(), key=lambda item: (item[1].done, item[0]))[:MOST_SHOWN]
        for number, standing in sorted(rows):
            table.add_row(
                str(number),
                f"{standing.iterations}/{each}",
                state.score(standing.train),
                escape(printable(standing.best)),
            )
        bar = ProgressBar(total=max(1, started.iterations), completed=state.iterations, width=40)
        lines: list[RenderableType] = [
            table,
            bar,
            Text(f"{self._clock()} {counted(state.scored, 'template')} scored, {self._spent()}"),
        ]
        if state.latest:
            lines.append(Text(printable(state.latest), style="yellow"))
        return Group(*lines)


def _opening(event: SearchStarted) -> str:
    who = f"LLM {event.llm}" if event.llm else "no LLM"
    verb = "going on with" if event.resumed else "searching"
    # A black box need not say of what it is made.
    classes = f" ({event.classes} classes)" if event.classes else ""
    return (
        f"{verb} {event.dataset}{classes} with {event.model}, {who}, method {event.method}: "
        f"{counted(event.restarts, 'restart')}, {counted(event.iterations, 'iteration')}, in {event.run_dir}"
    )


def _left(name: str, value: float) -> str:
    if name.startswith("cost"):
        return f"${value:.4f}"
    return f"{value:,.1f} minutes" if name == "minutes" else f"{value:,.0f} {name}"
