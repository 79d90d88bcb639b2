"""Run one command: parse options, return an exit code, and print errors in one line."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ...evaluator.errors import PromptclimbError, UsageError
from ..errors import InterruptedRunError
from ..secrets import Scrubber, secrets_named_in
from .exit_codes import FAILED, FINISHED, WRONG
from .output import say, take_any_text
from .parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without a command, print the help."""
    take_any_text()
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parser = make_parser(given_arguments)
        if not given_arguments:
            parser.print_help()
            return FINISHED
        given = parser.parse_args(given_arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    # Values of environment variables named like secrets are removed from messages.
    scrub = Scrubber(secrets_named_in(os.environ)).scrub_quoted
    try:
        return int(given.run(given))
    except UsageError as error:
        say(f"error: {scrub(str(error))}")
        return WRONG
    except InterruptedRunError as error:
        return 128 + error.signal
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of standard output has gone, as with `| head`.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lives as long as the process
        return FAILED
    except ModuleNotFoundError as error:
        say(f"error: {error}; `make install` installs what is missing")
        return FAILED
    except (PromptclimbError, OSError) as error:
        say(f"error: {scrub(str(error) or type(error).__name__)}")
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
            return f"unexpected {type(error).__name__}: {error}; please report it with the file {path}"
    return f"unexpected {type(error).__name__}: {error}"
