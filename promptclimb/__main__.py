"""The command line's entry: ``promptclimb``, ``python -m promptclimb``, and what ``run_agent.py`` calls."""

from __future__ import annotations

import os
import sys
import threading

INTERRUPTED = 130
AT_WORK = "at work"  # the name that evaluator.threads gives to those threads


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    try:
        # The first second goes by in imports, here and in the command: Ctrl-C is no error there either.
        return leave(_run())
    except KeyboardInterrupt:
        return INTERRUPTED


def _run() -> int:
    try:
        from promptclimb.agent.cli.main import main as run
        from promptclimb.evaluator.clip import lean
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: {error}; run `make install`, then use .venv/bin/python\n")
        return 2
    lean.allow()
    return run()


def leave(code: int) -> int:
    """Return the exit code; at once where a thread that was left behind is still at work.

    Such a thread may be in the middle of a computation, and an interpreter that takes itself apart under it
    dies by SIGABRT instead of ending with the code that tells what happened. What counts is on disk by now.
    """
    if any(thread.name == AT_WORK for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
