"""One live process for a run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import filelock

from ..errors import StoreError, StoreLockedError

LOCK_NAME = "run.lock"
OWNER_NAME = "run.pid"


def lock(directory: Path) -> filelock.BaseFileLock:
    """Take the run for this process; the operating system lets it go when the process ends, however it ends.

    Raises:
        StoreLockedError: Another live process has it.
        StoreError: The directory cannot be written.
    """
    held = filelock.FileLock(directory / LOCK_NAME, timeout=0, thread_local=False)
    try:
        held.acquire()
    except filelock.Timeout as error:
        owner = ""
        with contextlib.suppress(OSError, ValueError):
            owner = f" (process {int((directory / OWNER_NAME).read_text('ascii'))})"
        raise StoreLockedError(
            f"{directory.parent} is in use by a live process{owner}; wait for it, or stop it, and try again"
        ) from error
    except OSError as error:
        raise StoreError(f"{directory}: cannot take the lock ({error})") from error
    # Only for the message above, so a directory that allows the lock but not this file is no reason to stop.
    with contextlib.suppress(OSError):
        (directory / OWNER_NAME).write_text(f"{os.getpid()}\n", "ascii")
    return held


def is_running(process: int) -> bool:
    """Return whether there is a process of that number, of any user; where that cannot be known, there is."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


def is_live(directory: Path) -> bool:
    """Return whether a live process has the run."""
    try:
        owner = int((directory / OWNER_NAME).read_text("ascii"))
        if os.name == "posix":
            os.kill(owner, 0)
    except (OSError, ValueError, OverflowError):
        return False  # nobody has begun it, or that process has gone
    try:
        lock(directory).release()
    except StoreLockedError:
        return True
    except StoreError:
        return False
    return False
