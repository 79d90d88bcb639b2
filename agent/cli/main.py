"""Options -> command -> exit code; and no error reaches the user as a traceback."""

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
from .exit_codes import FAILED, WRONG
from .output import say, take_any_text
from .parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 finished, or stopped by a budget; 1 failed; 2 wrong usage or input; 3 searched, but the LLM gave
        nothing usable; 130 or 143 interrupted.
    """
    take_any_text()
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        given = make_parser(given_arguments).parse_args(given_arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    scrub = environment_scrubber()
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
        # The reader of standard output has gone, as with `| head`; nothing is left to say to anybody.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lives as long as the process
        return FAILED
    except ModuleNotFoundError as error:
        say(f"error: {error}; `make install` brings what is missing")
        return FAILED
    except (PromptclimbError, OSError) as error:
        say(f"error: {scrub(str(error) or type(error).__name__)}")
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last stop: a line for the user, the rest in a file
        say(f"error: {scrub(_crash(error, scrub))}")
        return FAILED


def environment_scrubber() -> Callable[[str], str]:
    """Take out of a text whatever in the environment is named like a secret."""
    return Scrubber(secrets_named_in(os.environ)).scrub_quoted


def _crash(error: Exception, scrub: Callable[[str], str]) -> str:
    """Write the traceback to a file and say where."""
    text = scrub("".join(traceback.format_exception(error)))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        path = folder / f"promptclimb-crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with contextlib.suppress(OSError):
            path.write_text(text, "utf-8")
            return f"unexpected {type(error).__name__}: {error}; please report it with the file {path}"
    return f"unexpected {type(error).__name__}: {error}"
