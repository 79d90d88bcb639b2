"""Versions of the program and of the packages it runs on."""

from __future__ import annotations

import functools
import importlib.metadata
import sys

PROGRAM = "promptclimb"


def program_version() -> str:
    """Return this program's version; ``unknown`` in a checkout that was never installed."""
    return installed_version(PROGRAM) or "unknown"


@functools.cache
def installed_version(package: str) -> str | None:
    """Return the version of an installed package, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def running_version(package: str, *, module: str) -> str | None:
    """Return the version of a package whose module this process has loaded, else None."""
    return installed_version(package) if module in sys.modules else None
