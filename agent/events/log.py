"""``events.jsonl``: one JSON object a line, of bounded size."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import structlog

from ...evaluator.regular_files import open_regular
from .types import Event, event_of

FILE_NAME = "events.jsonl"
MAX_BYTES = 32 * 1024 * 1024
BACKUPS = 3
LOGS = (FILE_NAME, *(f"{FILE_NAME}.{number}" for number in range(1, BACKUPS + 1)))
"""The log and its older parts, newest first."""
HELD_AT_MOST = 10_000

_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
_RENDER = structlog.processors.JSONRenderer(ensure_ascii=False)


class _Files:
    """A file of bounded size, and its older parts.

    Its size is counted: asking for it, and flushing for each line, are most of what a line costs.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file: IO[bytes] | None = None
        self._size = 0

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines; they are in the file when this returns."""
        file, chunk = self._open(), bytearray()
        for line in lines:
            if self._size and self._size + len(line) > self._max_bytes:
                file.write(chunk)
                self.close()
                self._move()
                file, chunk = self._open(), bytearray()
            chunk += line
            self._size += len(line)
        file.write(chunk)
        file.flush()

    def close(self) -> None:
        """Close the file; writing opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._file = open_regular(self._path, "a+b")
            self._size = self._file.seek(0, os.SEEK_END)
            if self._size:
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":  # a torn line must not take the next with it
                    self._size += self._file.write(b"\n")
        return self._file

    def _move(self) -> None:
        for number in range(BACKUPS, 0, -1):
            source = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if source.exists():
                source.replace(self._path.with_name(f"{self._path.name}.{number}"))


class EventLog:
    """Write events to a file; of a full one the older part moves to ``events.jsonl.1``, at most three.

    Events of one pass of the event loop are written together, right after it. If that fails, the next call
    raises OSError.

    Args:
        scrub: Removes secrets from an event's values, except numbers.
        held: Keep lines in memory until ``start``, so a run that never starts leaves no log.
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
        self._files = _Files(path, max_bytes)
        self._scrub = scrub
        self._held = held
        self._lines: list[bytes] = []
        self._due = False
        self._failure: OSError | None = None
        self._lock = threading.Lock()  # some events come from a thread

    def __call__(self, event: Event) -> None:
        if self._failure is not None:
            raise self._failure
        clean = {name: self._clean(value) for name, value in event.fields().items()}
        stamped = _STAMP(None, "info", {**clean, "event": event.name})
        line = f"{_RENDER(None, 'info', stamped)!s}\n".encode("utf-8", "backslashreplace")
        with self._lock:
            if not self._held or len(self._lines) < HELD_AT_MOST:
                self._lines.append(line)
            if self._held or self._due:
                return
            try:
                asyncio.get_running_loop().call_soon(self._write_later)
            except RuntimeError:
                pass
            else:
                self._due = True
                return
        self._write()

    def start(self) -> None:
        """Write the held lines, and from now on every event as it comes."""
        self._held = False
        self._write_later()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._held and self._failure is None:
            self._write_later()
        with suppress(OSError):  # one more try to write the rest
            self._files.close()

    def _clean(self, value: Any) -> Any:
        # The names are the program's own, and a number is no secret.
        return value if value is None or isinstance(value, int | float) else self._scrub(value)

    def _write_later(self) -> None:
        try:
            self._write()
        except OSError as error:
            self._failure = error

    def _write(self) -> None:
        with self._lock:
            lines, self._lines, self._due = self._lines, [], False
            if lines:
                self._files.write(lines)


def open_log(run_dir: Path, scrub: Callable[[Any], Any]) -> EventLog:
    """Open the log of a run; it holds its lines until the run is on disk."""
    return EventLog(run_dir / FILE_NAME, scrub=scrub, held=True)


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
