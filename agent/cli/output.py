"""Write results to standard output and everything else to standard error."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console

from ..text import printable


def console(*, stderr: bool = True) -> Console:
    """Return a console on standard error, or on standard output for requested output."""
    return Console(stderr=stderr, highlight=False)


def take_any_text() -> None:
    """Escape characters that the streams cannot encode: class names and templates are in any script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Write a line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_refused(why: str, what: str = "search") -> None:
    """Report why a search would be refused, in a command that only shows settings."""
    say(f"note: the {what} would be refused: {why}")


def json_alone(as_json: bool) -> AbstractContextManager[object]:
    """Keep standard output for JSON: redirect a custom scorer's prints to standard error."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def print_json(document: Any) -> None:
    """Write a JSON document on standard output."""
    # Other encodings would use Python's escapes, which are not JSON.
    is_utf = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=not is_utf) + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Write text for people on standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns, without wrapping, so that cells can be copied."""
    clean = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in clean
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def program() -> str:
    """Return how this program was called, for suggested commands."""
    called = Path(sys.argv[0])
    if called.name == "run_agent.py":
        return f"python {shlex.quote(str(called))}"
    if called.name == "__main__.py":
        return "python -m promptclimb"
    on_path = shutil.which("promptclimb")
    if not called.is_file() or (on_path is not None and called.samefile(on_path)):
        return "promptclimb"
    return shlex.quote(str(called))


def resume_command(run_dir: Path, limits: Sequence[str] = ()) -> str:
    """Return the command that resumes a run, with room for higher limits, without which it would stop."""
    more = "".join(f" --max-{limit} N" for limit in limits)
    return f"{program()} resume {shlex.quote(short_path(run_dir))}{more}"


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
