"""Listeners that write a run's events somewhere: one file each, and one line in ``SINKS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ..event import Event
from .log import open_log


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

SINKS: Sequence[Open] = [
    open_log,
]
