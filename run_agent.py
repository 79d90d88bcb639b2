"""promptclimb's command line: ``python run_agent.py --help``."""

from __future__ import annotations

import os
import sys
import threading

INTERRUPTED = 130
OPENING = "opening"  # the name that agent.search.inputs gives its threads


def main() -> int:
    """Runs the command that the arguments name, and returns its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - pip would refuse an older one, but nobody asked pip
        sys.stderr.write("error: promptclimb needs Python 3.11 or newer\n")
        return 2
    try:
        from agent.cli.main import main as run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: {error}; run `make install`, then use .venv/bin/python\n")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return leave(run())


def leave(code: int) -> int:
    """The exit code; at once where a thread that was left behind is still at work.

    Such a thread may be in the middle of a computation, and an interpreter that takes itself apart under it
    dies by SIGABRT instead of ending with the code that tells what happened. What counts is on disk by now.
    """
    if any(thread.name == OPENING for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
