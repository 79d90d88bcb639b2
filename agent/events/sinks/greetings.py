"""Keeps what a thread prints off standard output, which is the result's, and nothing of other threads."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class _Others(io.TextIOBase):
    """Standard output for all threads but those that are to be silent."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.silent: set[int] = set()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute here
        """That of the stream."""
        return self.stream.encoding

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the stream's number."""
        return self.stream.fileno()

    def write(self, text: str) -> int:
        """Write what others print."""
        return len(text) if threading.get_ident() in self.silent else self.stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


_changing = threading.Lock()


@contextmanager
def unheard() -> Iterator[None]:
    """Swallow what this thread prints; the result may be printed by another meanwhile."""
    me = threading.get_ident()
    with _changing:
        others = sys.stdout if isinstance(sys.stdout, _Others) else _Others(sys.stdout)
        others.silent.add(me)
        sys.stdout = others
    try:
        yield
    finally:
        with _changing:
            others.silent.discard(me)
            if not others.silent and sys.stdout is others:  # two that put back in turn would lose it
                sys.stdout = others.stream
