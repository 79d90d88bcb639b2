"""The sets that ship with the program: drawn by evaluator.pico.sets, kept in the cache as class folders."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from evaluator.datasets.readers.folders import read_folder
from evaluator.datasets.readers.written import written_once
from evaluator.datasets.values import Splits

# evaluator.pico.sets is imported where it is used: it brings the drawing code, which other sets do not need.

# What decides how the pictures of the sets look: a change of any of it makes a new folder in the cache.
SOURCES = ("sets.py", "sets", "world", "assets")


def names() -> tuple[str, ...]:
    """The names of the bundled sets."""
    import evaluator.pico.sets as sets

    return tuple(sets.names())


def title(name: str) -> str:
    """One line that says what a bundled set shows."""
    import evaluator.pico.sets as sets

    return str(sets.title(name))


def read(name: str) -> Splits:
    """A bundled set, drawn if it is not yet in the cache.

    Raises:
        DataError: The cache cannot be written.
    """
    import evaluator.pico.sets as sets

    folder, order = written_once(name, _version(), lambda draft: sets.write(name, draft))
    return read_folder(folder, name=name, order=order)


@cache
def _version() -> str:
    import evaluator.pico

    room = Path(evaluator.pico.__file__).resolve().parent
    digest = hashlib.sha256()
    for source in SOURCES:
        for file in sorted((room / source).rglob("*")) if (room / source).is_dir() else [room / source]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.relative_to(room).as_posix().encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
