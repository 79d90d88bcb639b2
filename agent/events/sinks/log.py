"""``events.jsonl``: one JSON object a line, of bounded size."""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from ..event import Event

FILE_NAME = "events.jsonl"
MAX_BYTES = 32 * 1024 * 1024
BACKUPS = 3
HELD_AT_MOST = 10_000


class _File(logging.handlers.RotatingFileHandler):
    """A file whose failures are the caller's to hear of; logging would print a traceback instead."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        raise


class EventLog:
    """Write events to a file; of a full one the older part moves to ``events.jsonl.1``, at most three.

    Args:
        path: The file; lines are appended.
        scrub: Applied to every event's values: takes secrets out.
        held: Keep the lines in memory until ``start``: so the log begins with the first event, and a run
            that is never started leaves none.
        max_bytes: Size of one file.
    """

    def __init__(
        self,
        path: Path,
        *,
        scrub: Callable[[Any], Any] = lambda value: value,
        held: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        file = _File(path, maxBytes=max_bytes, backupCount=BACKUPS, encoding="utf-8", delay=True)
        file.setFormatter(logging.Formatter("%(message)s"))
        self._file = file
        self._memory = logging.handlers.MemoryHandler(
            HELD_AT_MOST if held else 1, flushLevel=logging.CRITICAL, target=None if held else file,
            flushOnClose=False,
        )  # fmt: skip
        # A logger of our own, not one from the registry: two searches in one process share nothing.
        logger = logging.Logger("promptclimb.events", logging.INFO)  # noqa: LOG001
        logger.addHandler(self._memory)
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
        """Write one event."""
        self._log.info(event.name, **self._scrub(event.fields()))

    def start(self) -> None:
        """Write what was held, and from now on every event at once."""
        self._memory.setTarget(self._file)
        self._memory.flush()
        self._memory.capacity = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()
        self._file.close()


def open_log(run_dir: Path, scrub: Callable[[Any], Any]) -> EventLog:
    """Open the log of a run; it holds what it hears until the run is on disk."""
    return EventLog(run_dir / FILE_NAME, scrub=scrub, held=True)


def logged(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the log of a run holds, the oldest part first; a line that is torn is passed over."""
    names = [f"{FILE_NAME}.{part}" for part in range(BACKUPS, 0, -1)]
    for name in (*names, FILE_NAME):
        try:
            with (run_dir / name).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    try:
                        event = json.loads(line)
                    except (ValueError, RecursionError):
                        continue
                    if isinstance(event, dict):
                        yield event
        except OSError:
            continue
