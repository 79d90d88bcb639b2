"""Locks: one live process per run, and one per folder of several runs."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import filelock

from ...evaluator.errors import StoreCorruptError, StoreError, UsageError
from ...evaluator.regular_files import irregular, open_regular, read_regular
from ..errors import StoreLockedError

LOCK_NAME, OWNER_NAME = "run.lock", "run.pid"
_OF_SEVERAL = ".lock", ".pid"


def lock(directory: Path) -> filelock.BaseFileLock:
    """Lock the run's ``store/`` for this process; the operating system releases it when the process ends.

    Raises:
        StoreLockedError: Another live process has it.
        UsageError: The directory is read-only.
        StoreError: The lock cannot be taken.
    """
    return _taken(directory, directory.parent, LOCK_NAME, OWNER_NAME)


def lock_folder(folder: Path) -> filelock.BaseFileLock:
    """Lock a folder of several runs, such as a suite's; raise as ``lock``."""
    return _taken(folder, folder, *_OF_SEVERAL)


def was_locked(folder: Path) -> bool:
    """Return whether a folder of several runs was ever locked; if not, nobody is at work in it."""
    return (folder / _OF_SEVERAL[0]).exists()


def refuse_beside_another(folder: Path) -> None:
    """Raise StoreLockedError if another live process has a folder of several runs; write nothing."""
    lock_name, owner_name = _OF_SEVERAL
    if was_locked(folder) and _is_held(folder / lock_name):
        raise _in_use(folder, folder / owner_name)


def _taken(directory: Path, shown: Path, lock_name: str, owner_name: str) -> filelock.BaseFileLock:
    for path in (directory / lock_name, directory / owner_name):
        if (what := irregular(path)) is not None:
            raise StoreCorruptError(f"{path} is {what}, where a file of the run belongs; move it away")
    held = filelock.FileLock(directory / lock_name, timeout=0, thread_local=False)
    try:
        held.acquire()
    except filelock.Timeout as error:
        raise _in_use(shown, directory / owner_name) from error
    except OSError as error:
        if not os.access(directory, os.W_OK):
            raise UsageError(
                f"{shown} is read-only for you, so it cannot be resumed: resume a copy in a folder of yours"
            ) from error
        raise StoreError(f"{directory}: cannot take the lock ({error})") from error
    # Only for the message above: a directory that allows the lock but not this file is fine.
    with contextlib.suppress(OSError):
        (directory / owner_name).write_text(f"{os.getpid()}\n", "ascii")
    return held


def _in_use(shown: Path, owner_file: Path) -> StoreLockedError:
    owner = ""
    with contextlib.suppress(OSError, ValueError):
        owner = f" (process {int(read_regular(owner_file))})"
    return StoreLockedError(
        f"{shown} is in use by a live process{owner}; wait for it, or stop it, and try again"
    )


def is_running(process: int) -> bool:
    """Return whether a process with that number exists, of any user; True if that cannot be known."""
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
    """Return whether a live process has the run; write nothing, as the run may be another user's."""
    if directory.is_symlink():
        return False  # a run's store is not one
    try:
        owner = int(read_regular(directory / OWNER_NAME))
    except (OSError, ValueError):
        return False  # nobody has begun it
    # The number may belong to another process by now; the lock decides.
    return is_running(owner) and _is_held(directory / LOCK_NAME)


def _is_held(path: Path) -> bool:
    """Check without ``filelock``, which would open the file for writing."""
    if sys.platform == "win32":
        try:
            filelock.FileLock(path, timeout=0).acquire().lock.release()
        except filelock.Timeout:
            return True
        return False
    import fcntl

    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # some file systems call it the latter
        return True
    except OSError:
        return False
    return False
