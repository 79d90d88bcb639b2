"""``events.jsonl``: one JSON object a line, of bounded size."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from .kinds import Event

MAX_BYTES = 32 * 1024 * 1024
BACKUPS = 3


class EventLog:
    """Writes events to a file; of a full one the older part moves to ``events.jsonl.1``, at most three.

    Args:
        path: The file; lines are appended.
        scrub: Applied to every event's values: takes secrets out.
        max_bytes: Size of one file.
    """

    def __init__(
        self, path: Path, *, scrub: Callable[[Any], Any] = lambda value: value, max_bytes: int = MAX_BYTES
    ) -> None:
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=BACKUPS, encoding="utf-8", delay=True
        )
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        # A logger of our own, not one from the registry: two searches in one process share nothing.
        logger = logging.Logger("promptclimb.events", logging.INFO)  # noqa: LOG001
        logger.addHandler(self._handler)
        self._scrub = scrub
        self._log: Any = structlog.wrap_logger(
            logger,
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def __call__(self, event: Event) -> None:
        """Writes one event."""
        self._log.info(event.name, **self._scrub(event.fields()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handler.close()
