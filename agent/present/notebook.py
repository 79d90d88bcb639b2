"""The progress of a search below a notebook's cell."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from ..events import types as events
from ..text import printable
from .terminal import LiveProgress

EVERY_S = 0.5


class NotebookProgress:
    """Show a bar and a line of text, which change with the events.

    Args:
        show: Displays HTML for the first time, and returns what replaces it.
        clock: The time in seconds.
    """

    def __init__(
        self, show: Callable[[str], Callable[[str], None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._clock = show, clock
        self._progress = LiveProgress()
        self._replace: Callable[[str], None] | None = None
        self._shown_at = 0.0

    def __call__(self, event: events.Event) -> None:
        """Add an event; a display takes time, so most are shown with a later one."""
        self._progress.add(event)
        now = self._clock()
        is_last = isinstance(event, events.SearchFinished | events.SearchStopped)
        if self._replace is not None and not is_last and now - self._shown_at < EVERY_S:
            return
        self._shown_at = now
        if self._replace is None:
            self._replace = self._show(self.html)
        else:
            self._replace(self.html)

    @property
    def html(self) -> str:
        started = self._progress.started
        rounds = max(1, started.rounds) if started is not None else 1
        line = escape(printable(self._progress.line))
        return f'<progress value="{self._progress.rounds}" max="{rounds}"></progress> {line}'


def notebook_progress() -> NotebookProgress | None:
    """Return a listener that shows the progress, in a notebook; elsewhere None."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:  # a terminal's IPython has none
        return None
    display: Any = importlib.import_module("IPython.display")

    def show(html: str) -> Callable[[str], None]:
        handle = display.display(display.HTML(html), display_id=True)
        return lambda html: handle.update(display.HTML(html))

    return NotebookProgress(show)
