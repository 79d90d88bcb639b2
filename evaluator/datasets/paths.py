"""Paths that somebody else wrote down: kept inside the folder that they were written for."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError


def inside(root: Path, raw: str, *, where: str, base: Path | None = None) -> Path:
    """Return the absolute path that a split file or a table means.

    Links are left as they are: where the user's own links lead is the user's affair. What is refused is text
    that restarts out of the root.

    Args:
        root: The folder that it must lie under, absolute.
        raw: The path as it was written.
        where: Names the place in the file, for the message.
        base: What a relative path is relative to; ``root`` if None.

    Raises:
        DataError: The path is empty, has a NUL in it, or leads out of the root.
    """
    if not raw or "\0" in raw:
        raise DataError(f"{where}: {raw!r} is no path of an image")
    path = os.path.normpath(os.path.join(base or root, raw))  # noqa: PTH118 - text only, nothing is resolved
    if os.path.commonpath([path, root]) != str(root):
        raise DataError(f"{where}: {raw!r} leads out of {root}; every image must lie under the data root")
    return Path(path)
