"""``events.jsonl``: one JSON object a line, of bounded size."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from ...evaluator.regular_files import open_regular
from .types import Event, event_of

FILE_NAME = "events.jsonl"
MAX_BYTES = 32 * 1024 * 1024
BACKUPS = 3
LOGS = (FILE_NAME, *(f"{FILE_NAME}.{number}" for number in range(1, BACKUPS + 1)))
"""The log and its older parts, newest first."""
_RENDER = structlog.processors.JSONRenderer(ensure_ascii=False)


class EventLog:
    """Writes events to the log of a run's folder; of a full one the older part moves to ``events.jsonl.1``.

    At most three older parts are kept.

    Args:
        scrub: Removes secrets from an event's values, except numbers.
        max_bytes: Size of one file.
    """

    def __init__(
        self,
        run_dir: Path,
        scrub: Callable[[Any], Any] = lambda value: value,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._paths = [run_dir / name for name in LOGS]
        self._scrub = scrub
        self._max_bytes = max_bytes
        self._size = 0
        self._file = self._open()

    def __call__(self, event: Event, at: datetime.datetime) -> None:
        clean = {  # the names are the program's own, and a number is no secret
            name: value if value is None or isinstance(value, int | float) else self._scrub(value)
            for name, value in event.fields().items()
        }
        text = _RENDER(None, "info", {**clean, "event": event.name, "time": stamp(at)})
        line = f"{text!s}\n".encode("utf-8", "backslashreplace")
        if self._size and self._size + len(line) > self._max_bytes:
            self._file.close()
            for older, newer in zip(reversed(self._paths), reversed(self._paths[:-1]), strict=False):
                if newer.exists():
                    newer.replace(older)
            self._file = self._open()
        self._size += self._file.write(line)

    def idle(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _open(self) -> BinaryIO:
        file = open_regular(self._paths[0], "a+b")
        self._size = file.seek(0, os.SEEK_END)
        if self._size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line must not take the next with it
                self._size += file.write(b"\n")
        return file


def stamp(at: datetime.datetime) -> str:
    """Return a time in UTC as the log has it; later ones sort behind it."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def logged(run_dir: Path) -> Iterator[tuple[Event, str]]:
    """Yield the valid events in a run's log with their times in ISO 8601, the oldest first."""
    for name in reversed(LOGS):
        try:
            with open_regular(run_dir / name, most=2 * MAX_BYTES) as lines:
                for line in lines:
                    try:
                        values = json.loads(line.decode("utf-8", "replace"))
                    except (ValueError, RecursionError):
                        continue
                    if isinstance(values, dict) and (event := event_of(values)) is not None:
                        yield event, str(values.get("time"))
        except OSError:
            continue
