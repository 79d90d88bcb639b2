"""Open files of a run's folder, which may come from somebody else: no links, pipes or devices."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

MOST_BYTES = 512 * 2**20
BUFFER = 2**20
"""Bytes read at once. A thread that reads small parts lets the interpreter go at each, too briefly for others
to take it; Python then never makes it wait, and the event loop stands still until the end of the file."""
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def irregular(path: Path) -> str | None:
    """Return what stands in place of a file, such as "a symbolic link"; None for a file or nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def open_regular(path: Path, mode: str = "rb", *, most: int = MOST_BYTES) -> BinaryIO:
    """Open a file as bytes; never wait for a pipe, and never follow a link.

    Raises:
        OSError: It is not a regular file, is larger than ``most`` bytes, or cannot be opened.
    """
    if (what := irregular(path)) is not None:
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    # Path.open takes no opener.
    file = cast("BinaryIO", open(path, mode, BUFFER, opener=_opened))  # noqa: SIM115
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= most:
        return file
    file.close()
    raise OSError(errno.EFBIG, f"it has more than {most:,} bytes, or is not a file", str(path))


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags | _FLAGS, 0o666)


def read_regular(path: Path, *, most: int = MOST_BYTES) -> str:
    """Read a file as UTF-8 text; raise as ``open_regular``, or UnicodeDecodeError."""
    with open_regular(path, most=most) as file:
        return file.read(most).decode("utf-8")
