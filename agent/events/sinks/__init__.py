"""Listeners that write a run's events somewhere: one file each, and one line in ``SINKS``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ..event import Event
from .log import FILE_NAME, EventLog


class Sink(Protocol):
    """A listener that a session opens with a run and closes with itself."""

    def __call__(self, event: Event) -> None:
        """Take an event; must not block."""
        ...

    def start(self) -> None:
        """Note that the run is on disk: what came before is to be kept too."""
        ...


Open: TypeAlias = Callable[[Path, Callable[[Any], Any]], AbstractContextManager[Sink]]
"""From the run's folder, and what takes secrets out of a value, to a sink that holds all until it starts."""

SINKS: tuple[Open, ...] = (lambda run_dir, scrub: EventLog(run_dir / FILE_NAME, scrub=scrub, held=True),)
