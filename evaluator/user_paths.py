"""Check paths that the user gave, and find the cache folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BeforeValidator

from .errors import ConfigError, UsageError

LONGEST_NAME, LONGEST_PATH = 255, 4_000
"""Bytes of one name and of a whole path, with room for what is written below it."""


def user_path(raw: str | os.PathLike[str], name: str, *, follow_links: bool = True) -> Path:
    """Return a path that the user gave as an absolute one, ``~`` replaced; nothing need be there.

    Args:
        raw: The path as it was given.
        name: What gave it, such as ``--run-dir``, for the message.
        follow_links: Whether links are followed. False leaves a linked folder as the user named it.

    Raises:
        ConfigError: No file can be meant: it is empty, has a NUL in it, is not UTF-8 (neither ``config.toml``
            nor ``result.json`` could name it), begins with a user who is not there, or its links lead in a
            circle.
    """
    try:
        return _absolute(os.fspath(raw), follow_links=follow_links)
    except ValueError as error:
        raise ConfigError(f"{name} {os.fspath(raw)!r}: {error}") from error


def checked_path(raw: Any) -> Any:
    """Return a path as it is, once it is known that ``user_path`` takes it; for pydantic's validators."""
    if isinstance(raw, str | os.PathLike):
        _absolute(os.fspath(raw), follow_links=True)
    return raw


UserPath = Annotated[Path, BeforeValidator(checked_path)]
"""The type of a setting that is a path: refused where ``user_path`` would refuse it, else left as it is."""


def text_of_path(value: Any) -> Any:
    """Return a path as its text, anything else as it is: for settings that are a name or a path."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


NameOrPath = Annotated[str, BeforeValidator(text_of_path)]
"""The type of a setting that is a name or a path; a ``Path`` is taken for what it names."""


def _absolute(raw: str, *, follow_links: bool) -> Path:
    if not raw:
        raise ValueError("it is empty; write a path, or . for the current folder")
    if "\0" in raw:
        raise ValueError("it has a NUL in it, which no path can have")
    try:
        path = Path(raw).expanduser()
    except RuntimeError:
        user = raw.partition("/")[0]
        raise ValueError(f"there is no home folder for {user}; write the path in full") from None
    try:
        # resolve() would follow the links; abspath() only joins the texts.
        path = path.resolve() if follow_links else Path(os.path.abspath(path))  # noqa: PTH100
    except RuntimeError:
        raise ValueError("its links lead in a circle; choose another path") from None
    except OSError as error:
        raise ValueError(f"it cannot be followed ({error.strerror or error})") from None
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            "it, or the folder that it starts from, is not UTF-8 text; choose another path"
        ) from None
    longest = max(len(os.fsencode(name)) for name in path.parts)
    if longest > LONGEST_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError("it, or a name in it, is longer than a path can be; choose another")
    return path


def cache_dir() -> Path:
    """Return the cache folder, made if it is missing: PROMPTCLIMB_CACHE, or the platform's user cache.

    Raises:
        UsageError: PROMPTCLIMB_CACHE is not a path, or the folder cannot be made.
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
