"""Write results to standard output and everything else to standard error."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console

from ...evaluator.errors import PromptclimbError
from ..config.sources import flags_of_more, on_command_line
from ..text import LONGEST_LINE, one_line, printable, visible

PROGRAM = "promptclimb"
FINISHED, FAILED, WRONG, EXIT_NOTHING_USABLE = range(4)
"""Exit codes; the last one is that of a search whose LLM gave nothing usable. A signal adds 128."""


def console(*, stderr: bool = True) -> Console:
    """Return a console on standard error, or on standard output for requested output."""
    return Console(stderr=stderr, highlight=False)


class Stream:
    """A standard stream that never raises: what cannot be written is dropped, and ``failure`` says why.

    Its reader may go away, its disk may be full, and it may have been closed from the start.
    """

    def __init__(self, stream: TextIO | None) -> None:
        closed = OSError(errno.EBADF, "it is closed")
        self.failure: OSError | ValueError | None = closed if stream is None else None
        self._stream: TextIO = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115, PTH123 - lives as long as the process
        if isinstance(stream, io.TextIOWrapper):
            # Class names and templates are in any script, and encodings are not.
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def finish(self) -> None:
        """Flush; drop what cannot be written, as Python's own flush at exit would change the exit code."""
        if not self._try(self._stream.flush):
            self._discard()

    @property
    def reason(self) -> str:
        return (isinstance(self.failure, OSError) and self.failure.strerror) or str(self.failure)

    def _try(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except (OSError, ValueError) as error:  # ValueError: somebody closed the file
            self.failure = error
            if isinstance(error, BrokenPipeError):
                self._discard()
            return False
        return True

    def _discard(self) -> None:
        """Send to nowhere what its buffer holds and all that follows."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def unfailing_streams() -> Iterator[Stream]:
    """Make standard output, which is yielded, and standard error unfailing: output never decides a run."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # a file of the run would get this number, and stray messages
    before, streams = (sys.stdout, sys.stderr), (Stream(sys.stdout), Stream(sys.stderr))
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", streams)
    try:
        yield streams[0]
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.finish()


def say(text: str) -> None:
    """Write a line on standard error; what it quotes may come from a run of somebody else's."""
    sys.stderr.write(one_line(on_command_line(text)) + "\n")
    sys.stderr.flush()


def say_refused(why: str | PromptclimbError, what: str = "search") -> None:
    """Report why a search would be refused, in a command that only shows settings."""
    say(f"note: the {what} would be refused: {why}")


def result_alone() -> AbstractContextManager[object]:
    """Keep standard output for the result: redirect a custom scorer's prints to standard error."""
    return redirect_stdout(sys.stderr)


def print_json(document: Any) -> None:
    """Write a JSON document on standard output."""
    # Other encodings would use Python's escapes, which are not JSON.
    is_utf = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(document, indent=2, ensure_ascii=not is_utf)
    # JSON lets controls above ASCII, and what turns text, stand as they are.
    safe = text if text.isascii() else "".join(map(_in_json, text))
    sys.stdout.write(f"{safe}\n")
    sys.stdout.flush()


def _in_json(character: str) -> str:
    return character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]


def print_text(text: str) -> None:
    """Write text for people on standard output; what it quotes may be somebody else's, as in ``say``."""
    sys.stdout.write(visible(text))
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Write one line on standard output, such as the path of a file."""
    print_text(f"{one_line(text)}\n")


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns, without wrapping, so that cells can be copied."""
    clean = [[printable(cell[:LONGEST_LINE]) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in clean
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def program() -> str:
    """Return how this program is called here, for commands to copy; help and sentences have ``PROGRAM``."""
    called = Path(sys.argv[0])
    if called.name == "run_agent.py":
        return f"{_interpreter()} {shlex.quote(str(called))}"
    on_path = shutil.which(PROGRAM)
    if called.name == "__main__.py":
        installed = on_path is not None and Path(on_path).parent == Path(sys.executable).parent
        return PROGRAM if installed else f"{_interpreter()} -m {PROGRAM}"
    if not called.is_file() or (on_path is not None and called.samefile(on_path)):
        return PROGRAM
    return shlex.quote(str(called))


def _interpreter() -> str:
    """Return the running Python: by its name if the shell finds this one, as in an active environment."""
    running, named = Path(sys.executable or "python"), shutil.which("python")
    # A link is not followed: that of an environment leads to a Python without its packages.
    is_found = named is not None and Path(named).parent == running.parent
    return "python" if is_found else shlex.quote(short_path(running))


def resume_command(run_dir: Path, limits: Sequence[str] = ()) -> str:
    """Return the command that resumes a run, with room for higher limits, without which it would stop."""
    return f"{program()} resume {shlex.quote(short_path(run_dir))}{flags_of_more(limits)}"


def with_higher(limits: Sequence[str]) -> str:
    """Return the words before that command if limits were reached."""
    return {0: "", 1: " with a higher limit"}.get(len(limits), " with higher limits")


def short_path(path: Path) -> str:
    """Return a path relative to the working directory, if it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with a heading on standard output; a missing cell is empty."""
    cells = [["" if (value := row.get(column)) is None else str(value) for column in columns] for row in rows]
    print_text(aligned([columns, *cells]))
