"""A search as a person watches it: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...evaluator.counts import counted
from ..events import Event, ImagesEncoded, RoundSkipped, SearchStarted, StartingTemplatesDrawn
from ..text import printable
from .event_lines import sentence
from .progress import State

EVERY_S, EVERY_S_AT_MOST = 5.0, 60.0
MOST_SHOWN = 12
BAR_WIDTH = 24
MOST_REASONS = 5
"""Most reasons for a skipped round that get a line of their own."""


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
        """Take an event."""
        self._state.take(event)
        if (text := sentence(event)) is not None:
            self._line(text)
        if self._state.fresh is not None and self._measured is None:
            self._measured = self._now()
        if isinstance(event, SearchStarted):
            # The clock of the result runs from here too: what is opened before it is no active time.
            self._began = self._said = self._now()
        elif isinstance(event, ImagesEncoded) and self._state.started is not None:
            self._state.latest = f"opening the test split: {self._state.opening}"
        elif isinstance(event, StartingTemplatesDrawn):
            self._wait_for(event)
        elif isinstance(event, RoundSkipped):
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

    def _wait_for(self, event: StartingTemplatesDrawn) -> None:
        restart = event.position.restart
        text = f"restart {restart}: scoring {counted(event.templates, 'initial template')}"
        self._state.latest = text
        if not self._console.is_terminal and restart <= MOST_SHOWN:
            self._line(text)

    def _skipped(self, event: RoundSkipped) -> None:
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
        state, started, now = self._state, self._state.started, self._now()
        best = state.best
        total = started.rounds if started is not None else 0
        ahead = f"; best {state.score(best.train)} on train: {best.best}" if best is not None else ""
        gain = f" ({', '.join(state.ahead[1:])})" if state.ahead[1:] else ""
        done = f"round {state.rounds} of {total}, {counted(state.scored, 'template')} scored"
        latest = "".join(f"; {text}" for text in (state.latest, state.troubles.now) if text)
        left = [f"{text} left" for text in state.left]
        figures = ", ".join((done, *state.spent, *left, *state.hindered, *self._time_left(now)))
        return f"{self._clock(now)} {figures}{ahead}{gain}{latest}"

    def _time_left(self, now: float) -> list[str]:
        began = self._began if self._measured is None else self._measured
        text = self._state.minutes_left(now - began)
        return [text] if text else []

    def _clock(self, now: float) -> str:
        minutes, seconds = divmod(int(now - self._began), 60)
        return f"[{minutes:d}:{seconds:02d}]"

    def _panel(self) -> Group | Text:
        state, started, now = self._state, self._state.started, self._now()
        if started is None:
            return Text(f"{self._clock(now)} {printable(state.opening) or 'opening ...'}")
        lines: list[RenderableType] = [self._table(started), self._bar(started, now)]
        if state.ahead:
            lines.append(Text(", ".join(state.ahead), style="bold"))
        lines.append(Text(", ".join((f"{counted(state.scored, 'template')} scored", *state.spent))))
        if state.left:
            lines.append(Text(f"left: {', '.join(state.left)}"))
        if state.hindered:
            lines.append(Text(", ".join(state.hindered)))
        lines += [
            Text(printable(text), style="yellow") for text in (state.troubles.now, state.latest) if text
        ]
        return Group(*lines)

    def _table(self, started: SearchStarted) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("restart", "rounds", "train"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("best so far")
        each = started.rounds // max(1, started.restarts)
        standings = sorted(self._state.restarts.items(), key=lambda item: (item[1].done, item[0]))
        for number, standing in sorted(standings[:MOST_SHOWN]):
            table.add_row(
                str(number),
                f"{standing.rounds}/{each}",
                self._state.score(standing.train),
                escape(printable(standing.best)),
            )
        return table

    def _bar(self, started: SearchStarted, now: float) -> Table:
        done = self._state.rounds
        said = f"{done:,} of {counted(started.rounds, 'round')}"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, started.rounds), completed=done, width=BAR_WIDTH),
            ", ".join((said, self._clock(now)[1:-1], *self._time_left(now))),
        )
        return bar
