"""One live process for a run, and one for a folder of several."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import filelock

from ..errors import StoreError, StoreLockedError

LOCK_NAME, OWNER_NAME = "run.lock", "run.pid"
_OF_SEVERAL = ".lock", ".pid"


def lock(directory: Path) -> filelock.BaseFileLock:
    """Take the run for this process; the operating system lets it go when the process ends, however it ends.

    Args:
        directory: Its ``store/``.

    Raises:
        StoreLockedError: Another live process has it.
        StoreError: The directory cannot be written.
    """
    return _taken(directory, directory.parent, LOCK_NAME, OWNER_NAME)


def lock_folder(folder: Path) -> filelock.BaseFileLock:
    """Take a folder of several runs, such as a suite's: two at work in it would come into each other's way.

    Raises:
        StoreLockedError: Another live process has it.
        StoreError: The folder cannot be written.
    """
    return _taken(folder, folder, *_OF_SEVERAL)


def was_locked(folder: Path) -> bool:
    """Return whether a folder of several runs was ever taken: in one that was not nobody is at work."""
    return (folder / _OF_SEVERAL[0]).exists()


def refuse_beside_another(folder: Path) -> None:
    """See that nobody is at work in a folder of several runs; nothing is written.

    Raises:
        StoreLockedError: Another live process is.
    """
    lock_name, owner_name = _OF_SEVERAL
    if was_locked(folder) and _is_held(folder / lock_name):
        raise _in_use(folder, folder / owner_name)


def _taken(directory: Path, shown: Path, lock_name: str, owner_name: str) -> filelock.BaseFileLock:
    held = filelock.FileLock(directory / lock_name, timeout=0, thread_local=False)
    try:
        held.acquire()
    except filelock.Timeout as error:
        raise _in_use(shown, directory / owner_name) from error
    except OSError as error:
        raise StoreError(f"{directory}: cannot take the lock ({error})") from error
    # Only for the message above, so a directory that allows the lock but not this file is no reason to stop.
    with contextlib.suppress(OSError):
        (directory / owner_name).write_text(f"{os.getpid()}\n", "ascii")
    return held


def _in_use(shown: Path, owner_file: Path) -> StoreLockedError:
    owner = ""
    with contextlib.suppress(OSError, ValueError):
        owner = f" (process {int(owner_file.read_text('ascii'))})"
    return StoreLockedError(
        f"{shown} is in use by a live process{owner}; wait for it, or stop it, and try again"
    )


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
    """Return whether a live process has the run; nothing is written, as the run may be another user's."""
    try:
        owner = int((directory / OWNER_NAME).read_text("ascii"))
    except (OSError, ValueError):
        return False  # nobody has begun it
    # The number may belong to another process by now; the lock decides.
    return is_running(owner) and _is_held(directory / LOCK_NAME)


def _is_held(path: Path) -> bool:
    """Return whether a process has the lock; ``filelock`` would open the file for writing to find out."""
    if sys.platform == "win32":
        try:
            filelock.FileLock(path, timeout=0).acquire().lock.release()
        except filelock.Timeout:
            return True
        return False
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # some file systems call it the latter
        return True
    except OSError:
        return False
    return False
