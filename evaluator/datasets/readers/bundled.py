"""The sets that ship with the program: drawn by evaluator.pico.sets, kept in the cache as class folders."""

from __future__ import annotations

import hashlib
from functools import cache

from ..values import Splits
from .folders import read_folder
from .written import written_once

# evaluator.pico.sets is imported where it is used: it brings the drawing code, which other sets do not need.

# What decides how the pictures of the sets look: a change of any of it makes a new folder in the cache.
SOURCES = ("sets.py", "sets", "world", "assets")


def names() -> tuple[str, ...]:
    """Return the names of the bundled sets."""
    from ...pico import sets

    return tuple(sets.names())


def title(name: str) -> str:
    """Return one line that says what a bundled set shows."""
    from ...pico import sets

    return str(sets.title(name))


def read(name: str) -> Splits:
    """Read a bundled set, drawn if it is not yet in the cache."""
    from ...pico import sets

    folder, order = written_once(name, _version(), lambda draft: sets.write(name, draft))
    return read_folder(folder, name=name, order=order)


@cache
def _version() -> str:
    from ...pico.models import ROOM

    digest = hashlib.sha256()
    for source in SOURCES:
        for file in sorted((ROOM / source).rglob("*")) if (ROOM / source).is_dir() else [ROOM / source]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.relative_to(ROOM).as_posix().encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
