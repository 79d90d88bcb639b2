"""Run one command: parse options, return an exit code, and print errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ...evaluator.errors import PromptclimbError, UsageError, reason_of
from ..config.sources import by_source
from ..errors import InterruptedRunError
from ..secrets import Scrubber, secrets_named_in
from .interrupts import Interrupted, raising_interrupts
from .output import FAILED, FINISHED, WRONG, Stream, say, unfailing_streams
from .parser import make_parser

_RUNS = ("search", "resume", "suite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without a command, print the help."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with unfailing_streams() as out:
        try:
            parser = make_parser(words)
            if not words:
                parser.print_help()
                return FINISHED
            parsed = parser.parse_args(words)
        except SystemExit as leaving:
            return int(leaving.code or 0)
        code = _run(parsed)
        out.flush()
        return code if out.failure is None else _undelivered(parsed, code, out)


def _undelivered(arguments: argparse.Namespace, code: int, out: Stream) -> int:
    """Report that standard output could not be written; a run without ``--json`` keeps its exit code.

    So does a command whose reader went away.
    """
    as_json, is_run = getattr(arguments, "as_json", False), arguments.command in _RUNS
    # The reader went away, as with `| head`; a run's document is read whole.
    if isinstance(out.failure, BrokenPipeError) and not (as_json and is_run):
        return code
    is_note = is_run and not as_json
    kind, hint = (
        "note" if is_note else "error",
        "; what was found is in the folder all the same" if is_run else "",
    )
    say(f"{kind}: standard output cannot be written: {out.reason}{hint}")
    return code if is_note else code or FAILED


def _run(arguments: argparse.Namespace) -> int:
    # Too large images are refused or left out by us; Pillow's warning of them shows a path of its own.
    warnings.filterwarnings("ignore", message=r"Image size \(", category=RuntimeWarning)
    # Values of environment variables named like secrets are removed from messages.
    scrub = Scrubber(secrets_named_in(os.environ)).scrub_quoted
    try:
        with raising_interrupts():
            return int(arguments.run(arguments))
    except InterruptedRunError as error:
        return 128 + error.signal
    except Interrupted as error:
        return 128 + error.number
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        say(f"error: {error}; `make install` installs what is missing")
        return FAILED
    except PromptclimbError as error:
        message = by_source(error.message, getattr(arguments, "layers", ()))
        say(f"error: {scrub(message)}")
        return WRONG if isinstance(error, UsageError) else FAILED
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        say(f"error: {scrub(f'{where}{reason_of(error)}')}")
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last stop: a line for the user, the rest in a file
        say(f"error: {scrub(_crash(error, scrub))}")
        return FAILED


def _crash(error: Exception, scrub: Callable[[str], str]) -> str:
    text = scrub("".join(traceback.format_exception(error)))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        path = folder / f"promptclimb-crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with contextlib.suppress(OSError):
            path.write_text(text, "utf-8")
            return f"the program has a fault ({reason_of(error)}); please report it with the file {path}"
    return f"the program has a fault ({reason_of(error)})"
