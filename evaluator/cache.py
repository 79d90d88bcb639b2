"""Where things that can be computed again are kept: one folder for data and features."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from .errors import UsageError
from .user_paths import user_path


def cache_dir() -> Path:
    """Return the cache folder, made if it is missing: PROMPTCLIMB_CACHE, or the platform's user cache.

    Raises:
        UsageError: PROMPTCLIMB_CACHE is no path, or the folder cannot be made.
    """
    named = os.environ.get("PROMPTCLIMB_CACHE")
    folder = user_path(named, "PROMPTCLIMB_CACHE") if named else platformdirs.user_cache_path("promptclimb")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the cache folder {folder} cannot be made ({error.strerror}); set PROMPTCLIMB_CACHE to another"
        ) from error
    return folder
