"""The command line's entry: ``promptclimb``, ``python -m promptclimb``, and what ``run_agent.py`` calls."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

INTERRUPTED = 130
MOST_FILES = 10_240  # as many as macOS lets a process have, and as restarts may be
AT_WORK = "at work"  # how evaluator.threads and trackers call their threads


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    # The first second goes by in imports, here and in the command: Ctrl-C is no error there either. Raised in
    # one, KeyboardInterrupt may become another error, as pydantic's while it builds a model.
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    try:
        return leave(_run())
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> int:
    try:
        from promptclimb.agent.cli.main import main as run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: {error}; run `make install`, then use .venv/bin/python\n")
        return 2
    allow_files()
    return run()


def allow_files() -> None:
    """Let this process have more files open than a shell allows unasked, as far as the system lets it.

    Each request in flight is one, and a thousand restarts have a thousand; usual are 1,024, or 256.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def leave(code: int) -> int:
    """Return the exit code; at once where a thread that was left behind is still at work.

    Such a thread may be in the middle of a computation, and an interpreter that takes itself apart under it
    dies by SIGABRT instead of ending with the code that says what happened. A tracker's package may wait for
    its server when the interpreter ends. What counts is on disk by now.
    """
    if any(thread.name.startswith(AT_WORK) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed from the start
                stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
